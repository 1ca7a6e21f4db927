"""Inputs that a model's first layers and its signature suggest, and what its refusals teach."""

from __future__ import annotations

import inspect
import re
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from paramtui.core.input_spec import TensorSpec
from paramtui.models.state_guard import modules_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

BATCH: Final = 2
LENGTH: Final = 8
SIDES: Final = (32, 28, 64, 16, 224, 8, 96, 128, 299)
MAX_LAYERS: Final = 6
REFUSED: Final = " and what it refused"
MAX_LEARNED: Final = 4
FALLBACK_WORDS: Final = 2
# Names of arguments that stand for whole numbers.
_INDEX_NAMES: Final = re.compile(r"ids?$|^ids|token|index|indices|label|words|timestep|^t$")


class Candidate(NamedTuple):
    """Something that may fit.

    Attributes:
        specs: Arguments.
        why: What suggested it, to follow "derived from".
        depth: How many refusals led to it.
    """

    specs: tuple[TensorSpec, ...]
    why: str
    depth: int = 0


def _floats(*shape: int, name: str | None = None) -> TensorSpec:
    return TensorSpec(name, None, shape, None)


def _whole(high: int, *shape: int, name: str | None = None) -> TensorSpec:
    return TensorSpec(name, "int64", shape, max(high, 1))


def candidates(model: nn.Module) -> Iterator[Candidate]:
    """What to try, the likeliest first."""
    names = _required(model)
    yield from _by_config(model, names)
    if names is not None and not names and not _accepts_any(model):
        yield Candidate((), "forward(), which takes no arguments")
        return
    yield from _by_class(model)
    layers = list(islice(_first_layers(model), MAX_LAYERS))
    count = len(names) if names else 1
    if count == 1:
        for why, specs in layers:
            yield from (Candidate((spec,), why) for spec in specs)
    else:
        yield from _several(names or [], layers)
    if not layers:
        for shape in ((BATCH, 4), (BATCH, 3, 32, 32), (BATCH, LENGTH, 4)):
            yield Candidate((_floats(*shape),) * count, "nothing: it has no layers with parameters")
        yield Candidate((_whole(FALLBACK_WORDS, BATCH, LENGTH),) * count, "nothing: it has no layers")


def _signature(model: nn.Module) -> list[inspect.Parameter] | None:
    try:
        return list(inspect.signature(model.forward).parameters.values())
    except (TypeError, ValueError):
        return None


def _required(model: nn.Module) -> list[str] | None:
    """Names of the arguments that forward cannot do without; None where that is not known."""
    parameters = _signature(model)
    if parameters is None:
        return None
    return [
        entry.name
        for entry in parameters
        if entry.default is entry.empty
        and entry.kind in (entry.POSITIONAL_ONLY, entry.POSITIONAL_OR_KEYWORD, entry.KEYWORD_ONLY)
    ]


def _accepts_any(model: nn.Module) -> bool:
    """Whether forward takes arguments at all."""
    return bool(_signature(model))


# By configuration, as Hugging Face models have one


def _by_config(model: nn.Module, required: list[str] | None) -> Iterator[Candidate]:
    config: Any = getattr(model, "config", None)
    names = {entry.name for entry in _signature(model) or []}
    if config is None or not names or required is None:
        return

    def number(*attributes: str) -> int | None:
        for attribute in attributes:
            found = getattr(config, attribute, None)
            if type(found) is int and found > 0:
                return found
        return None

    vocabulary = number("vocab_size", "n_vocab", "vocabulary_size")
    if vocabulary is not None and "input_ids" in names:
        tokens = _whole(vocabulary, BATCH, LENGTH, name="input_ids")
        more = _whole(vocabulary, BATCH, LENGTH, name="decoder_input_ids")
        if getattr(config, "is_encoder_decoder", False) and "decoder_input_ids" in names:
            yield Candidate((tokens, more), "the configuration of an encoder and decoder")
        yield Candidate((tokens,), "the vocabulary of its configuration")
    if "pixel_values" in names:
        channels = number("num_channels") or 3
        image = getattr(config, "image_size", None)
        sides = [image] if type(image) is int else list(SIDES)
        for side in [*sides, 224]:
            pixels = _floats(BATCH, channels, side, side, name="pixel_values")
            yield Candidate((pixels,), "the image size of its configuration")
    if "input_values" in names:
        yield Candidate((_floats(BATCH, 4000, name="input_values"),), "its argument input_values")


