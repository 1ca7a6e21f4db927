"""Turns the calls by which PyTorch and NumPy rebuild tensors into rows, without making the calls.

The functions and their arguments are those of ``torch/_utils.py``, ``torch/_tensor.py``,
``torch/nested/_internal/nested_tensor.py`` and ``numpy/_core/multiarray.py``.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, NamedTuple, Protocol

from paramtui.checkpoints.inert_pickle import GlobalRef, Pairs, PersistentRef, Record
from paramtui.checkpoints.numpy_pickle import numpy_array
from paramtui.core.dtypes import DTYPES, ITEMSIZE, PACKED, storage_nbytes
from paramtui.core.listing import Extra, Geometry, Quantizer, Shape, contiguous_stride

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

STORAGE_CLASSES: dict[str, str | None] = {
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "BFloat16Storage": "bfloat16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexDoubleStorage": "complex128",
    "ComplexFloatStorage": "complex64",
    "QUInt8Storage": "quint8",
    "QInt8Storage": "qint8",
    "QInt32Storage": "qint32",
    "QUInt4x2Storage": "quint4x2",
    "QUInt2x4Storage": "quint2x4",
    "UntypedStorage": None,
}
# torch.float and its like are other names of the same dtype objects; pickles hold the first name.
DTYPE_ALIASES = {
    "double": "float64",
    "float": "float32",
    "half": "float16",
    "long": "int64",
    "int": "int32",
    "short": "int16",
    "cfloat": "complex64",
    "cdouble": "complex128",
    "chalf": "complex32",
}
MAX_NESTED_PARTS = 100_000


class MalformedError(Exception):
    """Arguments that are not what the rebuilding function takes; the text says which."""


class StorageRef(NamedTuple):
    """A storage that a pickle points to.

    Attributes:
        location: Index in the listing's locations.
        begin: Byte in the location where the storage starts (a view of another storage).
        nbytes: Bytes from `begin` that the storage has.
        problem: Why its bytes cannot be read, or None.
    """

    location: int
    begin: int
    nbytes: int
    problem: str | None


class Storages(Protocol):
    """What a file format knows about the bytes outside its pickle."""

    def resolve(self, pid: tuple[object, ...], key: str, dtype: str | None) -> StorageRef:
        """The storage `key` that a persistent id names, as elements of `dtype`."""

    def add_memory(self, data: bytes, *, big_endian: bool) -> int:
        """Keeps bytes that lay inside the pickle and returns their location."""

    def small_integers(self, geometry: Geometry, limit: int) -> list[int]:
        """The elements of a contiguous int64 tensor of at most `limit` elements."""


class TensorSpec:
    """One tensor as its pickle describes it; the fields are those of a listing's row."""

    __slots__ = (
        "begin",
        "dtype",
        "extra",
        "is_parameter",
        "location",
        "nbytes",
        "offset",
        "requires_grad",
        "shape",
        "state",
        "stride",
    )

    def __init__(  # noqa: PLR0913
        self,
        location: int,
        begin: int,
        dtype: str,
        shape: Shape,
        stride: tuple[int, ...] | None,
        offset: int | None,
        nbytes: int,
        requires_grad: bool = False,  # noqa: FBT001, FBT002
    ) -> None:
        self.location = location
        self.begin = begin
        self.dtype = dtype
        self.shape = shape
        self.stride = stride
        self.offset = offset
        self.nbytes = nbytes
        self.requires_grad = requires_grad
        self.is_parameter = False
        self.extra: Extra | None = None
        self.state: list[object] | None = None

    @property
    def geometry(self) -> Geometry:
        """Where a strided tensor's elements lie."""
        shape = tuple(-1 if size is None else size for size in self.shape)
        return Geometry(self.location, self.begin, self.dtype, shape, self.stride or ())

    def odd(self) -> Extra:
        """The record of what is unusual, made when first needed."""
        if self.extra is None:
            self.extra = Extra()
        return self.extra

    def add_state(self, state: object) -> None:
        """Notes attributes that the pickle sets on the tensor."""
        self.state = [*(self.state or ()), state]


def class_ref(func: object) -> GlobalRef | None:
    """The class or function that a call names; legacy files wrap module classes."""
    if type(func) is GlobalRef:
        return func
    if type(func) is PersistentRef and type(func.pid) is tuple and len(func.pid) > 1:
        inner = func.pid[1]
        return inner if type(inner) is GlobalRef else None
    return None


