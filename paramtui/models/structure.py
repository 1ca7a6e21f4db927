"""Which objects stand where in a model, and which memory they are, to be put back after a person's own code.

A function that is given a module can assign anything: other parameters, other memory behind ``.data``, other
attributes. What it may keep are other numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch

from paramtui.errors import EditError
from paramtui.models.shield import unstoppable
from paramtui.models.snapshots import storage_of
from paramtui.models.state_guard import Held, held, modules_of, put_back, same_place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

_TABLES: Final = ("_parameters", "_buffers", "_modules")


class _Was(NamedTuple):
    """A tensor as it was: its memory and sizes, whether it asks for a gradient, and its gradient."""

    tensor: torch.Tensor
    alias: torch.Tensor | None
    requires_grad: bool
    grad: torch.Tensor | None


class _Module(NamedTuple):
    module: nn.Module
    attributes: dict[str, Any]
    tables: dict[str, dict[str, Any]]


class Structure:
    """A model as it is now.

    Args:
        model: Its outermost module.

    Attributes:
        tensors: Every tensor that it holds: parameters, buffers, plain attributes, and their gradients.
    """

    def __init__(self, model: nn.Module) -> None:
        self._modules = [
            _Module(
                module,
                dict(vars(module)),
                {name: dict(table) for name in _TABLES if isinstance(table := vars(module).get(name), dict)},
            )
            for module in modules_of(model)
        ]
        self._was: dict[int, _Was] = {}
        self._held: list[Held] = []
        self._unchanged: set[int] = set()
        for module in self._modules:
            for tensor in self._tensors_in(module):
                self._note(tensor)
        self.tensors = [was.tensor for was in self._was.values()]

    @staticmethod
    def _tensors_in(module: _Module) -> Iterator[torch.Tensor]:
        for value in module.attributes.values():
            for each in value if isinstance(value, list | tuple) else (value,):
                if isinstance(each, torch.Tensor):
                    yield each
        for name in ("_parameters", "_buffers"):
            for tensor in module.tables.get(name, {}).values():
                if isinstance(tensor, torch.Tensor):
                    yield tensor

    def _note(self, tensor: torch.Tensor) -> None:
        if id(tensor) in self._was:
            return
        grad = tensor.grad if tensor.is_leaf else None
        plain = storage_of(tensor) is not None
        if not plain:
            # Sparse, nested or wrapped: a copy stands for what a snapshot of memory cannot keep.
            self._held.append(held(tensor))
        with torch.no_grad():
            alias = tensor.detach() if plain else None
        self._was[id(tensor)] = _Was(tensor, alias, tensor.requires_grad, grad)
        if grad is not None:
            self._note(grad)

    def restore(self) -> None:
        """Puts every object, its memory and its attributes back; the numbers are a snapshot's business."""
        with unstoppable():
            self._restore()

    def _restore(self) -> None:
        for module in self._modules:
            own = vars(module.module)
            for name, table in module.tables.items():
                found = module.attributes[name]
                if list(found) != list(table) or any(found[key] is not table[key] for key in table):
                    found.clear()
                    found.update(table)
            if own.keys() != module.attributes.keys() or any(
                own[name] is not value for name, value in module.attributes.items()
            ):
                own.clear()
                own.update(module.attributes)
        for was in self._was.values():
            tensor = was.tensor
            if was.alias is not None and not same_place(tensor.detach(), was.alias):
                tensor.data = was.alias
            if tensor.requires_grad != was.requires_grad and tensor.is_leaf:
                tensor.requires_grad_(was.requires_grad)
            if tensor.is_leaf and tensor.grad is not was.grad:
                tensor.grad = was.grad
        for kept in self._held:
            put_back(kept)

    def keep_numbers(self) -> None:
        """Brings other numbers into the tensors that were there before, and puts those back in their places.

        Raises:
            EditError: Something else than numbers has changed.
        """
        replaced: dict[int, torch.Tensor] = {}
        for module in self._modules:
            for kind in ("_parameters", "_buffers"):
                before, now = module.tables.get(kind, {}), vars(module.module).get(kind) or {}
                if list(before) != list(now):
                    changed = ", ".join(sorted(set(before) ^ set(now))) or "their order"
                    raise EditError(f"it adds or removes parameters ({changed})")
                for name, tensor in before.items():
                    self._match(name, tensor, now[name], replaced)
            children = vars(module.module).get("_modules") or {}
            known = module.tables.get("_modules", {})
            if any(children.get(name) is not child for name, child in known.items()) or len(children) != len(
                known
            ):
                raise EditError("it exchanges layers")
        self._separate(replaced)
        with unstoppable():
            self._bring_back(replaced)

    def _bring_back(self, replaced: dict[int, torch.Tensor]) -> None:
        """New numbers into the memory that was there, and that back into its places."""
        with torch.no_grad():
            for key, tensor in replaced.items():
                alias = self._was[key].alias
                if alias is not None:
                    alias.copy_(tensor)
        for key in replaced:
            was = self._was[key]
            if was.alias is not None and not same_place(was.tensor.detach(), was.alias):
                was.tensor.data = was.alias
        for module in self._modules:
            for kind in ("_parameters", "_buffers"):
                table = vars(module.module).get(kind)
                if isinstance(table, dict):
                    table.update(module.tables[kind])

    def _match(
        self, name: str, before: torch.Tensor | None, now: object, replaced: dict[int, torch.Tensor]
    ) -> None:
        if before is None or now is None:
            if before is not now:
                raise EditError(f"it sets or removes {name}")
            return
        was = self._was[id(before)]
        if not isinstance(now, torch.Tensor):
            raise EditError(f"it puts something else in place of {name}")
        if now is not before and id(now) in self._was:
            raise EditError(f"it ties {name} to another parameter")
        untied = id(before) in self._unchanged and now is not before
        if untied or (id(before) in replaced and not same_place(replaced[id(before)], now.detach())):
            raise EditError(f"it unties {name}, which stands at several places")
        if now is before and (was.alias is None or same_place(before.detach(), was.alias)):
            self._unchanged.add(id(before))
            return
        first = was.alias if was.alias is not None else before
        if now.shape != first.shape or now.dtype != first.dtype or now.device != first.device:
            here, there = tuple(first.shape), tuple(now.shape)
            raise EditError(f"it changes {name} from {first.dtype} {here} to {now.dtype} {there}")
        replaced[id(before)] = now.detach()

    def _separate(self, replaced: dict[int, torch.Tensor]) -> None:
        """Refuses new memory that several tensors share, which did not before."""
        seen: dict[tuple[str, int], int] = {}
        for key, tensor in replaced.items():
            memory = storage_of(tensor)
            if memory is None:
                continue
            place = (str(memory.device), tensor.data_ptr())
            if place in seen:
                raise EditError("it ties parameters that were not tied")
            seen[place] = key
