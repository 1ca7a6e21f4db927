"""What a model's refusal of some inputs teaches about those that it takes."""

from __future__ import annotations

import re
from math import prod
from typing import TYPE_CHECKING, Final

from paramtui.models.input_candidates import BATCH, FALLBACK_WORDS, SIDES, Candidate

if TYPE_CHECKING:
    from collections.abc import Iterator

    from paramtui.core.input_spec import TensorSpec

REFUSED: Final = " and what it refused"
MAX_LEARNED: Final = 4

Specs = tuple["TensorSpec", ...]
Shape = tuple[int, ...]


def learned(candidate: Candidate, words: str) -> list[Candidate]:
    """What an error message suggests instead, the likeliest first."""
    if candidate.depth >= MAX_LEARNED or not candidate.specs:
        return []
    specs = candidate.specs
    found = [
        *_products(candidate, words),
        *_views(candidate, words),
        *_channels(specs, words),
        *_sizes(specs, words),
        *_types(specs, words),
    ]
    why = candidate.why.removesuffix(REFUSED) + REFUSED
    return [Candidate(entry, why, candidate.depth + 1) for entry in found if entry != specs]


def _replaced(specs: Specs, place: int, shape: Shape) -> Specs:
    return (*specs[:place], specs[place]._replace(shape=shape), *specs[place + 1 :])


def _exchanged(shape: Shape, was: int, now: int) -> Shape:
    """The same sizes with another in place of one, but for the first, the batch."""
    return tuple(now if dim and size == was else size for dim, size in enumerate(shape))


def _products(candidate: Candidate, words: str) -> Iterator[Specs]:
    """A layer got another number of features than it has weights for."""
    found = re.search(r"shapes cannot be multiplied \((\d+)x(\d+) and (\d+)x(\d+)\)", words)
    if not found:
        return
    rows, got, wanted, columns = map(int, found.groups())
    for place, spec in enumerate(candidate.specs):
        shape = spec.shape
        if spec.dtype is not None:
            continue
        if shape == (wanted, columns):
            yield _replaced(candidate.specs, place, (got, columns))
        if shape and shape[-1] == got and shape != (wanted, columns):
            yield _replaced(candidate.specs, place, (*shape[:-1], wanted))
        elif len(shape) == 3 and shape[1] == got:
            yield _replaced(candidate.specs, place, (shape[0], wanted, shape[2]))
        elif len(shape) > 2 and candidate.depth < 2 and rows:
            yield from (
                _replaced(candidate.specs, place, other) for other in _other_sides(shape, got, wanted)
            )
        elif len(shape) == 2 and shape[1] + wanted - got > 0:
            # Something else was put beside it before.
            yield _replaced(candidate.specs, place, (shape[0], shape[1] + wanted - got))


def _views(candidate: Candidate, words: str) -> Iterator[Specs]:
    """A reshape to a number of features, or of examples, that these inputs do not give."""
    found = re.search(r"shape '\[([-\d, ]+)\]' is invalid for input of size (\d+)", words)
    if not found:
        return
    sizes, elements = [int(size) for size in found[1].split(",")], int(found[2])
    if sizes[0] in (-1, BATCH) and candidate.depth < 2:
        got, wanted = elements // BATCH, prod(size for size in sizes[1:] if size > 0)
        for place, spec in enumerate(candidate.specs):
            if spec.dtype is None and len(spec.shape) > 2 and got:
                sides = _other_sides(spec.shape, got, wanted)
                yield from (_replaced(candidate.specs, place, shape) for shape in sides)
    else:
        yield tuple(spec._replace(shape=(1, *spec.shape[1:])) for spec in candidate.specs)