def class_name(record: Record) -> str:
    """Full name of the class that a record is an instance of, or of the function that makes it."""
    ref = class_ref(record.func)
    if ref is None:
        return "object"
    if ref.full_name in ("copyreg._reconstructor", "copyreg.__newobj__", "copyreg.__newobj_ex__"):
        args = record.args
        inner = class_ref(args[0]) if type(args) is tuple and args else None
        return inner.full_name if inner else "object"
    return ref.full_name


class Rebuilder:
    """Describes tensors from the calls that would rebuild them."""

    def __init__(self, storages: Storages) -> None:
        self.storages = storages
        self._handlers: dict[str, Callable[[Sequence[object]], TensorSpec]] = {
            "torch._utils._rebuild_tensor_v2": self._tensor_v2,
            "torch._utils._rebuild_tensor_v3": self._tensor_v3,
            "torch._utils._rebuild_tensor": self._tensor_v1,
            "torch._utils._rebuild_parameter": self._parameter,
            "torch._utils._rebuild_parameter_with_state": self._parameter,
            "torch._utils._rebuild_qtensor": self._quantized,
            "torch._utils._rebuild_sparse_tensor": self._sparse,
            "torch._utils._rebuild_nested_tensor": self._nested,
            "torch._utils._rebuild_meta_tensor_no_storage": self._meta,
            "torch._utils._rebuild_wrapper_subclass": self._wrapper,
            "torch._utils._rebuild_device_tensor_from_numpy": self._moved,
            "torch._utils._rebuild_xla_tensor": self._moved,
            "torch._utils._rebuild_device_tensor_from_cpu_tensor": self._moved,
            "torch._tensor._rebuild_from_type_v2": self._typed,
            "torch._tensor._rebuild_from_type": self._typed,
            "torch.nested._internal.nested_tensor._rebuild_njt": self._jagged,
        }

    def tensor(self, found: object) -> TensorSpec | None:
        """The tensor that an object of the pickle stands for, or None if it is no tensor.

        Raises:
            MalformedError: It should be a tensor, but its arguments make no sense.
        """
        if type(found) is Record:
            func = found.func
            if type(func) is not GlobalRef:
                return None
            handler = self._handlers.get(func.full_name)
            if handler is None:
                array = numpy_array(found)
                return self._array(*array) if array else None
            args = found.args
            if type(args) is not tuple:
                raise MalformedError(f"{func.name} has no argument tuple")
            spec = handler(args)
            if found.state is not None:
                spec.add_state(found.state)
            return spec
        if type(found) is PersistentRef and type(found.pid) is tuple and found.pid[:1] == ("storage",):
            return self._bare_storage(found)
        return None

    # Storages and strided tensors.

    def _storage(self, ref: object, dtype: str | None = None) -> tuple[StorageRef, str | None]:
        """The storage that a reference points to, and its own element type (None: untyped)."""
        if type(ref) is not PersistentRef or type(ref.pid) is not tuple or len(ref.pid) < 5:
            raise MalformedError("its storage is not a storage reference")
        pid = ref.pid
        kind = pid[1]
        key = pid[2]
        if type(kind) is not GlobalRef or kind.name not in STORAGE_CLASSES or type(key) not in (str, int):
            raise MalformedError("its storage is of an unknown class")
        stored = STORAGE_CLASSES[kind.name]
        return self.storages.resolve(pid, str(key), dtype or stored), stored

    def _strided(  # noqa: PLR0913
        self,
        storage_ref: object,
        offset: object,
        shape: object,
        stride: object,
        requires_grad: object,
        dtype: str | None = None,
    ) -> TensorSpec:
        storage, stored = self._storage(storage_ref, dtype)
        element = dtype or stored or "uint8"
        if type(shape) is not tuple:
            shape = sizes(shape, "size")
        if type(stride) is not tuple:
            stride = sizes(stride, "stride")
        if len(shape) != len(stride):
            raise MalformedError(f"it has {len(shape)} sizes and {len(stride)} strides")
        if type(offset) is not int or offset < 0:
            raise MalformedError("its storage offset is not a number of elements")
        count = 1
        last = offset
        for length, step in zip(shape, stride):  # noqa: B905  equal lengths, and strict costs time
            if type(length) is not int or type(step) is not int or length < 0 or step < 0:
                raise MalformedError("its size or stride holds something that is no length")
            count *= length
            last += (length - 1) * step
        itemsize = ITEMSIZE[element]
        if element in PACKED:
            nbytes = storage_nbytes(element, count)
            needed = storage_nbytes(element, offset + count) if count else 0
        else:
            nbytes = count * itemsize
            needed = (last + 1) * itemsize if count else 0
        spec = TensorSpec(
            storage.location,
            storage.begin + offset * itemsize,
            element,
            shape,
            stride,
            offset,
            nbytes,
            requires_grad is True,
        )
        if storage.problem:
            spec.odd().problem = storage.problem
        elif needed > storage.nbytes:
            spec.odd().problem = (
                f"it reaches to byte {needed:,} of a storage that has {storage.nbytes:,} bytes"
            )
        return spec

    def _tensor_v1(self, args: Sequence[object]) -> TensorSpec:
        if len(args) < 4:
            raise MalformedError("_rebuild_tensor takes 4 arguments")
        return self._strided(args[0], args[1], args[2], args[3], requires_grad=False)

    def _tensor_v2(self, args: Sequence[object]) -> TensorSpec:
        if len(args) < 5:
            raise MalformedError("_rebuild_tensor_v2 takes 6 arguments")
        spec = self._strided(args[0], args[1], args[2], args[3], args[4])
        if len(args) > 6:
            _views(spec, args[6])
        return spec

    def _tensor_v3(self, args: Sequence[object]) -> TensorSpec:
        if len(args) < 7:
            raise MalformedError("_rebuild_tensor_v3 takes 7 arguments")
        spec = self._strided(args[0], args[1], args[2], args[3], args[4], dtype_name(args[6]))
        if len(args) > 7:
            _views(spec, args[7])
        return spec

    def _bare_storage(self, ref: PersistentRef) -> TensorSpec:
        """A storage saved by itself, as the 1-d tensor over all of it."""
        storage, stored = self._storage(ref)
        element = stored or "uint8"
        count = storage.nbytes * 8 // DTYPES[element].bits
        pid = ref.pid
        name = pid[1].full_name if type(pid) is tuple and type(pid[1]) is GlobalRef else "torch.UntypedStorage"
        spec = TensorSpec(storage.location, storage.begin, element, (count,), (1,), 0, storage.nbytes)
        spec.odd().class_name = name
        spec.odd().problem = storage.problem
        return spec

    # Wrappers around another tensor.

    def _inner(self, found: object, what: str) -> TensorSpec:
        spec = self.tensor(found)
        if spec is None:
            raise MalformedError(f"{what} is no tensor")
        return spec

    def _parameter(self, args: Sequence[object]) -> TensorSpec:
        if len(args) < 2:
            raise MalformedError("_rebuild_parameter takes 3 arguments")
        spec = self._inner(args[0], "the parameter's data")
        spec.is_parameter = True
        spec.requires_grad = args[1] is True
        if len(args) > 3:
            spec.add_state(args[3])
        return spec

    def _typed(self, args: Sequence[object]) -> TensorSpec:
        if len(args) < 3:
            raise MalformedError("_rebuild_from_type_v2 takes 4 arguments")
        func, kind, inner_args = args[0], args[1], args[2]
        spec = self._inner(Record(func, inner_args), "what a subclass is made from")
        if type(kind) is GlobalRef and kind.full_name not in ("torch.Tensor", "torch.nn.parameter.Parameter"):
            spec.odd().class_name = kind.full_name
        if type(kind) is GlobalRef and kind.full_name == "torch.nn.parameter.Parameter":
            spec.is_parameter = True
        # A jagged tensor's state repeats its components.
        if len(args) > 3 and args[3] is not None and (spec.extra is None or spec.extra.layout != "jagged"):
            spec.add_state(args[3])
        return spec

    def _wrapper(self, args: Sequence[object]) -> TensorSpec:
        if len(args) < 8:
            raise MalformedError("_rebuild_wrapper_subclass takes 8 arguments")
        kind, size, stride, grad = args[0], args[2], args[3], args[7]
        element = dtype_name(args[1])
        shape = sizes(size, "size")
        sizes(stride, "stride")
        spec = TensorSpec(-1, 0, element, shape, None, None, storage_nbytes(element, prod(shape)), grad is True)
        spec.odd().layout = "wrapper"
        spec.odd().problem = "a wrapper: its numbers lie in the tensors listed below it"
        if type(kind) is GlobalRef:
            spec.odd().class_name = kind.full_name
        return spec

    def _moved(self, args: Sequence[object]) -> TensorSpec:
        """A tensor of another device, saved as a NumPy array or CPU tensor to be converted."""
        if len(args) < 4:
            raise MalformedError("_rebuild_device_tensor takes 4 arguments")
        spec = self._inner(args[0], "the data of a device tensor")
        wanted = dtype_name(args[1])
        if wanted != spec.dtype:
            spec.odd().options["converted"] = 1
            spec.odd().class_name = f"torch.Tensor saved as {spec.dtype}, loaded as {wanted}"
        spec.requires_grad = args[3] is True
        return spec

    # Layouts.

    def _meta(self, args: Sequence[object]) -> TensorSpec:
        if len(args) < 4:
            raise MalformedError("_rebuild_meta_tensor_no_storage takes 4 arguments")
        element = dtype_name(args[0])
        shape = sizes(args[1], "size")
        stride = sizes(args[2], "stride")
        nbytes = storage_nbytes(element, prod(shape))
        spec = TensorSpec(-1, 0, element, shape, stride, 0, nbytes, args[3] is True)
        spec.odd().layout = "meta"
        spec.odd().problem = "a meta tensor: it has a shape and no values"
        return spec

    def _quantized(self, args: Sequence[object]) -> TensorSpec:
        if len(args) < 6 or type(args[4]) is not tuple or len(args[4]) < 3:
            raise MalformedError("_rebuild_qtensor takes 7 arguments")
        spec = self._strided(args[0], args[1], args[2], args[3], args[5])
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
            self._factors(params[1], length, "scale"),
            self._factors(params[2], length, "zero point"),
            axis,
        )
        return spec

    def _factors(self, found: object, length: int | None, what: str) -> Geometry | tuple[float, ...]:
        if type(found) is list or type(found) is tuple:
            numbers = found
        elif type(found) in (int, float):
            numbers = [found]
        else:
            spec = self._inner(found, f"the {what} of a quantised tensor")
            if spec.shape != (length,) or (spec.extra and spec.extra.problem):
                raise MalformedError(f"its {what}s do not fit its axis")
            return spec.geometry
        if len(numbers) != (length if length is not None else 1):
            raise MalformedError(f"its {what}s do not fit its axis")
        for number in numbers:
            if type(number) not in (int, float):
                raise MalformedError(f"its {what} is no number")
        return tuple(numbers)  # type: ignore[arg-type]

    def _composite(
        self, layout: str, parts: dict[str, object], shape: Shape, dtype_of: str
    ) -> tuple[TensorSpec, dict[str, TensorSpec]]:
        specs = {name: self._inner(part, f"its {name}") for name, part in parts.items()}
        nbytes = sum(part.nbytes for part in specs.values())
        spec = TensorSpec(-1, 0, specs[dtype_of].dtype, shape, None, None, nbytes)
        odd = spec.odd()
        odd.layout = layout
        odd.parts = {name: part.geometry for name, part in specs.items()}
        for name, part in specs.items():
            if part.extra and part.extra.problem:
                odd.problem = f"its {name}: {part.extra.problem}"
        return spec, specs

    def _sparse(self, args: Sequence[object]) -> TensorSpec:
        if len(args) < 2 or type(args[1]) is not tuple:
            raise MalformedError("_rebuild_sparse_tensor takes a layout and a tuple")
        layout, data = _layout(args[0]), args[1]
        if layout == "sparse_coo" and len(data) >= 3:
            shape = sizes(data[2], "size")
            spec, parts = self._composite(layout, {"indices": data[0], "values": data[1]}, shape, "values")
            indices, values = parts["indices"].geometry, parts["values"].geometry
            if (
                len(indices.shape) != 2
                or not values.shape
                or indices.shape[1] != values.shape[0]
                or indices.shape[0] + len(values.shape) - 1 != len(shape)
            ):
                raise MalformedError("its indices and values do not fit its size")
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
        spec, parts = self._composite(
            layout, {names[0]: data[0], names[1]: data[1], "values": data[2]}, shape, "values"
        )
        batch = len(parts[names[0]].geometry.shape) - 1
        values = parts["values"].geometry
        if (
            batch < 0
            or len(parts[names[1]].geometry.shape) != batch + 1
            or len(shape) < batch + 2
            or values.shape[: batch + 1] != parts[names[1]].geometry.shape
            or (layout in ("sparse_bsr", "sparse_bsc") and len(values.shape) < batch + 3)
        ):
            raise MalformedError("its indices and values do not fit its size")
        return spec

    def _nested(self, args: Sequence[object]) -> TensorSpec:
        if len(args) < 4:
            raise MalformedError("_rebuild_nested_tensor takes 4 arguments")
        names = ("buffer", "sizes", "strides", "storage_offsets")
        spec, parts = self._composite("nested", dict(zip(names, args[:4], strict=True)), (None,), "buffer")
        table = parts["sizes"].geometry
        if len(table.shape) != 2 or table.dtype != "int64":
            raise MalformedError("its table of sizes is not a 2-d int64 tensor")
        odd = spec.odd()
        rows, columns = table.shape
        odd.options["numel"] = prod(parts["buffer"].geometry.shape)
        dims: list[int | None] = [None] * columns
        if odd.problem is None:
            numbers = self.storages.small_integers(table, MAX_NESTED_PARTS * 8)
            for column in range(columns):
                found = set(numbers[column::columns])
                dims[column] = found.pop() if len(found) == 1 else None
        spec.shape = (rows, *dims)
        return spec

    def _jagged(self, args: Sequence[object]) -> TensorSpec:
        data = args[0] if args and type(args[0]) is Pairs else None
        if data is None:
            raise MalformedError("_rebuild_njt takes a dict")
        parts: dict[str, object] = {"values": data.get("values"), "offsets": data.get("offsets")}
        if data.get("lengths") is not None:
            parts["lengths"] = data.get("lengths")
        ragged = data.get("_ragged_idx", 1)
        spec, specs = self._composite("jagged", parts, (None,), "values")
        values, offsets = specs["values"].geometry, specs["offsets"].geometry
        if type(ragged) is not int or not 1 <= ragged <= len(values.shape) or len(offsets.shape) != 1:
            raise MalformedError("its ragged dimension is out of range")
        dims: list[int | None] = list(values.shape)
        dims[ragged - 1] = None
        spec.shape = (max(offsets.shape[0] - 1, 0), *dims)
        spec.requires_grad = data.get("requires_grad") is True
        spec.odd().options.update(ragged=ragged, numel=prod(values.shape))
        return spec

    def _array(
        self, dtype: str, shape: tuple[int, ...], data: bytes, big_endian: bool, fortran: bool, kind: str
    ) -> TensorSpec:
        location = self.storages.add_memory(data, big_endian=big_endian)
        stride = contiguous_stride(shape)
        if fortran:
            stride = tuple(reversed(contiguous_stride(tuple(reversed(shape)))))
        needed = storage_nbytes(dtype, prod(shape))
        spec = TensorSpec(location, 0, dtype, shape, stride, None, needed)
        spec.odd().class_name = kind
        if needed > len(data):
            spec.odd().problem = f"it needs {needed:,} bytes and has {len(data):,}"
        return spec


