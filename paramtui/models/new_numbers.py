"""What a person's own function has done to a model, brought down to other numbers in the same tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import torch

from paramtui.errors import EditError

if TYPE_CHECKING:
    from paramtui.models.structure import Structure, Was

_TABLES: Final = ("_parameters", "_buffers")


def keep_numbers(structure: Structure) -> None:
    """Brings other numbers into the tensors that were there before, and puts back all that is no number.

    Args:
        structure: What was there.

    Raises:
        EditError: Something else than numbers has changed, in a way that no numbers stand for.
    """
    found = _Found(structure)
    found.look()
    with torch.no_grad():
        found.copy()
    structure.restore()


class _Found:
    """What stands in a model now, by what stood there before."""

    def __init__(self, structure: Structure) -> None:
        self._structure = structure
        self._kept: dict[int, Was] = {}
        self._replaced: dict[int, tuple[Was, torch.Tensor]] = {}

    def look(self) -> None:
        """Finds what takes whose place; raises as `keep_numbers`."""
        for module in self._structure.modules:
            now = vars(module.module)
            for kind in _TABLES:
                before, after = module.tables.get(kind, {}), now.get(kind) or {}
                if list(before) != list(after):
                    changed = ", ".join(sorted(set(before) ^ set(after))) or "their order"
                    raise EditError(f"it adds or removes parameters ({changed})")
                for name, tensor in before.items():
                    self._match(name, tensor, after[name])
            children = now.get("_modules") or {}
            known = module.tables.get("_modules", {})
            if list(children) != list(known) or any(
                children[name] is not child for name, child in known.items()
            ):
                raise EditError("it exchanges layers")
        self._check_ties()

    def _match(self, name: str, before: torch.Tensor | None, now: object) -> None:
        if before is None or now is None:
            if before is not now:
                raise EditError(f"it sets or removes {name}")
            return
        was = self._structure.was(before)
        assert was is not None  # noqa: S101  it stood in a table
        if not isinstance(now, torch.Tensor):
            raise EditError(f"it puts something else in place of {name}")
        if was.alias is not None and was.alias.untyped_storage().nbytes() != was.nbytes:
            raise EditError(f"it gives the memory of {name} another size")
        if now is not before and self._structure.was(now) is not None:
            raise EditError(f"it ties {name} to another parameter")
        key = id(before)
        same = now is before and was.there
        known = self._replaced.get(key)
        if (key in self._kept and not same) or (known is not None and (same or not _one(known[1], now))):
            raise EditError(f"it unties {name}, which stands at several places")
        if same:
            self._kept[key] = was
            return
        first = was.alias if was.alias is not None else before
        if first.layout != torch.strided or now.layout != torch.strided:
            raise EditError(f"it puts another tensor in place of {name}, which has a layout of its own")
        if now.shape != first.shape or now.dtype != first.dtype or now.device != first.device:
            here, there = tuple(first.shape), tuple(now.shape)
            raise EditError(f"it changes {name} from {first.dtype} {here} to {now.dtype} {there}")
        self._replaced[key] = was, now.detach()

    def _check_ties(self) -> None:
        """Refuses new memory that several tensors share, which did not before."""
        seen = {_place(was.alias) for was in self._kept.values() if was.alias is not None}
        for was, tensor in self._replaced.values():
            if was.alias is None or not tensor.numel():
                continue
            place = _place(tensor)
            if place in seen:
                raise EditError("it ties parameters that were not tied")
            seen.add(place)

    def copy(self) -> None:
        """Copies new numbers into the memory that was there."""
        own = {
            was.alias.untyped_storage().data_ptr()
            for was in map(self._structure.was, self._structure.tensors)
            if was is not None and was.alias is not None
        }
        # Two may have exchanged their memory: what is read must not be overwritten before.
        news = [
            (was.alias, tensor.clone() if tensor.untyped_storage().data_ptr() in own else tensor)
            for was, tensor in self._replaced.values()
            if was.alias is not None
        ]
        for alias, tensor in news:
            alias.copy_(tensor)


def _place(tensor: torch.Tensor) -> tuple[str, int]:
    return str(tensor.device), tensor.data_ptr()


def _one(first: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether two tensors are the same elements of the same memory."""
    return (first.shape, first.stride(), _place(first)) == (
        other.shape,
        other.stride(),
        _place(other.detach()),
    )
