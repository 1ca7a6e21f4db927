"""Ties and unties tensors of a live model: other objects stand in its modules, and no numbers change."""

from __future__ import annotations

import weakref
from collections import Counter
from typing import TYPE_CHECKING, Final, NamedTuple

import torch
from torch import nn

from paramtui.core.editable import edit_reason
from paramtui.core.edits import Tie
from paramtui.core.listing import BUFFER, PARAMETER, ROOT
from paramtui.core.lookup import tensor_id
from paramtui.core.text import safe_text, shape_text
from paramtui.core.touching import touched_by
from paramtui.errors import EditError
from paramtui.models.own_copies import own_module, own_tensor
from paramtui.models.snapshots import storage_of
from paramtui.models.state_guard import modules_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paramtui.core.edits import Untie
    from paramtui.core.listing import Listing
    from paramtui.models.module_listing import ModuleListing

_PARAMETERS: Final = "_parameters"
_MODULES: Final = "_modules"
_TABLES: Final = {PARAMETER: _PARAMETERS, BUFFER: "_buffers"}


class _Exchange(NamedTuple):
    """Another object at a place.

    Attributes:
        owner: The module whose table it stands in.
        table, name: Where.
        old, new: What stood there, and what takes its place.
    """

    owner: nn.Module
    table: str
    name: str
    old: torch.Tensor | nn.Module
    new: torch.Tensor | nn.Module


class Rewiring:
    """Objects that take the places of others, and the others, which are kept as they are.

    Args:
        exchanges: In the order in which they are made.
        tensors: Ids of the tensors at whose places another object then stands, ascending.
    """

    def __init__(self, exchanges: Sequence[_Exchange], tensors: Sequence[int]) -> None:
        self.tensors = tuple(tensors)
        self._exchanges = list(exchanges)
        self._copies = {id(each.new) for each in exchanges if each.table == _MODULES}
        self._made = False
        self._closed = False

    @property
    def closed(self) -> bool:
        """See `Kept.closed`."""
        return self._closed

    def check(self, listed: ModuleListing) -> None:
        """See `Kept.check`."""
        there = set(map(id, modules_of(listed.modules[ROOT])))
        for owner, table, name, old, new in self._exchanges:
            # Of what stands in the copy of a module, nothing is in the model while the copy is not.
            out = not self._made and id(owner) in self._copies
            stands = id(owner) in there and vars(owner)[table].get(name) is (new if self._made else old)
            if not out and not stands:
                raise EditError("what this tied or untied has been replaced since by something else")

    def swap(self) -> None:
        """See `Kept.swap`; does it the first time, too. It cannot fail."""
        if self._made:
            for owner, table, name, old, _ in reversed(self._exchanges):
                _put(owner, table, name, old)
        else:
            for owner, table, name, old, new in self._exchanges:
                if isinstance(old, nn.Module) and isinstance(new, nn.Module):
                    # It may have been set while the copy was away.
                    vars(new)["training"] = old.training
                _put(owner, table, name, new)
        self._made = not self._made

    def restore(self) -> None:
        """See `Kept.restore`."""
        if self._made:
            self.swap()

    def close(self) -> None:
        """See `Kept.close`."""
        self._exchanges = []
        self._closed = True


def _put(owner: nn.Module, table: str, name: str, value: torch.Tensor | nn.Module) -> None:
    """Puts an object at a place, as assigning the attribute would."""
    own = vars(owner)
    own[table][name] = value
    names = own.get("_flat_weights_names", ())
    if table == _PARAMETERS and isinstance(owner, nn.RNNBase) and name in names:
        # The forward pass of an RNN takes its parameters from here. Without the reference it would put all
        # of them into other memory, where nothing that was kept could be put back.
        at = names.index(name)
        own["_flat_weights"][at] = value
        own["_flat_weight_refs"][at] = weakref.ref(value)


class _Place(NamedTuple):
    """Where a tensor stands.

    Attributes:
        id: Of the tensor.
        node: Of the module that owns it.
        owner: That module.
        table, name: Where the tensor stands in it.
        tensor: The very object.
    """

    id: int
    node: int
    owner: nn.Module
    table: str
    name: str
    tensor: torch.Tensor


def _place(listed: ModuleListing, name: str) -> _Place:
    """The place of a plain tensor that can be replaced.

    Raises:
        NameLookupError: There is none of that name, or several.
        EditError: It cannot be replaced; the message says why.
    """
    listing = listed.listing
    found = tensor_id(listing, name)
    node = listing.node[found]
    parent, key, tensor = listing.node_parent[node], str(listing.node_key[node]), listed.tensors[found]
    reason = edit_reason(listing, found)
    table = _TABLES.get(listing.node_step[node], "")
    owner = listed.modules.get(parent)
    if reason:
        raise EditError(reason, where=safe_text(name))
    if not table or owner is None:
        raise EditError("is a part of another tensor", where=safe_text(name))
    entries = vars(owner).get(table)
    if isinstance(owner, torch.jit.ScriptModule) or not isinstance(entries, dict):
        raise EditError(
            "belongs to a compiled module, whose tensors cannot be replaced", where=safe_text(name)
        )
    if entries.get(key) is not tensor:
        raise EditError("has been replaced since it was listed", where=safe_text(name))
    if type(tensor).__torch_dispatch__ is not torch.Tensor.__torch_dispatch__ or (
        tensor.numel() and storage_of(tensor) is None
    ):
        raise EditError("is no plain tensor: its class decides what its memory is", where=safe_text(name))
    if not tensor.is_leaf:
        raise EditError(
            "is the result of a computation, which a copy of it would not be", where=safe_text(name)
        )
    return _Place(found, parent, owner, table, key, tensor)


