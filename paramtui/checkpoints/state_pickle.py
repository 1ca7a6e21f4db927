"""The pickle of a state dict as ``torch.save`` writes it, opcode for opcode.

Opcodes of protocol 2 after ``Lib/pickletools.py`` of Python; what a tensor is made of after
``torch/_tensor.py`` (`_reduce_ex_internal`), ``torch/nn/parameter.py`` and ``torch/serialization.py``
(`persistent_id`) of PyTorch 2.13.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Final, TypeVar

from paramtui.core.dtypes import ITEMSIZE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from paramtui.checkpoints.state_dict import StateEntry, StateStorage

_Item = TypeVar("_Item")

# Types that have a storage class of their own; newer ones lie in an UntypedStorage.
STORAGE_CLASSES: Final = {
    "float64": "DoubleStorage",
    "float32": "FloatStorage",
    "float16": "HalfStorage",
    "bfloat16": "BFloat16Storage",
    "int64": "LongStorage",
    "int32": "IntStorage",
    "int16": "ShortStorage",
    "int8": "CharStorage",
    "uint8": "ByteStorage",
    "bool": "BoolStorage",
    "complex128": "ComplexDoubleStorage",
    "complex64": "ComplexFloatStorage",
}
_BATCH: Final = 1000  # items of a dict that one opcode adds
_MARK, _SETITEM, _SETITEMS = b"(", b"s", b"u"
_TUPLE, _REDUCE, _BUILD, _STOP = b"t", b"R", b"b", b"."
_EMPTY_DICT, _EMPTY_TUPLE, _PERSISTENT = b"}", b")", b"Q"
_ORDERED_DICT: Final = "collections OrderedDict"


def state_pickle(
    entries: Sequence[StateEntry],
    storages: Sequence[StateStorage],
    metadata: Mapping[str, Mapping[str, int]] | None,
) -> tuple[bytes, list[int]]:
    """The pickle, and the index of the storage that each of the keys "0", "1", ... stands for.

    Args:
        entries: The tensors.
        storages: What they lie in.
        metadata: The ``_metadata`` of a module's state dict, which is an ``OrderedDict``; None for a
            plain dict.
    """
    pickle = _StatePickle(entries, storages)
    pickle.write(metadata)
    return bytes(pickle.out), list(pickle.keys)


class _StatePickle:
    """Opcodes so far, what they have memoized, and the storages they have named."""

    def __init__(self, entries: Sequence[StateEntry], storages: Sequence[StateStorage]) -> None:
        self.out = bytearray(b"\x80\x02")
        self.keys: dict[int, int] = {}
        self._entries = entries
        self._storages = storages
        self._memo: dict[tuple[str, str], int] = {}
        self._memoized = 0
        types: dict[int, str] = {}
        # torch.load takes the type of a storage from its first mention: one that is looked at in several
        # ways is written as one without a type.
        self._untyped: set[int] = set()
        for entry in entries:
            first = types.setdefault(entry.storage, entry.dtype)
            if entry.dtype != first or entry.dtype not in STORAGE_CLASSES:
                self._untyped.add(entry.storage)

    def write(self, metadata: Mapping[str, Mapping[str, int]] | None) -> None:
        def named(entry: StateEntry) -> None:
            self._text("name", entry.name)
            self._tensor(entry)

        def versions(item: tuple[str, Mapping[str, int]]) -> None:
            self._text("prefix", item[0])
            self._begin_dict()
            self._items(item[1].items(), version)

        def version(item: tuple[str, int]) -> None:
            self._text("constant", item[0])
            self._integer(item[1])

        if metadata is None:
            self._begin_dict()
            self._items(self._entries, named)
        else:
            self._ordered_dict()
            self._items(self._entries, named)
            self._begin_dict()
            self._text("constant", "_metadata")
            self._ordered_dict()
            self._items(metadata.items(), versions)
            self.out += _SETITEM + _BUILD
        self.out += _STOP

    def _put(self) -> None:
        """Memoizes what stands on the stack."""
        number = self._memoized
        self._memoized += 1
        self.out += b"q" + bytes([number]) if number < 256 else b"r" + struct.pack("<L", number)

    def _known(self, kind: str, text: str) -> bool:
        """Fetches something memoized; otherwise notes that it will be the next to be."""
        number = self._memo.get((kind, text))
        if number is None:
            self._memo[kind, text] = self._memoized
            return False
        self.out += b"h" + bytes([number]) if number < 256 else b"j" + struct.pack("<L", number)
        return True

    def _global(self, name: str) -> None:
        """A class or function, by module and name with a space between them."""
        if not self._known("global", name):
            self.out += b"c" + name.replace(" ", "\n").encode() + b"\n"
            self._put()

    def _text(self, kind: str, text: str) -> None:
        # Python has one object for each of these, and a pickle mentions an object once.
        if not self._known("character" if len(text) < 2 and kind != "key" else kind, text):
            raw = text.encode("utf-8", "surrogatepass")
            self.out += b"X" + struct.pack("<L", len(raw)) + raw
            self._put()

    def _integer(self, number: int) -> None:
        if 0 <= number < 1 << 8:
            self.out += b"K" + bytes([number])
        elif 0 <= number < 1 << 16:
            self.out += b"M" + struct.pack("<H", number)
        elif -(1 << 31) <= number < 1 << 31:
            self.out += b"J" + struct.pack("<l", number)
        else:
            raw = number.to_bytes(number.bit_length() // 8 + 1, "little", signed=True)
            self.out += b"\x8a" + bytes([len(raw)]) + raw

    def _bool(self, value: bool) -> None:  # noqa: FBT001
        self.out += b"\x88" if value else b"\x89"

    def _integers(self, numbers: Sequence[int]) -> None:
        """A tuple of sizes or strides."""
        if not numbers:
            self.out += _EMPTY_TUPLE
            return
        if len(numbers) > 3:
            self.out += _MARK
        for number in numbers:
            self._integer(number)
        self.out += _TUPLE if len(numbers) > 3 else bytes([0x84 + len(numbers)])
        self._put()

    def _begin_dict(self) -> None:
        self.out += _EMPTY_DICT
        self._put()

    def _ordered_dict(self) -> None:
        self._global(_ORDERED_DICT)
        self.out += _EMPTY_TUPLE + _REDUCE
        self._put()

    def _items(self, items: Iterable[_Item], write: Callable[[_Item], None]) -> None:
        """Adds items to the dict on the stack."""
        rows = list(items)
        for first in range(0, len(rows), _BATCH):
            batch = rows[first : first + _BATCH]
            if len(batch) > 1:
                self.out += _MARK
            for row in batch:
                write(row)
            self.out += _SETITEMS if len(batch) > 1 else _SETITEM

    def _tensor(self, entry: StateEntry) -> None:
        if not entry.is_parameter:
            self._plain_tensor(entry, requires_grad=entry.requires_grad)
            return
        self._global("torch._utils _rebuild_parameter")
        self._plain_tensor(entry, requires_grad=False)
        self._bool(entry.requires_grad)
        self._ordered_dict()  # of hooks
        self.out += bytes([0x84 + 3])
        self._put()
        self.out += _REDUCE
        self._put()

    def _plain_tensor(self, entry: StateEntry, *, requires_grad: bool) -> None:
        untyped = entry.storage in self._untyped
        self._global(f"torch._utils _rebuild_tensor_v{3 if untyped else 2}")
        self.out += _MARK + _MARK
        self._text("constant", "storage")
        nbytes = self._storages[entry.storage].nbytes
        if untyped:
            self._global("torch.storage UntypedStorage")
        else:
            self._global(f"torch {STORAGE_CLASSES[entry.dtype]}")
            nbytes //= ITEMSIZE[entry.dtype]  # a typed storage counts elements
        self._text("key", str(self.keys.setdefault(entry.storage, len(self.keys))))
        self._text("constant", "cpu")
        self._integer(nbytes)
        self.out += _TUPLE
        self._put()
        self.out += _PERSISTENT
        self._integer(entry.offset)
        self._integers(entry.shape)
        self._integers(entry.stride)
        self._bool(requires_grad)
        self._ordered_dict()  # of hooks
        if untyped:
            self._global(f"torch {entry.dtype}")
        self.out += _TUPLE
        self._put()
        self.out += _REDUCE
        self._put()