def _channels(specs: Specs, words: str) -> Iterator[Specs]:
    found = re.search(r"to have (\d+) channels, but got (\d+)", words)
    if not found:
        return
    wanted, got = int(found[1]), int(found[2])
    for place, spec in enumerate(specs):
        shape = spec.shape
        if len(shape) > 1 and shape[1] == got:
            yield _replaced(specs, place, (shape[0], wanted, *shape[2:]))
        if len(shape) > 2 and shape[1] == wanted and got in shape[2:]:
            # It moves the channels to the front itself.
            yield _replaced(specs, place, (shape[0], *shape[2:], wanted))


def _sizes(specs: Specs, words: str) -> Iterator[Specs]:
    """One size is not the one that was expected."""
    found = re.search(r"Expected (\d+), got (\d+)|expected input with shape \[\*, (\d+)\]", words)
    if found:
        last = int(found[1] or found[3])
        for place, spec in enumerate(specs):
            if spec.shape:
                yield _replaced(specs, place, (*spec.shape[:-1], last))
    found = re.search(r"xpected \D{0,20}(\d+)\D{1,20}got \D{0,20}(\d+)", words)
    turned = re.search(r"got (\d+),? expected (\d+)", words)
    if found or turned:
        wanted, got = (found[1], found[2]) if found else (turned[2], turned[1])  # type: ignore[index]
        for place, spec in reversed(list(enumerate(specs))):
            yield _replaced(specs, place, _exchanged(spec.shape, int(got), int(wanted)))
    found = re.search(r"xpected hidden\S* size \(([\d, ]+)\), got [\[(]([\d, ]+)", words)
    if found:
        state, other = (
            tuple(int(size) for size in found[group].split(",") if size.strip()) for group in (1, 2)
        )
        for place, spec in reversed(list(enumerate(specs))):
            if spec.shape == other:
                yield _replaced(specs, place, state)
    found = re.search(r"tensor a \((\d+)\) must match the size of tensor b \((\d+)\)", words)
    if found:
        one, two = int(found[1]), int(found[2])
        for place, spec in enumerate(specs):
            for was, now in ((one, two), (two, one)):
                yield _replaced(specs, place, _exchanged(spec.shape, was, now))
            if len(spec.shape) == 4 and one > 2:
                yield from (_replaced(specs, place, shape) for shape in _other_patches(spec.shape, one, two))


def _types(specs: Specs, words: str) -> Iterator[Specs]:
    """Whole numbers are wanted, or smaller ones."""
    long = (
        r"scalar types?:? ?Long|indices.*(Long|Int)|must be long|expected scalar type Long|of type LongTensor"
    )
    if re.search(long, words):
        wholes = [
            tuple(
                spec._replace(dtype="int64", shape=spec.shape[:dims], high=FALLBACK_WORDS) for spec in specs
            )
            for dims in (2, 1)
        ]
        yield from wholes
        if len(specs) > 1:
            for place in range(len(specs)):
                for whole in wholes:
                    yield (*specs[:place], whole[place], *specs[place + 1 :])
    if "index out of range" in words or "out of bounds" in words:
        yield tuple(spec._replace(high=FALLBACK_WORDS) if spec.high else spec for spec in specs)


def _other_sides(shape: Shape, got: int, wanted: int) -> list[Shape]:
    """Images of other sizes, after how many features came out of one and how many are wanted."""
    dims = len(shape) - 2
    side = shape[-1]
    guess = side * (wanted / max(got, 1)) ** (1 / dims)
    near = sorted(
        range(max(int(guess) - 5, 1), int(guess) + 7), key=lambda size: (size not in SIDES, abs(size - guess))
    )
    return [(*shape[:2], *[size] * dims) for size in near if size != side]


def _other_patches(shape: Shape, got: int, wanted: int) -> Iterator[Shape]:
    """Square images that give another number of patches, beside up to two tokens that are no patch."""
    for tokens in (1, 0, 2):
        if min(got, wanted) > tokens:
            side = round(shape[-1] * ((wanted - tokens) / (got - tokens)) ** 0.5)
            yield (*shape[:2], side, side)
