"""Lists a live module: a walk of its own over blocks, parameters and buffers, aliases included.

The names are those of ``named_parameters(remove_duplicate=False)`` and
``named_buffers(remove_duplicate=False)``, in the order of the state dict. Unlike those it survives a module
that holds itself, and modules that are used so often within each other that their paths cannot be listed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from paramtui.core.listing import BUFFER, PARAMETER, ROOT, SUBMODULE, Listing
from paramtui.core.live import LiveFacts
from paramtui.models.tensor_listing import TensorLister, class_name

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from torch import nn

# Blocks listed; a module used twice on each of 30 levels would make a billion.
MAX_BLOCKS: Final = 50_000
MAX_TEXT: Final = 1000


class ModuleListing(NamedTuple):
    """A listing with the objects that its ids and nodes stand for.

    Attributes:
        listing: Names and shapes.
        live: What else is known of it, the same as ``listing.live``.
        tensors: By tensor id.
        modules: By node.
    """

    listing: Listing
    live: LiveFacts
    tensors: list[torch.Tensor]
    modules: dict[int, nn.Module]


def list_module(model: nn.Module, target: str, live: LiveFacts | None = None) -> ModuleListing:
    """Lists a model; reads no numbers.

    Args:
        model: What to list.
        target: How the person calls it.
        live: Facts to fill in; columns must be empty.
    """
    listing = Listing(target, "module")
    facts = live or LiveFacts()
    listing.live = facts
    modules: dict[int, nn.Module] = {}
    first: dict[int, int] = {}
    lister = TensorLister(listing, facts)
    for node, module, repeat in _walk(model, listing):
        modules[node] = module
        listing.modules.append(node)
        listing.node_class[node] = class_name(type(module))
        facts.training[node] = bool(module.training)
        if repeat:
            facts.repeats[node] = repeat
        if repeat.startswith("a block around"):
            continue
        known = first.setdefault(id(module), node)
        if known != node:
            facts.same_module[node] = known
        text = _extra_repr(module)
        if text:
            facts.text[node] = text
        for name, parameter in vars(module).get("_parameters", {}).items():
            if parameter is not None:
                lister.add(node, name, PARAMETER, "parameter", parameter, persistent=True)
        transient = vars(module).get("_non_persistent_buffers_set", set())
        for name, buffer in vars(module).get("_buffers", {}).items():
            if buffer is not None:
                lister.add(node, name, BUFFER, "buffer", buffer, persistent=name not in transient)
    lister.finish()
    return ModuleListing(listing, facts, lister.tensors, modules)


def _extra_repr(module: nn.Module) -> str:
    try:
        text = module.extra_repr()
    except Exception:  # noqa: BLE001  it may be the person's own code, and is only for show
        return ""
    return str(text)[:MAX_TEXT]


def _children(module: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for name, child in vars(module).get("_modules", {}).items():
        if child is not None:
            yield name, child


class _Open(NamedTuple):
    """A block whose children are being listed."""

    node: int
    module: nn.Module
    children: Iterator[tuple[str, nn.Module]]


def _walk(model: nn.Module, listing: Listing) -> Iterator[tuple[int, nn.Module, str]]:
    """Each block with its node, and in words where else it is listed; outermost first."""
    first: dict[int, int] = {id(model): ROOT}
    around: set[int] = {id(model)}
    yield ROOT, model, ""
    stack = [_Open(ROOT, model, _children(model))]
    blocks, left_out = 1, 0
    while stack:
        here = stack[-1]
        entry = next(here.children, None)
        if entry is None:
            stack.pop()
            around.discard(id(here.module))
            continue
        name, child = entry
        known = first.get(id(child))
        if blocks >= MAX_BLOCKS and known is not None:
            left_out += 1
            continue
        blocks += 1
        node = listing.add_node(here.node, name, SUBMODULE)
        if known is None:
            first[id(child)] = node
            yield node, child, ""
        else:
            other = listing.node_name(known) or "the model itself"
            if id(child) in around:
                yield node, child, f"a block around it: {other}"
                continue
            yield node, child, f"the same module as {other}"
        around.add(id(child))
        stack.append(_Open(node, child, _children(child)))
    if left_out:
        listing.warnings.append(
            f"modules are used within each other so often that only {blocks:,} of their places are listed"
        )


def parameter_owners(listed: ModuleListing) -> dict[int, int]:
    """Smallest id among the tensors that are the same parameter, for every parameter."""
    first: dict[int, int] = {}
    out: dict[int, int] = {}
    for tensor, kind in enumerate(listed.listing.kind):
        if kind == "parameter":
            out[tensor] = first.setdefault(id(listed.tensors[tensor]), tensor)
    return out


def signature(listed: ModuleListing) -> tuple[Any, ...]:
    """What must be listed anew when it changes: names, shapes, types, and which object stands where."""
    listing = listed.listing
    return (
        tuple(listing.node_key),
        tuple(listing.shape),
        tuple(listing.dtype),
        tuple(listed.live.device),
        tuple(map(id, listed.tensors)),
    )
