"""Which objects stand where in a model, and which memory they are, to be put back after a person's own code.

A function that is given a module can assign anything: other parameters, other memory behind ``.data``, other
attributes. What it may keep are other numbers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch

from paramtui.models.snapshots import storage_of
from paramtui.models.state_guard import Held, held, modules_of, put_back, same_place

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

_TABLES: Final = ("_parameters", "_buffers", "_modules")


class Was(NamedTuple):
    """A tensor as it was.

    Attributes:
        tensor: The very object.
        alias: Its memory and sizes; None where it has no memory of its own.
        nbytes: Of that memory.
        requires_grad: Whether it asks for a gradient.
        grad: Its gradient.
        attributes: What else the object holds.
        hooks: Functions that are called with its gradient; None for none.
    """

    tensor: torch.Tensor
    alias: torch.Tensor | None
    nbytes: int
    requires_grad: bool
    grad: torch.Tensor | None
    attributes: dict[str, Any]
    hooks: dict[Any, Any] | None

    @property
    def there(self) -> bool:
        """Whether it still is the same elements of the same memory."""
        if self.alias is None:
            return True
        now = self.tensor.detach()
        same = now.untyped_storage()._cdata == self.alias.untyped_storage()._cdata  # noqa: SLF001
        return same and same_place(now, self.alias)


class ModuleWas(NamedTuple):
    """A module as it was: its class, its attributes, and its tables of parameters, buffers and modules."""

    module: nn.Module
    kind: type
    attributes: dict[str, Any]
    tables: dict[str, dict[str, Any]]
    contents: dict[str, Any]


class Structure:
    """A model as it is now.

    Args:
        model: Its outermost module.

    Attributes:
        modules: Each once.
        tensors: Every tensor that they hold: parameters, buffers, plain attributes, and their gradients.
    """

    def __init__(self, model: nn.Module) -> None:
        self.modules = [_noted(module) for module in modules_of(model)]
        self._was: dict[int, Was] = {}
        self._held: list[Held] = []
        for module in self.modules:
            for tensor in self._tensors_in(module):
                self._note(tensor)
        self.tensors = [was.tensor for was in self._was.values()]

    @staticmethod
    def _tensors_in(module: ModuleWas) -> Iterator[torch.Tensor]:
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
        nbytes = alias.untyped_storage().nbytes() if alias is not None else 0
        attributes = dict(getattr(tensor, "__dict__", {}))
        hooks = tensor._backward_hooks  # noqa: SLF001  they have no other name
        self._was[id(tensor)] = Was(
            tensor,
            alias,
            nbytes,
            tensor.requires_grad,
            grad,
            attributes,
            None if hooks is None else dict(hooks),
        )
        if grad is not None:
            self._note(grad)

    def was(self, tensor: torch.Tensor) -> Was | None:
        """What a tensor was; None for one that was not there."""
        return self._was.get(id(tensor))

    def restore(self) -> None:
        """Puts every object, its memory and its attributes back; the numbers are a snapshot's business."""
        for module in self.modules:
            _put_back_module(module)
        for was in self._was.values():
            _put_back_tensor(was)
        for kept in self._held:
            put_back(kept)


def _noted(module: nn.Module) -> ModuleWas:
    own = vars(module)
    return ModuleWas(
        module,
        type(module),
        dict(own),
        {name: dict(table) for name in _TABLES if isinstance(table := own.get(name), dict)},
        # Hooks and the like stand in containers, which are the same objects after something was added.
        {
            name: value.copy()
            for name, value in own.items()
            if name not in _TABLES and isinstance(value, dict | list | set)
        },
    )


def _put_back_module(was: ModuleWas) -> None:
    module, own = was.module, vars(was.module)
    if type(module) is not was.kind:
        module.__class__ = was.kind
    for name, table in was.tables.items():
        _refill(was.attributes[name], table)
    for name, content in was.contents.items():
        _refill(was.attributes[name], content)
    if own.keys() != was.attributes.keys() or any(
        own[name] is not value for name, value in was.attributes.items()
    ):
        own.clear()
        own.update(was.attributes)


def _refill(container: Any, content: Any) -> None:  # noqa: ANN401  a dict, list or set of anything
    if isinstance(container, list):
        if len(container) != len(content) or any(
            one is not other for one, other in zip(container, content, strict=True)
        ):
            container[:] = content
        return
    same = list(map(id, container)) == list(map(id, content))
    if same and isinstance(container, dict):
        same = all(container[key] is value for key, value in content.items())
    if not same:
        container.clear()
        container.update(content)


def _put_back_tensor(was: Was) -> None:
    tensor = was.tensor
    if was.alias is not None:
        storage = was.alias.untyped_storage()
        if storage.nbytes() != was.nbytes:
            storage.resize_(was.nbytes)
    if not was.there and was.alias is not None:
        tensor.data = was.alias
    if tensor.requires_grad != was.requires_grad and tensor.is_leaf:
        tensor.requires_grad_(was.requires_grad)
    if tensor.is_leaf and tensor.grad is not was.grad:
        tensor.grad = was.grad
    own = getattr(tensor, "__dict__", {})
    if own.keys() != was.attributes.keys() or any(
        own[key] is not value for key, value in was.attributes.items()
    ):
        own.clear()
        own.update(was.attributes)
    hooks = tensor._backward_hooks  # noqa: SLF001  they have no other name
    if (hooks or {}) != (was.hooks or {}):
        if was.hooks is None or hooks is None:
            tensor._backward_hooks = was.hooks  # noqa: SLF001
        else:
            hooks.clear()
            hooks.update(was.hooks)
