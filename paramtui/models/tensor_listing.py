"""Describes the tensors of a live model: shape, type, storage, and what is unusual about them."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Final, NamedTuple

import torch
from torch.nn.parameter import Parameter, is_lazy
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from paramtui.core.dtypes import DTYPES
from paramtui.core.geometry import Extra, Geometry, Shape
from paramtui.core.listing import ATTRIBUTE, Listing, Location

if TYPE_CHECKING:
    from paramtui.core.live import LiveFacts

MAX_NESTING: Final = 4
# Buffer is new in PyTorch 2.5.
_PLAIN: Final = frozenset({torch.Tensor, Parameter, getattr(torch.nn, "Buffer", Parameter)})
SPARSE_PARTS: Final = {
    torch.sparse_coo: ("_indices", "_values"),
    torch.sparse_csr: ("crow_indices", "col_indices", "values"),
    torch.sparse_csc: ("ccol_indices", "row_indices", "values"),
    torch.sparse_bsr: ("crow_indices", "col_indices", "values"),
    torch.sparse_bsc: ("ccol_indices", "row_indices", "values"),
}
NO_NUMBERS: Final = "is on the meta device: it has a shape and no numbers"
NO_SHAPE: Final = "is not initialised: its shape is found by the first forward pass"


def class_name(kind: type) -> str:
    """``torch.nn.modules.linear.Linear``."""
    return f"{kind.__module__}.{kind.__qualname__}"


def dtype_name(tensor: torch.Tensor) -> str:
    """``bfloat16``."""
    return str(tensor.dtype).removeprefix("torch.")


class _Span(NamedTuple):
    """Where a storage lies: a device, its first byte there, and its length."""

    device: str
    begin: int
    nbytes: int


class TensorLister:
    """Adds tensors to a listing; `finish` then tells which lie in the same memory."""

    def __init__(self, listing: Listing, live: LiveFacts) -> None:
        self.tensors: list[torch.Tensor] = []
        self._listing = listing
        self._live = live
        # By object; all of them are held by `tensors`, so that no other gets the same number.
        self._first: dict[int, int] = {}
        # By first appearance; tensors and parts name a storage by its place here until `finish`.
        self._spans: list[_Span] = []
        self._span_of: dict[_Span, int] = {}

    def add(
        self,
        parent: int,
        name: str,
        step: int,
        kind: str,
        tensor: torch.Tensor,
        *,
        persistent: bool,
        nesting: int = 0,
    ) -> None:
        """Adds a tensor below a node, and those that a wrapper consists of below it."""
        listing, live = self._listing, self._live
        node = listing.add_node(parent, name, step)
        inner: dict[str, torch.Tensor] = {}
        try:
            inner = self._describe(node, kind, tensor, nesting)
        except Exception as error:  # noqa: BLE001  a subclass can refuse anything
            extra = Extra(f"cannot be described: {type(error).__name__}")
            extra.class_name = class_name(type(tensor))
            del listing.node[len(self.tensors) :]
            listing.add_tensor(
                node, kind, -1, 0, dtype_name(tensor), (), None, None, 0, bool(tensor.requires_grad), extra
            )
        live.same.append(self._first.setdefault(id(tensor), len(self.tensors)))
        self.tensors.append(tensor)
        live.type_name.append(class_name(type(tensor)))
        live.device.append(str(tensor.device))
        live.is_leaf.append(bool(tensor.is_leaf))
        live.persistent.append(persistent)
        for part, held in inner.items():
            self.add(node, part, ATTRIBUTE, "tensor", held, persistent=persistent, nesting=nesting + 1)

    def _describe(self, node: int, kind: str, tensor: torch.Tensor, nesting: int) -> dict[str, torch.Tensor]:
        """Adds a tensor's columns; returns the tensors that it wraps, by attribute."""
        dtype = dtype_name(tensor)
        grad = bool(tensor.requires_grad)
        extra = Extra()
        if type(tensor) not in _PLAIN:
            extra.class_name = class_name(type(tensor))
        odd = extra.class_name is not None
        shape: Shape
        if is_lazy(tensor):
            extra.layout, extra.problem = "uninitialized", NO_SHAPE
            self._listing.add_tensor(node, kind, -1, 0, dtype, (None,), None, None, 0, grad, extra)
            return {}
        if tensor.is_nested:
            return self._nested(node, kind, tensor, extra)
        sizes = [int(size) for size in tensor.shape]
        shape = tuple(sizes)
        nbytes = prod(sizes) * tensor.element_size()
        if is_traceable_wrapper_subclass(tensor) and nesting < MAX_NESTING:
            extra.layout = "wrapper"
            names = tensor.__tensor_flatten__()[0]
            inner = {name: getattr(tensor, name) for name in names}
            self._listing.add_tensor(node, kind, -1, 0, dtype, shape, None, None, nbytes, grad, extra)
            return {name: held for name, held in inner.items() if isinstance(held, torch.Tensor)}
        if tensor.layout in SPARSE_PARTS:
            return self._sparse(node, kind, tensor, extra)
        if tensor.layout != torch.strided:
            extra.layout = str(tensor.layout).removeprefix("torch.").lstrip("_")
            extra.problem = f"its layout {extra.layout} is opaque: its numbers cannot be shown"
            self._listing.add_tensor(node, kind, -1, 0, dtype, shape, None, None, nbytes, grad, extra)
            return {}
        if tensor.device.type == "meta":
            extra.layout, extra.problem, odd = "meta", NO_NUMBERS, True
        if tensor.is_quantized:
            odd = True
            extra.options["quantized"] = 1
        if tensor.is_conj() or tensor.is_neg():
            odd, extra.conj, extra.neg = True, tensor.is_conj(), tensor.is_neg()
        if dtype not in DTYPES:
            odd, extra.problem = True, f"its dtype {dtype} is not known here: its numbers cannot be shown"
        place = self._geometry(tensor)
        offset = int(tensor.storage_offset())
        self._listing.add_tensor(
            node,
            kind,
            place.location,
            place.begin,
            dtype,
            shape,
            place.stride,
            offset,
            nbytes,
            grad,
            extra if odd else None,
        )
        return {}

    def _geometry(self, tensor: torch.Tensor) -> Geometry:
        """Where a strided tensor lies; the location is a storage by first appearance."""
        storage = tensor.untyped_storage()
        nbytes = storage.nbytes()
        begin = storage.data_ptr() if tensor.device.type != "meta" else 0
        # Without an address, a storage is told by its object alone: far above any address.
        span = _Span(str(tensor.device), begin or (1 << 64) * storage._cdata, nbytes)  # noqa: SLF001
        found = self._span_of.get(span)
        if found is None:
            found = self._span_of[span] = len(self._spans)
            self._spans.append(span)
        return Geometry(
            found,
            int(tensor.storage_offset()) * tensor.element_size(),
            dtype_name(tensor),
            tuple(int(size) for size in tensor.shape),
            tuple(int(step) for step in tensor.stride()),
        )

    def _sparse(self, node: int, kind: str, tensor: torch.Tensor, extra: Extra) -> dict[str, torch.Tensor]:
        extra.layout = str(tensor.layout).removeprefix("torch.")
        if tensor.device.type == "meta":
            extra.problem = NO_NUMBERS
        nbytes = 0
        for part in SPARSE_PARTS[tensor.layout]:
            held: torch.Tensor = getattr(tensor.detach(), part)()
            nbytes += held.numel() * held.element_size()
            extra.parts[part.removeprefix("_")] = self._geometry(held)
        if tensor.layout == torch.sparse_coo:
            extra.options["coalesced"] = int(tensor.is_coalesced())
        shape = tuple(tensor.shape)
        grad = bool(tensor.requires_grad)
        self._listing.add_tensor(
            node, kind, -1, 0, dtype_name(tensor), shape, None, None, nbytes, grad, extra
        )
        return {}

    def _nested(self, node: int, kind: str, tensor: torch.Tensor, extra: Extra) -> dict[str, torch.Tensor]:
        extra.layout = "jagged" if tensor.layout == torch.jagged else "nested"
        values = tensor.detach().values()
        extra.parts["values"] = self._geometry(values)
        extra.options["numel"] = values.numel()
        parts = tensor.detach().unbind()
        shapes = [tuple(part.shape) for part in parts]
        # Sizes that differ between components are ragged.
        sizes = [column[0] if len(set(column)) == 1 else None for column in zip(*shapes, strict=True)] or [
            None
        ] * (tensor.dim() - 1)
        shape = (len(parts), *sizes)
        if None not in shape:
            shape = (len(parts), None, *shape[2:])
        nbytes = values.numel() * values.element_size()
        grad = bool(tensor.requires_grad)
        self._listing.add_tensor(
            node, kind, -1, 0, dtype_name(tensor), shape, None, None, nbytes, grad, extra
        )
        return {}

    def finish(self) -> None:
        """Joins storages that lie in each other into one location, and numbers these by first appearance."""
        order = sorted(range(len(self._spans)), key=lambda at: self._spans[at][:2])
        area = [0] * len(order)
        base = [0] * len(order)
        areas: list[list[int]] = []  # members; the first one begins first
        last, ends = "", -1
        for at in order:
            span = self._spans[at]
            if span.device != last or span.begin >= ends:
                areas.append([])
                last, ends, start = span.device, span.begin, span.begin
            ends = max(ends, span.begin + span.nbytes)
            areas[-1].append(at)
            area[at] = len(areas) - 1
            base[at] = span.begin - start
        number: dict[int, int] = {}
        listing = self._listing
        for at in range(len(order)):
            if area[at] not in number:
                number[area[at]] = len(listing.locations)
                size = max(base[member] + self._spans[member].nbytes for member in areas[area[at]])
                listing.locations.append(Location(str(len(listing.locations)), size))
        for tensor, found in enumerate(listing.location):
            if found >= 0:
                listing.location[tensor] = number[area[found]]
                listing.begin[tensor] += base[found]
        for extra in listing.extras.values():
            for part, place in extra.parts.items():
                at = place.location
                extra.parts[part] = place._replace(location=number[area[at]], begin=place.begin + base[at])