# By class, where the model is itself a layer that takes several


def _by_class(model: nn.Module) -> Iterator[Candidate]:
    name = type(model).__name__
    of: Any = model
    if name == "MultiheadAttention":
        sizes = (of.embed_dim, of.kdim or of.embed_dim, of.vdim or of.embed_dim)
        specs = tuple(_floats(BATCH, LENGTH, size) for size in sizes)
        yield Candidate(specs, "its embedding size")
    elif name == "Transformer" and hasattr(of, "d_model"):
        yield Candidate((_floats(BATCH, LENGTH, of.d_model),) * 2, "its d_model")
    elif name == "Bilinear":
        yield Candidate((_floats(BATCH, of.in1_features), _floats(BATCH, of.in2_features)), "its features")
    elif name in ("TransformerDecoderLayer", "TransformerDecoder"):
        for module in modules_of(model):
            size = getattr(module, "embed_dim", None)
            if type(size) is int:
                yield Candidate((_floats(BATCH, LENGTH, size),) * 2, "its embedding size")
                return


# By layers


def _first_layers(model: nn.Module) -> Iterator[tuple[str, list[TensorSpec]]]:
    """What each layer in the order of registration takes."""
    seen: set[tuple[TensorSpec, ...]] = set()
    for module in _in_order(model):
        specs = _taken(module)
        if specs and tuple(specs) not in seen:
            seen.add(tuple(specs))
            yield f"the layer {type(module).__name__}", specs


def _in_order(model: nn.Module) -> Iterator[nn.Module]:
    """Modules in the order of `named_modules`, whatever they point to."""
    seen: set[int] = set()
    stack = [model]
    while stack:
        module = stack.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        yield module
        children = [child for child in vars(module).get("_modules", {}).values() if child is not None]
        stack.extend(reversed(children))


def _taken(module: nn.Module) -> list[TensorSpec]:
    """Shapes that a layer takes, the likeliest first; none for what is no layer known by its attributes."""
    of: Any = module

    def size(*attributes: str) -> int | None:
        found = next((getattr(of, name) for name in attributes if hasattr(of, name)), None)
        return found if type(found) is int else None

    words = size("num_embeddings")
    if words is not None:
        return [_whole(words, BATCH, LENGTH), _whole(words, BATCH), _whole(words, LENGTH)]
    channels = size("in_channels")
    if channels is not None and hasattr(of, "kernel_size"):
        dims = len(of.kernel_size) if isinstance(of.kernel_size, tuple) else 2
        sides = SIDES if dims < 3 else (16, 32, 8)
        return [_floats(BATCH, channels or 3, *[side] * dims) for side in sides]
    features = size("in_features")
    if features is not None:
        return [_floats(BATCH, features or 4), _floats(BATCH, LENGTH, features or 4)]
    step = size("input_size")
    if step is not None:
        if type(module).__name__.endswith("Cell"):
            return [_floats(BATCH, step)]
        return [_floats(BATCH, LENGTH, step)]
    embedding = size("embed_dim")
    if embedding is not None:
        return [_floats(BATCH, LENGTH, embedding)]
    return _normalised(module, size("num_features", "num_channels"))


def _normalised(module: nn.Module, features: int | None) -> list[TensorSpec]:
    of: Any = module
    if features is not None:
        name = type(module).__name__
        dims = {"1d": 1, "2d": 2, "3d": 3}.get(name[-2:])
        if name.startswith("BatchNorm1d"):
            return [_floats(BATCH, features), _floats(BATCH, features, LENGTH)]
        shapes = [dims] if dims is not None else [2, 1, 0]
        return [_floats(BATCH, features, *[LENGTH] * count) for count in shapes]
    shape = getattr(of, "normalized_shape", None)
    if isinstance(shape, tuple):
        return [_floats(BATCH, LENGTH, *shape), _floats(BATCH, *shape)]
    return []


