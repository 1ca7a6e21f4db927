"""Tensors of several parts: quantised, sparse and nested ones, described from the calls that rebuild them."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Final

from paramtui.checkpoints.inert_objects import GlobalRef, Pairs, Record
from paramtui.checkpoints.tensor_spec import MalformedError, TensorSpec, counted, sizes
from paramtui.core.dtypes import DTYPES
from paramtui.core.geometry import MAX_DIMS, MAX_SIZE, Geometry, Quantizer, Shape, row_major
from paramtui.core.warned import Warned, of_part
from paramtui.errors import ValuesError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paramtui.checkpoints.rebuild import Rebuilder

MAX_NESTED_PARTS: Final = 100_000
MISFIT: Final = Warned("its indices and values do not fit its size", "malformed-tensor")


def quantized(rebuilder: Rebuilder, args: Sequence[object]) -> TensorSpec:
    """A quantised tensor: stored integers, scales and zero points."""
    if len(args) < 6 or type(args[4]) is not tuple or len(args[4]) < 3:
        raise MalformedError("_rebuild_qtensor takes 7 arguments")
    spec = rebuilder.strided(args[0], args[1], args[2], args[3], args[5])
    if DTYPES[spec.dtype].family != "quantized":
        raise MalformedError(f"it is quantised and its storage is of {spec.dtype}")
    params = args[4]
    scheme = params[0].name if type(params[0]) is GlobalRef else "unknown"
    axis: int | None = None
    if scheme.startswith("per_channel"):
        if len(params) < 4 or type(params[3]) is not int or not 0 <= params[3] < len(spec.shape):
            raise MalformedError("its quantisation axis is out of range")
        axis = params[3]
    elif not scheme.startswith("per_tensor"):
        raise MalformedError(f"its quantisation scheme {scheme} is unknown")
    length = None if axis is None else spec.shape[axis]
    spec.odd().quantizer = Quantizer(
        scheme,
        _factors(rebuilder, params[1], length, "scale"),
        _factors(rebuilder, params[2], length, "zero point"),
        axis,
    )
    return spec


def _factors(
    rebuilder: Rebuilder, found: object, length: int | None, what: str
) -> Geometry | tuple[float, ...]:
    if type(found) is list or type(found) is tuple:
        numbers = found
    elif type(found) in (int, float):
        numbers = [found]
    else:
        spec = rebuilder.inner(found, f"the {what} of a quantised tensor")
        if spec.shape != (length,) or (spec.extra and spec.extra.problem):
            raise MalformedError(f"its {what}s do not fit its axis")
        if DTYPES[spec.dtype].family not in ("float", "int", "uint") or spec.dtype == "float4_e2m1fn_x2":
            raise MalformedError(f"its {what}s are {spec.dtype}")
        return spec.geometry
    if len(numbers) != (length if length is not None else 1):
        raise MalformedError(f"its {what}s do not fit its axis")
    rebuilder.budget.look(len(numbers))
    for number in numbers:
        if type(number) not in (int, float) or (type(number) is int and abs(number) > MAX_SIZE):
            raise MalformedError(f"its {what} is no number")
    return tuple(numbers)


def _composite(
    rebuilder: Rebuilder, layout: str, parts: dict[str, object], shape: Shape, dtype_of: str
) -> tuple[TensorSpec, dict[str, TensorSpec]]:
    specs = {name: rebuilder.inner(part, f"its {name}") for name, part in parts.items()}
    for name, part in specs.items():
        if part.extra and part.extra.layout not in (None, "meta"):
            raise MalformedError(f"its {name} is no strided tensor")
    nbytes = sum(part.nbytes for part in specs.values())
    spec = TensorSpec(-1, 0, specs[dtype_of].dtype, shape, None, None, nbytes)
    odd = spec.odd()
    odd.layout = layout
    odd.parts = {name: part.geometry for name, part in specs.items()}
    for name, part in specs.items():
        if part.extra and part.extra.problem:
            odd.problem = of_part("", part.extra.problem, f"its {name}")
    return spec, specs


def _check_integers(parts: dict[str, TensorSpec], *names: str) -> None:
    """Refuses tables of places that hold no integers."""
    for name in names:
        if DTYPES[parts[name].dtype].family != "int":
            raise MalformedError(f"its {name} are {parts[name].dtype}")


def sparse(rebuilder: Rebuilder, args: Sequence[object]) -> TensorSpec:
    """A sparse tensor: coordinates or compressed rows or columns, and values."""
    if len(args) < 2 or type(args[1]) is not tuple:
        raise MalformedError("_rebuild_sparse_tensor takes a layout and a tuple")
    layout, data = _layout(args[0]), args[1]
    if layout == "sparse_coo" and len(data) >= 3:
        shape = sizes(data[2], "size")
        counted(shape)
        spec, parts = _composite(rebuilder, layout, {"indices": data[0], "values": data[1]}, shape, "values")
        _check_integers(parts, "indices")
        indices, values = parts["indices"].geometry.shape, parts["values"].geometry.shape
        if len(indices) != 2 or values != (indices[1], *shape[indices[0] :]) or indices[0] > len(shape):
            spec.odd().problem = MISFIT
        return spec
    names = {
        "sparse_csr": ("crow_indices", "col_indices"),
        "sparse_bsr": ("crow_indices", "col_indices"),
        "sparse_csc": ("ccol_indices", "row_indices"),
        "sparse_bsc": ("ccol_indices", "row_indices"),
    }.get(layout)
    if names is None or len(data) < 4:
        raise MalformedError(f"the sparse layout {layout} is unknown")
    shape = sizes(data[3], "size")
    counted(shape)
    spec, parts = _composite(
        rebuilder, layout, {names[0]: data[0], names[1]: data[1], "values": data[2]}, shape, "values"
    )
    _check_integers(parts, *names)
    if not _compressed_fits(layout, shape, *(parts[name].geometry.shape for name in (*names, "values"))):
        spec.odd().problem = MISFIT
    return spec


def _compressed_fits(
    layout: str,
    shape: tuple[int, ...],
    compressed: tuple[int, ...],
    plain: tuple[int, ...],
    values: tuple[int, ...],
) -> bool:
    """Whether the parts of a compressed layout are those of a tensor of some size."""
    batch = len(compressed) - 1
    blocked = layout in ("sparse_bsr", "sparse_bsc")
    if batch < 0 or len(shape) < batch + 2 or len(values) < batch + (3 if blocked else 1):
        return False
    block = values[batch + 1 : batch + 3] if blocked else (1, 1)
    matrix = shape[batch : batch + 2]
    if 0 in block or any(size % side for size, side in zip(matrix, block, strict=True)):
        return False
    slow = 0 if layout in ("sparse_csr", "sparse_bsr") else 1
    dense = shape[batch + 2 :]
    return (
        compressed == (*shape[:batch], matrix[slow] // block[slow] + 1)
        and plain[:-1] == shape[:batch]
        and values == (*plain, *(block if blocked else ()), *dense)
    )


def nested(rebuilder: Rebuilder, args: Sequence[object]) -> TensorSpec:
    """A nested tensor of the strided layout: one buffer, tables of sizes, strides and offsets."""
    if len(args) < 4:
        raise MalformedError("_rebuild_nested_tensor takes 4 arguments")
    names = ("buffer", "sizes", "strides", "storage_offsets")
    spec, parts = _composite(rebuilder, "nested", dict(zip(names, args[:4], strict=True)), (None,), "buffer")
    table = parts["sizes"].geometry
    if len(table.shape) != 2 or table.dtype != "int64":
        raise MalformedError("its table of sizes is not a 2-d int64 tensor")
    rows, columns = table.shape
    if columns > MAX_DIMS:
        raise MalformedError(f"its components have {columns:,} dimensions, more than {MAX_DIMS}")
    _check_integers(parts, "strides", "storage_offsets")
    if parts["strides"].shape != table.shape or parts["storage_offsets"].shape != table.shape[:1]:
        raise MalformedError("its tables of sizes, strides and offsets do not fit each other")
    for name in names[1:]:
        if not row_major(parts[name].geometry):
            raise MalformedError(f"its {name} are not contiguous")
    odd = spec.odd()
    odd.options["numel"] = prod(parts["buffer"].geometry.shape)
    dims: list[int | None] = [None] * columns
    if odd.problem is None:
        # The numbers are no objects: eight of them cost what one entry does.
        rebuilder.budget.look(rows * columns // 8)
        try:
            numbers = rebuilder.storages.small_integers(table, MAX_NESTED_PARTS * 8)
        except ValuesError as error:
            numbers = []
            odd.problem = f"its sizes: {error.what}"
        for column in range(columns):
            found = set(numbers[column::columns])
            dims[column] = found.pop() if len(found) == 1 else None
    spec.shape = (rows, *dims)
    return spec


def jagged(rebuilder: Rebuilder, args: Sequence[object]) -> TensorSpec:
    """A nested tensor of the jagged layout: values, and where each component begins."""
    data = args[0] if args and type(args[0]) is Pairs else None
    if data is None:
        raise MalformedError("_rebuild_njt takes a dict")
    parts: dict[str, object] = {"values": data.get("values"), "offsets": data.get("offsets")}
    if data.get("lengths") is not None:
        parts["lengths"] = data.get("lengths")
    ragged = data.get("_ragged_idx", 1)
    spec, specs = _composite(rebuilder, "jagged", parts, (None,), "values")
    _check_integers(specs, *(name for name in specs if name != "values"))
    values, offsets = specs["values"].geometry, specs["offsets"].geometry
    if type(ragged) is not int or not 1 <= ragged <= len(values.shape) or len(offsets.shape) != 1:
        raise MalformedError("its ragged dimension is out of range")
    if "lengths" in specs and specs["lengths"].shape != (max(offsets.shape[0] - 1, 0),):
        raise MalformedError("its lengths and offsets do not fit each other")
    dims: list[int | None] = list(values.shape)
    dims[ragged - 1] = None
    spec.shape = (max(offsets.shape[0] - 1, 0), *dims)
    spec.requires_grad = data.get("requires_grad") is True
    spec.odd().options.update(ragged=ragged, numel=prod(values.shape))
    return spec


def _layout(found: object) -> str:
    if type(found) is GlobalRef:
        return found.name
    if type(found) is Record and type(found.args) is tuple and found.args and type(found.args[0]) is str:
        return found.args[0].removeprefix("torch.")
    return "unknown"
