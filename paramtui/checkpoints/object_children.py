"""What lies below the objects of a pickle: entries of dicts, attributes, and the parts of modules."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from paramtui.checkpoints.inert_objects import Pairs, Record
from paramtui.checkpoints.object_text import SCALARS, plain_scalar, short_text
from paramtui.core.listing import ARGUMENT, ATTRIBUTE, BUFFER, ITEM, PARAMETER, SUBMODULE, Key

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import TypeGuard

    from paramtui.checkpoints.budget import Budget

# Entries of a tuple that is a key, so that it is a name.
MAX_KEY = 16

# What torch.nn.Module.__init__ puts into an instance for its own use.
_MODULE_INTERNALS = frozenset(
    {
        "_parameters",
        "_buffers",
        "_modules",
        "_non_persistent_buffers_set",
        "_backward_pre_hooks",
        "_backward_hooks",
        "_is_full_backward_hook",
        "_forward_hooks",
        "_forward_hooks_with_kwargs",
        "_forward_hooks_always_called",
        "_forward_pre_hooks",
        "_forward_pre_hooks_with_kwargs",
        "_state_dict_hooks",
        "_state_dict_pre_hooks",
        "_load_state_dict_pre_hooks",
        "_load_state_dict_post_hooks",
        "_backend",
    }
)

# Key, step, object and kind: what a node gets from the container around it.
Child: TypeAlias = tuple[Key, int, object, str]


def entries(items: Sequence[object], kind: str, step: int = ITEM) -> list[Child]:
    """Children of a dict; what lies under an optimizer's ``state`` is optimizer state."""
    # "state" and "param_groups" together are what torch.optim.Optimizer.state_dict() gives.
    keys = items[::2] if len(items) < 40 else ()
    optimizer = "state" in keys and "param_groups" in keys
    children: list[Child] = []
    for index in range(0, len(items) - 1, 2):
        key = items[index]
        if type(key) not in (str, int, bytes):
            key = _key(key)
        below = "optimizer" if optimizer and key == "state" else kind
        children.append((key, step, items[index + 1], below))
    return children


def _key(key: object) -> Key:
    """A key that is neither text nor an integer, so that its name can be written."""
    if key is None or type(key) in (bool, float):
        return key
    if type(key) is tuple and len(key) <= MAX_KEY and SCALARS.issuperset(map(type, key)):
        return tuple([plain_scalar(item, short=True) for item in key])
    return short_text(key)


def attributes(state: object, kind: str, budget: Budget) -> list[Child]:
    """Attributes that BUILD would set: a dict, or a pair of dicts for classes with slots.

    Raises:
        SpentError: There are too many, and they were looked at before.
    """
    halves: tuple[object, ...] = (state,)
    if type(state) is tuple and len(state) == 2 and all(type(half) in (Pairs, type(None)) for half in state):
        halves = state
    elif type(state) is not Pairs:
        return [("state", ARGUMENT, state, kind)]
    limit = 2 * (budget.rows + 1)
    children: list[Child] = []
    for half in halves:
        if type(half) is Pairs:
            budget.look(len(half.items) >> 1)
            children += entries(half.items[:limit], kind, ATTRIBUTE)
    return children


def is_module(state: object) -> TypeGuard[Pairs]:
    """Whether a state is that of a ``torch.nn.Module``."""
    if type(state) is not Pairs:
        return False
    return all(type(state.get(name)) in (Pairs, Record) for name in ("_parameters", "_buffers", "_modules"))


def module_parts(state: Pairs, budget: Budget) -> list[Child]:
    """Parameters, buffers, attributes and submodules, in the order of ``named_parameters()``.

    Raises:
        SpentError: There are too many, and they were looked at before.
    """
    limit = 2 * (budget.rows + 1)
    slots = {name: _slot(state.get(name)) for name in ("_parameters", "_buffers", "_modules")}
    budget.look((len(state.items) + sum(map(len, slots.values()))) >> 1)
    children: list[Child] = []
    parameters = {id(found) for found in slots["_parameters"][1::2]}
    for slot, kind, step in (("_parameters", "parameter", PARAMETER), ("_buffers", "buffer", BUFFER)):
        children += entries(slots[slot][:limit], kind, step)
    children += [
        child
        for child in entries(state.items[:limit], "tensor", ATTRIBUTE)
        if child[0] not in _MODULE_INTERNALS and not _repeats(child[2], parameters)
    ]
    children += [
        child for child in entries(slots["_modules"][:limit], "tensor", SUBMODULE) if child[2] is not None
    ]
    return children


def _repeats(found: object, parameters: set[int]) -> bool:
    """Whether a list holds nothing but the module's own parameters, as an RNN's ``_flat_weights``."""
    return (
        type(found) is list
        and 0 < len(found) <= len(parameters)
        and all(id(item) in parameters for item in found)
    )


def _slot(found: object) -> list[object]:
    """Keys and values of a module's dict: of a plain one, of a subclass, or of Python 2's OrderedDict."""
    if type(found) is not Record:
        return found.items if type(found) is Pairs else []
    pairs = pair_list(found.args[0]) if type(found.args) is tuple and len(found.args) == 1 else None
    return (pairs or []) + (found.pairs or [])


def pair_list(found: object) -> list[object] | None:
    """Python 2 wrote OrderedDict as a call with a list of [key, value]."""
    if type(found) is not list:
        return None
    flat: list[object] = []
    for pair in found:
        if type(pair) not in (list, tuple) or len(pair) != 2:
            return None
        flat += pair
    return flat