def _several(names: list[str], layers: list[tuple[str, list[TensorSpec]]]) -> Iterator[Candidate]:
    """Candidates for a forward pass of several arguments."""
    if not layers:
        return
    wholes = [specs[0] for _, specs in layers if specs[0].dtype]
    floats = [specs for _, specs in layers if not specs[0].dtype]
    # Whole numbers where the name says so, the layers one after another elsewhere.
    for variant in range(3):
        chosen: list[TensorSpec] = []
        at = 0
        for name in names:
            if wholes and (_INDEX_NAMES.search(name) or not floats):
                chosen.append(wholes[min(at, len(wholes) - 1)] if not floats else wholes[0])
                at += not floats
            elif floats:
                specs = floats[min(at, len(floats) - 1)]
                chosen.append(specs[min(variant, len(specs) - 1)])
                at += 1
        yield Candidate(tuple(chosen), "its first layers, one for each argument")
    for why, specs in layers:
        for spec in specs[:3]:
            yield Candidate((spec,) * len(names), why)


# From refusals


def learned(candidate: Candidate, words: str) -> list[Candidate]:
    """What an error message suggests instead."""
    if candidate.depth >= MAX_LEARNED or not candidate.specs:
        return []
    out: list[tuple[TensorSpec, ...]] = []
    specs = candidate.specs
    found = re.search(r"shapes cannot be multiplied \((\d+)x(\d+) and (\d+)x(\d+)\)", words)
    if found:
        got, wanted = int(found[2]), int(found[3])
        for place, spec in enumerate(specs):
            if spec.dtype is None and spec.shape and spec.shape[-1] == got:
                out.append(_replaced(specs, place, (*spec.shape[:-1], wanted)))
            elif spec.dtype is None and len(spec.shape) > 2 and candidate.depth < 2:
                out += [_replaced(specs, place, shape) for shape in _other_sides(spec.shape, got, wanted)]
    found = re.search(r"to have (\d+) channels, but got (\d+)", words)
    if found:
        wanted, got = int(found[1]), int(found[2])
        out += [
            _replaced(specs, place, (spec.shape[0], wanted, *spec.shape[2:]))
            for place, spec in enumerate(specs)
            if len(spec.shape) > 1 and spec.shape[1] == got
        ]
    found = re.search(r"Expected (\d+), got (\d+)|expected input with shape \[\*, (\d+)\]", words)
    if found:
        last = int(found[1] or found[3])
        out += [
            _replaced(specs, place, (*spec.shape[:-1], last))
            for place, spec in enumerate(specs)
            if spec.shape
        ]
    found = re.search(r"tensor a \((\d+)\) must match the size of tensor b \((\d+)\)", words)
    if found:
        one, other = int(found[1]), int(found[2])
        for place, spec in enumerate(specs):
            for was, now in ((one, other), (other, one)):
                if was in spec.shape[1:]:
                    shape = tuple(now if dim and size == was else size for dim, size in enumerate(spec.shape))
                    out.append(_replaced(specs, place, shape))
    if re.search(r"scalar types?:? ?Long|indices.*(Long|Int)|must be long|expected scalar type Long", words):
        out.append(tuple(_whole(FALLBACK_WORDS, *spec.shape[:2], name=spec.name) for spec in specs))
        out.append(tuple(_whole(FALLBACK_WORDS, *spec.shape[:1], name=spec.name) for spec in specs))
    if "index out of range" in words or "out of bounds" in words:
        out.append(tuple(spec._replace(high=FALLBACK_WORDS) if spec.high else spec for spec in specs))
    return [
        Candidate(entry, candidate.why.removesuffix(REFUSED) + REFUSED, candidate.depth + 1)
        for entry in out
        if entry != specs
    ]


def _replaced(specs: tuple[TensorSpec, ...], place: int, shape: tuple[int, ...]) -> tuple[TensorSpec, ...]:
    return (*specs[:place], specs[place]._replace(shape=shape), *specs[place + 1 :])


def _other_sides(shape: tuple[int, ...], got: int, wanted: int) -> list[tuple[int, ...]]:
    """Images of other sizes, after how many features came out of one and how many are wanted."""
    dims = len(shape) - 2
    side = shape[-1]
    guess = side * (wanted / max(got, 1)) ** (1 / dims)
    near = sorted(
        range(max(int(guess) - 5, 1), int(guess) + 7), key=lambda size: (size not in SIDES, abs(size - guess))
    )
    return [(*shape[:2], *[size] * dims) for size in near if size != side]
