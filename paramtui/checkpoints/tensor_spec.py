"""One tensor as a pickle describes it, and what describing it needs: storages, sizes, dtypes."""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, NamedTuple, Protocol

from paramtui.checkpoints.inert_objects import GlobalRef, PersistentRef, Record
from paramtui.core.dtypes import DTYPES
from paramtui.core.geometry import MAX_DIMS, MAX_SIZE, Extra, Geometry

if TYPE_CHECKING:
    from collections.abc import Sequence

    from paramtui.core.geometry import Shape

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
UNCOUNTABLE = "its sizes are larger than PyTorch can count"


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
        """The elements of a contiguous int64 tensor of at most `limit` elements.

        Raises:
            MalformedError: It has more.
            ValuesError: Its bytes cannot be read.
        """


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

    def __init__(
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


def sizes(found: object, what: str) -> tuple[int, ...]:
    """A tuple of numbers that can be sizes or strides, from a tuple, a list or a ``torch.Size``.

    Raises:
        MalformedError: More than `MAX_DIMS`, or one is negative, above `MAX_SIZE` or no integer.
    """
    if type(found) is not tuple:
        if type(found) is Record and type(found.func) is GlobalRef and found.func.full_name == "torch.Size":
            args = found.args
            found = args[0] if type(args) is tuple and args else ()
        if type(found) is list and len(found) <= MAX_DIMS:
            found = tuple(found)
        if type(found) is not tuple:
            raise MalformedError(f"its {what} is no tuple")
    if len(found) > MAX_DIMS:
        raise MalformedError(f"its {what} has {len(found):,} dimensions, more than {MAX_DIMS}")
    for number in found:
        if type(number) is not int or number < 0:
            raise MalformedError(f"its {what} holds something that is no length")
        if number > MAX_SIZE:
            raise MalformedError(UNCOUNTABLE)
    return found


def counted(shape: Sequence[int]) -> int:
    """Number of elements of a shape.

    Raises:
        MalformedError: A size, or the number, is larger than any that PyTorch can count.
    """
    count = prod(shape)
    if max(count, *shape, 0) > MAX_SIZE:
        raise MalformedError(UNCOUNTABLE)
    return count


def dtype_name(found: object) -> str:
    """The dtype that a global such as ``torch.float32`` names."""
    if type(found) is GlobalRef and found.module == "torch":
        name = DTYPE_ALIASES.get(found.name, found.name)
        if name in DTYPES:
            return name
        raise MalformedError(f"the dtype torch.{name} is unknown")
    raise MalformedError("its dtype is not named by a global")
