"""Joins what optimizers keep for each parameter to the parameters of the same checkpoint.

``torch.optim.Optimizer.state_dict()`` numbers parameters in the order of its groups and mostly names none,
so names are worked out from order and shape. Nothing is guessed: an entry is joined only if all ways in
which the optimizer fits the model agree about it.
"""

from __future__ import annotations

import re
from itertools import permutations
from typing import TYPE_CHECKING, Final, NamedTuple

from paramtui.core.alignment import ANY, UNTRAINED, align, align_unordered
from paramtui.core.dtypes import DTYPES
from paramtui.core.optimizer_blocks import COUNTERS, FIRST_NAMES, Blocks, Entry, Model, Optimizer
from paramtui.core.text import safe_text

if TYPE_CHECKING:
    from paramtui.core.alignment import Slot
    from paramtui.core.geometry import Shape
    from paramtui.core.listing import Listing

MAX_TOGETHER: Final = 4
_WRAPPERS: Final = ("module.", "model.", "_orig_mod.", "_fsdp_wrapped_module.", "_checkpoint_wrapped_module.")
_PLAIN_WORDS: Final = frozenset(
    [
        "optimizer",
        "optimizers",
        "optim",
        "opt",
        "state",
        "states",
        "dict",
        "sd",
        "model",
        "models",
        "module",
        "net",
        "network",
        "weights",
        "pt",
    ]
)


class Moments(NamedTuple):
    """What one optimizer keeps for one parameter.

    Attributes:
        moments: Names, such as ``exp_avg``, and tensor ids of what has the parameter's shape.
        step: Number of steps taken, where it is stored as a plain number.
        step_tensor: Id of the tensor of one element that holds the number of steps.
        where: Dotted name of the optimizer.
        group: Index of the parameter's group in ``param_groups``.
    """

    moments: tuple[tuple[str, int], ...]
    step: int | float | None
    step_tensor: int | None
    where: str
    group: int


class MomentTable(NamedTuple):
    """Moments by the tensor id of the parameter, and why some could not be joined, in words."""

    of: dict[int, tuple[Moments, ...]]
    notes: tuple[str, ...]


class _Fit(NamedTuple):
    """Parameters by slot, as far as they are certain."""

    model: str
    of: dict[Slot, int]
    exact: bool
    too_many: bool = False
    named: bool = False


def join_moments(listing: Listing) -> MomentTable:
    """Finds for each parameter of a checkpoint what the optimizers in it keep for that parameter.

    Args:
        listing: Of a file or directory that holds models and the ``state_dict()`` of optimizers.
    """
    return _Joiner(listing).join()