def rewiring(listed: ModuleListing, edit: Tie | Untie) -> Rewiring:
    """What an edit exchanges; nothing is exchanged yet.

    Raises:
        NameLookupError: A name stands for no tensor, or for several.
        EditError: It cannot be done; the message says why.
    """
    return _tying(listed, edit) if isinstance(edit, Tie) else _Untying(listed).rewiring(edit)


# Tying


def _tying(listed: ModuleListing, edit: Tie) -> Rewiring:
    one, other = _place(listed, edit.tensor), _place(listed, edit.to)
    for place, name in ((one, edit.tensor), (other, edit.to)):
        if place.table != _PARAMETERS:
            raise EditError("is a buffer: only parameters can be tied", where=safe_text(name))
    if one.tensor is other.tensor:
        raise EditError(f"{safe_text(edit.tensor)} and {safe_text(edit.to)} are one parameter already")
    differing = _difference(one.tensor, other.tensor)
    if differing:
        raise EditError(f"{safe_text(edit.tensor)} cannot be tied to {safe_text(edit.to)}: {differing}")
    return Rewiring(
        [_Exchange(one.owner, one.table, one.name, one.tensor, other.tensor)], _everywhere(listed, one)
    )


def _difference(one: torch.Tensor, other: torch.Tensor) -> str:
    if one.shape != other.shape:
        return f"their shapes differ, {shape_text(tuple(one.shape))} and {shape_text(tuple(other.shape))}"
    for what, first, second in (
        ("dtypes", one.dtype, other.dtype),
        ("devices", one.device, other.device),
    ):
        if first != second:
            return f"their {what} differ, {first} and {second}".replace("torch.", "")
    return ""


def _everywhere(listed: ModuleListing, place: _Place) -> list[int]:
    """Ids under which a place is listed: the module may stand at several places itself."""
    listing = listed.listing
    return [
        tensor
        for tensor, node in enumerate(listing.node)
        if listing.node_key[node] == place.name
        and _TABLES.get(listing.node_step[node]) == place.table
        and listed.modules.get(listing.node_parent[node]) is place.owner
    ]


# Untying


class _Untying:
    """Works out what gives tensors memory of their own; the model stays as it is meanwhile."""

    def __init__(self, listed: ModuleListing) -> None:
        self._listed = listed
        self._listing: Listing = listed.listing
        self._exchanges: list[_Exchange] = []
        self._untied: set[int] = set()
        # Which module would stand at each node by now, and at how many nodes each stands.
        self._modules = {
            node: module
            for node, module in listed.modules.items()
            if not listed.live.repeats.get(node, "").startswith("a block around")
        }
        self._places = Counter(map(id, self._modules.values()))

    def rewiring(self, edit: Untie) -> Rewiring:
        if not edit.tensors:
            raise EditError("there is nothing to untie")
        places = [_place(self._listed, name) for name in edit.tensors]
        for place, name in zip(places, edit.tensors, strict=True):
            if not self._partners(place):
                raise EditError("shares memory with nothing", where=safe_text(name))
        for place, name in zip(places, edit.tensors, strict=True):
            if place.id not in self._untied and self._partners(place) - self._untied:
                try:
                    self._untie(place)
                except EditError as error:
                    raise EditError(error.what, where=safe_text(name), hint=error.hint) from None
        return Rewiring(self._exchanges, sorted(self._untied))

    def _partners(self, place: _Place) -> set[int]:
        """Others that were in the same memory, or the same object, when this began."""
        same = self._listed.live.same
        touched = set(touched_by(self._listing, place.id, self._listing.geometry(place.id)))
        if not place.tensor.numel():
            touched |= {other for other, first in enumerate(same) if first == same[place.id]}
        return touched - {place.id}

    def _untie(self, place: _Place) -> None:
        owner = self._own(place.node)
        try:
            new = own_tensor(place.tensor)
        except (RuntimeError, MemoryError):
            raise EditError("there is not enough memory for a copy of it") from None
        self._exchanges.append(_Exchange(owner, place.table, place.name, place.tensor, new))
        self._untied.add(place.id)

    def _own(self, node: int) -> nn.Module:
        """The module at a node, which stands at no other: copies take the place of those that do."""
        way = [node]
        while way[-1] != ROOT:
            way.append(self._listing.node_parent[way[-1]])
        parent = self._modules[ROOT]
        for at in reversed(way[:-1]):
            module = self._modules[at]
            if self._places[id(module)] > 1:
                copied = own_module(module)
                name = str(self._listing.node_key[at])
                self._exchanges.append(_Exchange(parent, _MODULES, name, module, copied))
                self._places[id(module)] -= 1
                self._places[id(copied)] += 1
                self._modules[at] = copied
                module = copied
            parent = module
        return parent
