"""Copies of tensors and modules that stand in their place, made without calling code of their classes."""

from __future__ import annotations

import copy
from functools import partial
from types import MethodType
from typing import Any, Final

import torch
from torch import nn
from torch.nn.modules.module import _WrappedHook

from paramtui.core.text import safe_text
from paramtui.errors import EditError

# What an RNN holds of its parameters besides its table of them.
_FLAT: Final = ("_flat_weights", "_flat_weight_refs")
# The forward pass compiled for the very module that it was compiled of.
_COMPILED: Final = "_compiled_call_impl"


def own_tensor(tensor: torch.Tensor) -> torch.Tensor:
    """A leaf of the same class with the same numbers and attributes, in memory of its own.

    Strides are the same where they leave no gaps. It has no gradient and no hooks.
    """
    with torch.no_grad(), torch._C.DisableTorchFunctionSubclass():  # noqa: SLF001  it has no other name
        fresh = tensor.detach().clone()
        made: torch.Tensor = torch.Tensor._make_subclass(type(tensor), fresh, tensor.requires_grad)  # noqa: SLF001
    vars(made).update(vars(tensor))
    return made


def own_module(module: nn.Module) -> nn.Module:
    """A module of the same class with the same attributes, and tables and hooks of its own.

    The parameters, buffers and modules in the tables are the same objects.

    Raises:
        EditError: Such a module is more than its attributes.
    """
    kind = type(module)
    if isinstance(module, torch.jit.ScriptModule) or kind.__name__ == "OptimizedModule":
        raise EditError(
            f"lies in a compiled module ({safe_text(kind.__name__)}) that stands at several places: it cannot"
            " be untied at one of them"
        )
    try:
        made: nn.Module = object.__new__(kind)
    except TypeError:
        raise EditError(
            f"lies in a {safe_text(kind.__name__)} at several places, and cannot be copied without"
            " running its code"
        ) from None
    own = vars(made)
    own.update(vars(module))
    own.pop(_COMPILED, None)
    tables = {name for name, value in vars(nn.Module()).items() if isinstance(value, dict | set)}
    for name, value in list(own.items()):
        if name in tables or (name in _FLAT and isinstance(module, nn.RNNBase)):
            own[name] = copy.copy(value)
        else:
            own[name] = _rebound(value, module, made)
        if name in tables and name.endswith("_hooks"):
            for key, hook in value.items():
                own[name][key] = _rebound(hook, module, made)
    return made


def _rebound(value: Any, module: nn.Module, made: nn.Module) -> Any:  # noqa: ANN401  any attribute
    """What is bound to a module as the same bound to its copy; all else as it is."""
    if isinstance(value, MethodType) and value.__self__ is module:
        return MethodType(value.__func__, made)
    if type(value) is partial and any(argument is module for argument in value.args):
        arguments = (made if argument is module else argument for argument in value.args)
        bound = partial(value.func, *arguments, **value.keywords)
        vars(bound).update(vars(value))
        return bound
    if type(value) is _WrappedHook and value.with_module and value.module() is module:
        return _WrappedHook(_rebound(value.hook, module, made), made)
    return value