class _Joiner:
    def __init__(self, listing: Listing) -> None:
        self.listing = listing
        self.blocks = Blocks(listing)
        self.notes: list[str] = []

    def join(self) -> MomentTable:
        found: dict[int, list[Moments]] = {}
        optimizers, models = self.blocks.optimizers, self.blocks.models
        together = self._together(optimizers, models)
        for optimizer in optimizers:
            if not any(entry.node >= 0 for group in optimizer.groups for entry in group):
                self._note(optimizer, "it keeps no state that could be joined")
                continue
            fit = together.get(optimizer.node) or self._fit(optimizer, models)
            if fit is not None:
                self._collect(optimizer, fit, found)
        return MomentTable({tensor: tuple(rows) for tensor, rows in found.items()}, tuple(self.notes))

    def _note(self, optimizer: Optimizer, words: str) -> None:
        self.notes.append(f"{safe_text(optimizer.where) or 'the optimizer'}: {words}")

    # Which parameter is which entry.

    def _codes(self, groups: list[list[Entry]], tensors: list[int]) -> tuple[list[list[int]], list[int]]:
        """Shapes as numbers, of entries and of parameters."""
        listing = self.listing
        known: dict[Shape, int] = {}
        wants = [
            [ANY if entry.shape is None else known.setdefault(entry.shape, len(known)) for entry in group]
            for group in groups
        ]
        codes = [
            known.setdefault(listing.shape[tensor], len(known))
            if _is_trained(listing.dtype[tensor])
            else UNTRAINED
            for tensor in tensors
        ]
        return wants, codes

    def _try(self, groups: list[list[Entry]], model: Model) -> _Fit | None:
        wants, codes = self._codes(groups, model.tensors)
        count = sum(map(len, groups))
        tensors = model.tensors
        if count == sum(code >= 0 for code in codes):
            tensors = [tensor for tensor, code in zip(tensors, codes, strict=True) if code >= 0]
            names = [name for name, code in zip(model.names, codes, strict=True) if code >= 0]
            codes = [code for code in codes if code >= 0]
        else:
            names = model.names
        if count > len(codes):
            return None
        exact = count == len(codes)
        if not model.ordered:
            placed = align_unordered(wants, codes, names)
            too_many = False
        else:
            placed, too_many = align(wants, codes, skipping=not exact)
        if placed is None:
            return None
        return _Fit(model.where, {slot: tensors[at] for slot, at in placed.items()}, exact, too_many)

    def _named(self, optimizer: Optimizer, model: Model) -> _Fit | None:
        """The fit by names, where the optimizer has them."""
        shapes = self.listing.shape
        exactly = dict(zip(model.names, model.tensors, strict=True))
        for tensor in model.tensors:
            for other in self.blocks.aliases[tensor]:
                name = self.listing.names[other]
                if model.node == 0 or name.startswith(f"{model.where}."):
                    exactly.setdefault(name[len(model.where) + 1 if model.node else 0 :], tensor)
        loosely: dict[str, int | None] = {}
        for name, tensor in exactly.items():
            bare = _unwrapped(name)
            loosely[bare] = tensor if loosely.get(bare, tensor) == tensor else None
        of: dict[Slot, int] = {}
        for group, entries in enumerate(optimizer.groups):
            for place, entry in enumerate(entries):
                if entry.name is None:
                    return None
                tensor_or_none = exactly.get(entry.name)
                if tensor_or_none is None:
                    tensor_or_none = loosely.get(_unwrapped(entry.name))
                if tensor_or_none is not None and entry.shape in (None, shapes[tensor_or_none]):
                    of[group, place] = tensor_or_none
        if not of or len(set(of.values())) < len(of):
            return None
        return _Fit(model.where, of, len(of) == optimizer.size, named=True)

    def _fit(self, optimizer: Optimizer, models: list[Model]) -> _Fit | None:
        fits = [fit for model in models if (fit := self._named(optimizer, model))]
        if fits:
            most = max(len(fit.of) for fit in fits)
            fits = [fit for fit in fits if len(fit.of) == most]
        else:
            fits = [fit for model in models if (fit := self._try(optimizer.groups, model))]
        if not fits:
            fits = self._over_several(optimizer, models)
        if not fits:
            self._note(optimizer, "no model in the file fits its parameters")
            return None
        return self._choose(optimizer, fits)

    def _choose(self, optimizer: Optimizer, fits: list[_Fit]) -> _Fit | None:
        def score(fit: _Fit) -> tuple[int, bool]:
            return _relation(optimizer.where, fit.model), fit.exact

        best = max(map(score, fits))
        chosen = [fit for fit in fits if score(fit) == best]
        if len(chosen) > 1 and any(fit.of != chosen[0].of for fit in chosen):
            plain = [fit for fit in chosen if not _words(fit.model)]
            names = ", ".join(safe_text(fit.model, 60) or "the file itself" for fit in chosen[:4])
            if not plain:
                self._note(optimizer, f"{len(chosen)} models fit it equally: {names}")
                return None
            taken = safe_text(plain[0].model, 60) or "the file itself"
            self._note(optimizer, f"{len(chosen)} models fit it equally: {names}; joined to {taken}")
            return plain[0]
        return chosen[0]

    def _over_several(self, optimizer: Optimizer, models: list[Model]) -> list[_Fit]:
        """One optimizer over all models of a block: they may stand in it in any order."""
        beside: dict[int, list[Model]] = {}
        for model in models:
            beside.setdefault(self.listing.node_parent[model.node], []).append(model)
        fits: list[_Fit] = []
        for some in beside.values():
            if not 2 <= len(some) <= MAX_TOGETHER or sum(len(m.tensors) for m in some) != optimizer.size:
                continue
            merged: list[_Fit] = []
            for order in permutations(some):
                tensors = [tensor for model in order for tensor in model.tensors]
                names = [f"{model.where}.{name}" for model in order for name in model.names]
                whole = Model(-1, order[0].where, tensors, names, all(model.ordered for model in order))
                fit = self._try(optimizer.groups, whole)
                if fit is not None:
                    merged.append(fit)
            if merged:
                same = set.intersection(*[set(fit.of.items()) for fit in merged])
                fits.append(_Fit(merged[0].model, dict(same), exact=True))
        return fits

    def _together(self, optimizers: list[Optimizer], models: list[Model]) -> dict[int, _Fit]:
        """Optimizers side by side that share out all parameters of one model among them."""
        beside: dict[int, list[Optimizer]] = {}
        for optimizer in optimizers:
            beside.setdefault(self.listing.node_parent[optimizer.node], []).append(optimizer)
        out: dict[int, _Fit] = {}
        for some in beside.values():
            total = sum(optimizer.size for optimizer in some)
            if len(some) < 2 or any(self._named(one, model) for one in some for model in models):
                continue
            groups = [group for optimizer in some for group in optimizer.groups]
            sized = [model for model in models if total == len(model.tensors)]
            fits = [fit for model in sized if (fit := self._try(groups, model))]
            alone = any(one.size == len(model.tensors) for one in some for model in models)
            if len(fits) != 1 or alone:
                continue
            first = 0
            for optimizer in some:
                last = first + len(optimizer.groups)
                of = {(g - first, i): tensor for (g, i), tensor in fits[0].of.items() if first <= g < last}
                out[optimizer.node] = fits[0]._replace(of=of)
                first = last
        return out

    # What is told of it.

    def _collect(self, optimizer: Optimizer, fit: _Fit, found: dict[int, list[Moments]]) -> None:
        left: list[int] = []
        number = 0
        for group, entries in enumerate(optimizer.groups):
            for place, entry in enumerate(entries):
                parameter = fit.of.get((group, place))
                if entry.node >= 0 and parameter is None:
                    left.append(number)
                elif entry.node >= 0 and parameter is not None:
                    row = self._moments(entry.node, parameter, optimizer.where, group)
                    for alias in self.blocks.aliases[parameter]:
                        found.setdefault(alias, []).append(row)
                number += 1
        if left:
            why = "two or more parameters of equal shape fit"
            if fit.named:
                why = "no parameter has the name and shape of"
            elif fit.too_many:
                why = "too many parameters of equal shape fit"
            shown = ", ".join(map(str, left[:6]))
            more = f" and {len(left) - 6:,} more" if len(left) > 6 else ""
            entry_word = "entry" if len(left) == 1 else "entries"
            self._note(optimizer, f"{why} {entry_word} {shown}{more}")

    def _moments(self, node: int, parameter: int, where: str, group: int) -> Moments:
        listing = self.listing
        tensors = self.blocks.tensors_below(node)
        names: list[str] = [name for name in FIRST_NAMES if name in tensors]
        names += [name for name in tensors if name not in FIRST_NAMES and name not in COUNTERS]
        shape = listing.shape[parameter]
        step = self.blocks.value(self.blocks.below(node).get("step", -1))
        step_tensor = tensors.get("step")
        return Moments(
            tuple((name, tensors[name]) for name in names if listing.shape[tensors[name]] == shape),
            step if isinstance(step, int | float) and not isinstance(step, bool) else None,
            step_tensor if step_tensor is not None and listing.numel(step_tensor) == 1 else None,
            where,
            group,
        )


def _is_trained(dtype: str) -> bool:
    known = DTYPES.get(dtype)
    return known is not None and known.family in ("float", "complex")


def _unwrapped(name: str) -> str:
    """A parameter's name without what wrappers put before and into it."""
    for inner in _WRAPPERS[2:]:
        name = name.replace(inner, "")
    while name.startswith(_WRAPPERS[:2]):
        name = name.partition(".")[2]
    return name


def _words(name: str) -> frozenset[str]:
    """What tells a name from others of its kind: ``d`` of ``optimizer_D`` and of ``netD``."""
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+|[0-9]+", name[:1000])
    return frozenset(part.lower() for part in parts) - _PLAIN_WORDS


def _relation(optimizer: str, model: str) -> int:
    """How well the names of an optimizer and of a model go together."""
    ours, theirs = _words(optimizer), _words(model)
    if ours == theirs:
        return 3 if ours else 1
    for our in ours:
        for their in theirs:
            if our == their or (not our.isdecimal() and (our.startswith(their) or their.startswith(our))):
                return 2
    return 0 if theirs else 1
