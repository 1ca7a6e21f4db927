"""Fits ordered groups of entries to ordered parameters by shape, as far as there is one way only.

Shapes are given as numbers. Each group is a subsequence of the parameters and no parameter is in two
groups, as with the groups of ``torch.optim.Optimizer`` over ``model.parameters()``.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, Final, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_STATES: Final = 2_000
"""Ways of having filled the groups up to some parameter that are followed side by side."""
MAX_WORK: Final = 100_000
"""Such ways over all parameters."""

ANY: Final = -1
"""The shape of an entry that fits every parameter."""
UNTRAINED: Final = -2
"""The shape of a parameter that only an entry of any shape fits."""

Slot: TypeAlias = tuple[int, int]
"""A group, and a place in it."""

_SEVERAL: Final = -1


def align(wants: list[list[int]], codes: list[int], *, skipping: bool) -> tuple[dict[Slot, int] | None, bool]:
    """Places that all valid alignments agree on.

    Args:
        wants: Shapes of the entries by group.
        codes: Shapes of the parameters.
        skipping: Whether parameters may be in no group; else there are as many entries as parameters.

    Returns:
        Parameters by slot, None if nothing fits; and whether there were too many ways to follow all.
    """
    bounds: list[tuple[list[int], list[int]]] = []
    for want in wants:
        first = _leftmost(want, codes)
        if first is None:
            return None, False
        mirrored = _leftmost(want[::-1], codes[::-1]) or []
        bounds.append((first, [len(codes) - 1 - at for at in reversed(mirrored)]))
    filled = [group for group, want in enumerate(wants) if want]
    if len(filled) <= 1:
        return _pinned(bounds), False
    return _search(wants, codes, bounds, filled, skipping=skipping)


def _leftmost(want: Sequence[int], codes: Sequence[int]) -> list[int] | None:
    """The first place of each entry of one group, were it alone; None if it does not fit."""
    out: list[int] = []
    at = 0
    for shape in want:
        while at < len(codes) and shape not in (ANY, codes[at]):
            at += 1
        if at == len(codes):
            return None
        out.append(at)
        at += 1
    return out


def _pinned(bounds: list[tuple[list[int], list[int]]]) -> dict[Slot, int]:
    """Entries that have one place even if each group is looked at alone."""
    return {
        (group, place): low
        for group, (lows, highs) in enumerate(bounds)
        for place, (low, high) in enumerate(zip(lows, highs, strict=True))
        if low == high
    }


def _search(
    wants: list[list[int]],
    codes: list[int],
    bounds: list[tuple[list[int], list[int]]],
    filled: list[int],
    *,
    skipping: bool,
) -> tuple[dict[Slot, int] | None, bool]:
    """Follows all ways forward, then keeps those that reach the end."""
    rows = [wants[group] for group in filled]
    lows = [bounds[group][0] for group in filled]
    highs = [bounds[group][1] for group in filled]
    layers: list[set[tuple[int, ...]]] = [{(0,) * len(filled)}]
    work = 0
    for at, code in enumerate(codes):
        # Entries whose last place is passed must be filled; those whose first place is to come cannot.
        least = [bisect_left(high, at + 1) for high in highs]
        most = [bisect_left(low, at + 1) for low in lows]
        reached: set[tuple[int, ...]] = set()
        for state in layers[-1]:
            for after in _after(state, rows, code, skipping=skipping):
                if all(a <= b <= c for a, b, c in zip(least, after, most, strict=True)):
                    reached.add(after)
        work += len(reached)
        if len(reached) > MAX_STATES or work > MAX_WORK:
            return _pinned(bounds), True
        if not reached:
            return None, False
        layers.append(reached)
    end = tuple(map(len, rows))
    if end not in layers[-1]:
        return None, False
    alive = {end}
    places: dict[Slot, int] = {}
    for at in range(len(codes) - 1, -1, -1):
        before: set[tuple[int, ...]] = set()
        for state in layers[at]:
            for after in _after(state, rows, codes[at], skipping=skipping):
                if after not in alive:
                    continue
                before.add(state)
                for group, (old, new) in enumerate(zip(state, after, strict=True)):
                    if old != new:
                        slot = (filled[group], old)
                        places[slot] = at if places.get(slot, at) == at else _SEVERAL
        alive = before
    return {slot: at for slot, at in places.items() if at != _SEVERAL}, False


def _after(
    state: tuple[int, ...], rows: list[list[int]], code: int, *, skipping: bool
) -> list[tuple[int, ...]]:
    """What can follow when one more parameter is met."""
    out = [state] if skipping else []
    for group, place in enumerate(state):
        row = rows[group]
        if place < len(row) and row[place] in (ANY, code):
            out.append((*state[:group], place + 1, *state[group + 1 :]))
    return out


def align_unordered(wants: list[list[int]], codes: list[int], names: list[str]) -> dict[Slot, int] | None:
    """Places that are certain though the order of the parameters is not known.

    These are shapes that one parameter alone has, or only the same parameter of numbered layers
    (``layers.0.down.weight``, ``layers.1.down.weight``, ...), all of which are in one group.
    """
    entries: dict[int, list[Slot]] = {}
    for group, want in enumerate(wants):
        for place, shape in enumerate(want):
            entries.setdefault(shape, []).append((group, place))
    parameters: dict[int, list[int]] = {}
    for at, code in enumerate(codes):
        parameters.setdefault(code, []).append(at)
    out: dict[Slot, int] = {}
    for shape, slots in entries.items():
        places = parameters.get(shape, [])
        if shape == ANY:
            continue
        if len(slots) > len(places):
            return None
        if len(slots) < len(places):
            continue
        parts = [names[at].split(".") for at in places]
        alike = {tuple("#" if _is_number(part) else part for part in found) for found in parts}
        if len(places) > 1 and (len(alike) > 1 or len({group for group, _ in slots}) > 1):
            continue
        numbers = [[int(part) for part in found if _is_number(part)] for found in parts]
        in_order = sorted(zip(numbers, places, strict=True))
        out.update(zip(slots, [at for _, at in in_order], strict=True))
    return out


def _is_number(part: str) -> bool:
    return part.isascii() and part.isdecimal() and len(part) < 10
