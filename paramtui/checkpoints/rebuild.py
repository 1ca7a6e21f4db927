"""Turns the calls by which PyTorch and NumPy rebuild tensors into rows, without making the calls.

The functions and their arguments are those of ``torch/_utils.py``, ``torch/_tensor.py``,
``torch/nested/_internal/nested_tensor.py`` and ``numpy/_core/multiarray.py``.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from paramtui.checkpoints.inert_objects import GlobalRef, Pairs, PersistentRef, Record
from paramtui.checkpoints.numpy_pickle import numpy_array
from paramtui.checkpoints.rebuild_layouts import jagged, nested, quantized, sparse
from paramtui.checkpoints.tensor_spec import (
    STORAGE_CLASSES,
    UNCOUNTABLE,
    MalformedError,
    StorageRef,
    Storages,
    TensorSpec,
    counted,
    dtype_name,
    sizes,
)
from paramtui.core.dtypes import DTYPES, ITEMSIZE, PACKED, storage_nbytes
from paramtui.core.geometry import MAX_DIMS, MAX_SIZE, contiguous_stride
from paramtui.core.warned import Warned

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paramtui.checkpoints.budget import Budget

# A parameter of a subclass of a sparse tensor has four calls one inside the other.
MAX_NESTING = 8
# What a tensor inside another costs of the budget; its opcodes are more bytes.
INNER = 16


class Rebuilder:
    """Describes tensors from the calls that would rebuild them.

    Args:
        storages: What is known of the bytes that they lie in.
        budget: What may be looked at.
    """

    def __init__(self, storages: Storages, budget: Budget) -> None:
        self.storages = storages
        self.budget = budget
        self._nesting = 0
        self._handlers: dict[str, Callable[[Sequence[object]], TensorSpec]] = {
            "torch._utils._rebuild_tensor_v2": self._tensor_v2,
            "torch._utils._rebuild_tensor_v3": self._tensor_v3,
            "torch._utils._rebuild_tensor": self._tensor_v1,
            "torch._utils._rebuild_parameter": self._parameter,
            "torch._utils._rebuild_parameter_with_state": self._parameter,
            "torch._utils._rebuild_qtensor": partial(quantized, self),
            "torch._utils._rebuild_sparse_tensor": partial(sparse, self),
            "torch._utils._rebuild_nested_tensor": partial(nested, self),
            "torch._utils._rebuild_meta_tensor_no_storage": self._meta,
            "torch._utils._rebuild_wrapper_subclass": self._wrapper,
            "torch._utils._rebuild_device_tensor_from_numpy": self._moved,
            "torch._utils._rebuild_xla_tensor": self._moved,
            "torch._utils._rebuild_device_tensor_from_cpu_tensor": self._moved,
            "torch._tensor._rebuild_from_type_v2": self._typed,
            "torch._tensor._rebuild_from_type": self._typed,
            "torch.nested._internal.nested_tensor._rebuild_njt": partial(jagged, self),
        }

    def tensor(self, found: object) -> TensorSpec | None:
        """The tensor that an object of the pickle stands for, or None if it is no tensor.

        Raises:
            MalformedError: It should be a tensor, but its arguments make no sense.
            SpentError: What it is made of is used again and again.
        """
        if type(found) is Record:
            func = found.func
            if type(func) is not GlobalRef:
                return None
            handler = self._handlers.get(func.full_name)
            if handler is None:
                array = numpy_array(found, self.budget)
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

    def _storage(self, ref: object) -> tuple[StorageRef, str | None]:
        """The storage that a reference points to, and its own element type (None: untyped)."""
        if type(ref) is not PersistentRef or type(ref.pid) is not tuple or len(ref.pid) < 5:
            raise MalformedError("its storage is not a storage reference")
        pid = ref.pid
        kind = pid[1]
        key = pid[2]
        if type(kind) is not GlobalRef or kind.name not in STORAGE_CLASSES or type(key) not in (str, int):
            raise MalformedError("its storage is of an unknown class")
        stored = STORAGE_CLASSES[kind.name]
        if type(key) is int and not -1 <= key <= MAX_SIZE:
            raise MalformedError("its storage has a number that is too long")
        return self.storages.resolve(pid, str(key), stored), stored

    def strided(
        self,
        storage_ref: object,
        offset: object,
        shape: object,
        stride: object,
        requires_grad: object,
        dtype: str | None = None,
    ) -> TensorSpec:
        """A tensor over a storage; one that reaches past it is flagged, not refused.

        Raises:
            MalformedError: The arguments are not a storage, an offset, sizes and strides.
        """
        storage, stored = self._storage(storage_ref)
        element = dtype or stored or "uint8"
        if type(shape) is not tuple:
            shape = sizes(shape, "size")
        if type(stride) is not tuple:
            stride = sizes(stride, "stride")
        if len(shape) != len(stride):
            raise MalformedError(f"it has {len(shape):,} sizes and {len(stride):,} strides")
        if len(shape) > MAX_DIMS:
            sizes(shape, "size")
        if type(offset) is not int or offset < 0:
            raise MalformedError("its storage offset is not a number of elements")
        count = 1
        last = offset
        for length, step in zip(shape, stride):  # noqa: B905  equal lengths, and strict costs time
            if (
                type(length) is not int
                or type(step) is not int
                or not 0 <= length <= MAX_SIZE
                or not 0 <= step <= MAX_SIZE
            ):
                sizes(shape, "size")
                sizes(stride, "stride")
            count *= length
            last += (length - 1) * step
        if count > MAX_SIZE or offset > MAX_SIZE:
            raise MalformedError(UNCOUNTABLE)
        itemsize = ITEMSIZE[element]
        if element in PACKED:
            nbytes = storage_nbytes(element, count)
            # PyTorch takes such an offset for bytes.
            needed = offset + nbytes if count else 0
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
            words = f"it reaches to byte {needed:,} of a storage that has {storage.nbytes:,} bytes"
            spec.odd().problem = Warned(words, "out-of-bounds")
        return spec

    def _tensor_v1(self, args: Sequence[object]) -> TensorSpec:
        if len(args) < 4:
            raise MalformedError("_rebuild_tensor takes 4 arguments")
        return self.strided(args[0], args[1], args[2], args[3], requires_grad=False)

    def _tensor_v2(self, args: Sequence[object]) -> TensorSpec:
        if len(args) < 5:
            raise MalformedError("_rebuild_tensor_v2 takes 6 arguments")
        spec = self.strided(args[0], args[1], args[2], args[3], args[4])
        if len(args) > 6:
            _views(spec, args[6])
        return spec

    def _tensor_v3(self, args: Sequence[object]) -> TensorSpec:
        if len(args) < 7:
            raise MalformedError("_rebuild_tensor_v3 takes 7 arguments")
        spec = self.strided(args[0], args[1], args[2], args[3], args[4], dtype_name(args[6]))
        if len(args) > 7:
            _views(spec, args[7])
        return spec

    def _bare_storage(self, ref: PersistentRef) -> TensorSpec:
        """A storage saved by itself, as the 1-d tensor over all of it."""
        storage, stored = self._storage(ref)
        element = stored or "uint8"
        count = storage.nbytes * 8 // DTYPES[element].bits
        pid = ref.pid
        name = (
            pid[1].full_name if type(pid) is tuple and type(pid[1]) is GlobalRef else "torch.UntypedStorage"
        )
        spec = TensorSpec(storage.location, storage.begin, element, (count,), (1,), 0, storage.nbytes)
        spec.odd().class_name = name
        spec.odd().problem = storage.problem
        return spec

    # Wrappers around another tensor.

    def inner(self, found: object, what: str) -> TensorSpec:
        """The tensor that `found` is; a `MalformedError` says `what` it should have been."""
        # Tensors inside each other twice would be described twice as often at each level.
        self.budget.look(INNER)
        self._nesting += 1
        try:
            if self._nesting > MAX_NESTING:
                raise MalformedError("it is made from tensors nested too deeply")
            spec = self.tensor(found)
        finally:
            self._nesting -= 1
        if spec is None:
            raise MalformedError(f"{what} is no tensor")
        return spec

    def _parameter(self, args: Sequence[object]) -> TensorSpec:
        if len(args) < 2:
            raise MalformedError("_rebuild_parameter takes 3 arguments")
        spec = self.inner(args[0], "the parameter's data")
        spec.is_parameter = True
        spec.requires_grad = args[1] is True
        if len(args) > 3:
            spec.add_state(args[3])
        return spec

    def _typed(self, args: Sequence[object]) -> TensorSpec:
        if len(args) < 3:
            raise MalformedError("_rebuild_from_type_v2 takes 4 arguments")
        func, kind, inner_args = args[0], args[1], args[2]
        spec = self.inner(Record(func, inner_args), "what a subclass is made from")
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
        spec = TensorSpec(
            -1, 0, element, shape, None, None, storage_nbytes(element, counted(shape)), grad is True
        )
        spec.odd().layout = "wrapper"
        spec.odd().problem = "a wrapper: its numbers lie in the tensors listed below it"
        if type(kind) is GlobalRef:
            spec.odd().class_name = kind.full_name
        return spec

    def _moved(self, args: Sequence[object]) -> TensorSpec:
        """A tensor of another device, saved as a NumPy array or CPU tensor to be converted."""
        if len(args) < 4:
            raise MalformedError("_rebuild_device_tensor takes 4 arguments")
        spec = self.inner(args[0], "the data of a device tensor")
        wanted = dtype_name(args[1])
        if wanted != spec.dtype:
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
        if len(shape) != len(stride):
            raise MalformedError(f"it has {len(shape)} sizes and {len(stride)} strides")
        nbytes = storage_nbytes(element, counted(shape))
        spec = TensorSpec(-1, 0, element, shape, stride, 0, nbytes, args[3] is True)
        spec.odd().layout = "meta"
        spec.odd().problem = "a meta tensor: it has a shape and no values"
        return spec

    def _array(
        self, dtype: str, shape: tuple[int, ...], data: bytes, order: tuple[bool, bool], kind: str
    ) -> TensorSpec:
        big_endian, fortran = order
        needed = storage_nbytes(dtype, counted(sizes(shape, "shape")))
        location = self.storages.add_memory(data, big_endian=big_endian)
        stride = contiguous_stride(shape)
        if fortran:
            stride = tuple(reversed(contiguous_stride(tuple(reversed(shape)))))
        spec = TensorSpec(location, 0, dtype, shape, stride, None, needed)
        spec.odd().class_name = kind
        if needed > len(data):
            words = f"it needs {needed:,} bytes and has {len(data):,}"
            spec.odd().problem = Warned(words, "out-of-bounds")
        return spec


def _views(spec: TensorSpec, metadata: object) -> None:
    """Notes lazy conjugation and negation (``torch._utils.set_tensor_metadata``)."""
    if type(metadata) is not Pairs:
        return
    if metadata.get("conj") is True:
        spec.odd().conj = True
    if metadata.get("neg") is True:
        spec.odd().neg = True