def sizes(found: object, what: str) -> tuple[int, ...]:
    """A tuple of numbers that are not negative, from a tuple, a list or a ``torch.Size``."""
    if type(found) is not tuple:
        if type(found) is Record and type(found.func) is GlobalRef and found.func.full_name == "torch.Size":
            args = found.args
            found = args[0] if type(args) is tuple and args else ()
        if type(found) is list:
            found = tuple(found)
        if type(found) is not tuple:
            raise MalformedError(f"its {what} is no tuple")
    for number in found:
        if type(number) is not int or number < 0:
            raise MalformedError(f"its {what} holds something that is no length")
    return found


def dtype_name(found: object) -> str:
    """The dtype that a global such as ``torch.float32`` names."""
    if type(found) is GlobalRef and found.module == "torch":
        name = DTYPE_ALIASES.get(found.name, found.name)
        if name in DTYPES:
            return name
        raise MalformedError(f"the dtype torch.{name} is unknown")
    raise MalformedError("its dtype is not named by a global")


def _layout(found: object) -> str:
    if type(found) is GlobalRef:
        return found.name
    if type(found) is Record and type(found.args) is tuple and found.args and type(found.args[0]) is str:
        return found.args[0].removeprefix("torch.")
    return "unknown"


def _views(spec: TensorSpec, metadata: object) -> None:
    """Notes lazy conjugation and negation (``torch._utils.set_tensor_metadata``)."""
    if type(metadata) is not Pairs:
        return
    if metadata.get("conj") is True:
        spec.odd().conj = True
    if metadata.get("neg") is True:
        spec.odd().neg = True
