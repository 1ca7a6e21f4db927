"""Reads a pickle as data: nothing is imported, looked up, called or hashed.

GLOBAL gives a `GlobalRef` (a name and no more), REDUCE, NEWOBJ and INST give a `Record` of the
call that they ask for, BUILD notes a state, and dicts become lists of pairs. All opcodes of
protocols 0 to 5 are understood; they are described in CPython's ``Lib/pickletools.py``.
Every length is checked against what is left of the data before anything is copied.
"""

from __future__ import annotations

import codecs
import struct
from typing import Final

from paramtui.checkpoints.inert_objects import GlobalRef, InertSet, Pairs, PersistentRef, Record
from paramtui.checkpoints.pickle_text import (
    decimal,
    integer,
    memo_key,
    python2_text,
    python3_name,
    storage_id,
    utf8_text,
)
from paramtui.core.trust import COMPUTED
from paramtui.errors import FormatError


class TruncatedPickleError(FormatError):
    """The data ends before the pickle's STOP."""


class Pickle:
    """One pickle read as data.

    Attributes:
        root: The object, made of Python's plain types and this module's classes.
        end: Byte after STOP.
        globals: Every global that the pickle names, by full name.
        storage_ids: Every persistent id, in the order of the file.
        protocol: Its protocol, 0 to 5.
    """

    __slots__ = ("end", "globals", "protocol", "root", "storage_ids")

    def __init__(
        self,
        root: object,
        end: int,
        global_refs: list[GlobalRef],
        storage_ids: list[object],
        protocol: int,
    ) -> None:
        self.root = root
        self.protocol = protocol
        self.end = end
        self.storage_ids = storage_ids
        self.globals = sorted({ref.full_name for ref in global_refs})


# Characters of the name of a class or function, and what all names may have beside as many as the data.
MAX_NAME: Final = 2000
FREE_NAMES: Final = 1_000_000

_BUFFER: Final = GlobalRef("pickle", "out-of-band buffer")

_INT4 = struct.Struct("<i").unpack_from
_UINT2 = struct.Struct("<H").unpack_from
_UINT4 = struct.Struct("<I").unpack_from
_UINT8 = struct.Struct("<Q").unpack_from
_FLOAT8 = struct.Struct(">d").unpack_from


def read_pickle(data: bytes, start: int = 0) -> Pickle:
    """Reads the pickle at byte `start` of `data`.

    Raises:
        TruncatedPickleError: The data ends before STOP.
        FormatError: An opcode is unknown or finds the wrong things on the stack; the message
            names the byte, and `named` is what the pickle named before it.
    """
    machine = _Machine(data, start)
    try:
        return machine.run()
    except FormatError as error:
        fault = error
    except struct.error:
        fault = TruncatedPickleError(f"the pickle ends at byte {len(data):,} without its STOP")
    except IndexError:
        if machine.pos >= len(data) or machine.wants > len(data):
            fault = TruncatedPickleError(f"the pickle ends at byte {len(data):,} without its STOP")
        else:
            fault = FormatError(f"the pickle's stack runs empty at byte {machine.pos:,}")
    fault.named = sorted({ref.full_name for ref in machine.refs.values()})
    raise fault


def named_globals(data: bytes) -> list[str]:
    """What pickles that stand one behind the other name, as far as they can be read.

    A program that loads them has called these before it comes to what is damaged.
    """
    names: set[str] = set()
    at = 0
    while at < len(data):
        try:
            pickle = read_pickle(data, at)
        except FormatError as error:
            names.update(error.named or ())
            break
        names.update(pickle.globals)
        at = pickle.end
    return sorted(names)


class _Machine:
    """The state that an error message needs; the loop itself works on local variables."""

    def __init__(self, data: bytes, start: int) -> None:
        self.data = data
        self.pos = start
        self.wants = 0
        self.refs: dict[tuple[str, str], GlobalRef] = {}
        self.pids: list[object] = []
        self.named = 0
        # Protocols 0 and 1 have no mark; only 0 remembers objects by text.
        self.protocol = 1

    def reference(self, module: object, name: object, pos: int) -> GlobalRef:
        if type(module) is not str:
            module = COMPUTED
        if type(name) is not str:
            name = COMPUTED
        ref = self.refs.get((module, name))
        if ref is None:
            # Through the memo a text can be part of very many names.
            self.named += len(module) + len(name)
            if len(module) + len(name) > MAX_NAME or self.named > FREE_NAMES + len(self.data):
                # With dots any name can be made as long as this.
                self.refs[COMPUTED, COMPUTED] = GlobalRef(COMPUTED, COMPUTED)
                raise FormatError(
                    f"the name of the global before byte {pos:,} has {len(module) + len(name):,}"
                    f" characters, and all names so far {self.named:,}: more than any program has"
                )
            known = (module, name) if self.protocol >= 3 else python3_name(module, name)
            ref = self.refs[module, name] = GlobalRef(*known)
        return ref

    def line(self, pos: int) -> tuple[bytes, int]:
        end = self.data.find(b"\n", pos)
        if end < 0:
            self.wants = len(self.data) + 1
            raise IndexError
        return self.data[pos:end], end + 1

    def take(self, pos: int, length: int) -> tuple[bytes, int]:
        end = pos + length
        if end > len(self.data):
            self.wants = end
            raise IndexError
        return self.data[pos:end], end

    def run(self) -> Pickle:
        """The loop. Opcodes are tested in two halves, each in the order of frequency in state dicts."""
        data = self.data
        size = len(data)
        uint4 = _UINT4
        pos = self.pos
        stack: list[object] = []
        marks: list[list[object]] = []
        memo: dict[int, object] = {}
        pids = self.pids
        try:
            while True:
                op = data[pos]
                pos += 1
                if op >= 0x68:
                    if op == 0x72:  # r LONG_BINPUT
                        memo[uint4(data, pos)[0]] = stack[-1]
                        pos += 4
                    elif op == 0x68:  # h BINGET
                        stack.append(memo[data[pos]])
                        pos += 1
                    elif op == 0x71:  # q BINPUT
                        memo[data[pos]] = stack[-1]
                        pos += 1
                    elif op == 0x74:  # t TUPLE
                        made = tuple(stack)
                        stack = marks.pop()
                        stack.append(made)
                    elif op == 0x86:  # TUPLE2
                        second = stack.pop()
                        stack[-1] = (stack[-1], second)
                    elif op == 0x89:  # NEWFALSE
                        stack.append(False)
                    elif op == 0x85:  # TUPLE1
                        stack[-1] = (stack[-1],)
                    elif op == 0x87:  # TUPLE3
                        third = stack.pop()
                        second = stack.pop()
                        stack[-1] = (stack[-1], second, third)
                    elif op == 0x94:  # MEMOIZE
                        memo[len(memo)] = stack[-1]
                    elif op == 0x8C:  # SHORT_BINUNICODE
                        end = pos + 1 + data[pos]
                        if end > size:
                            self.wants = end
                            raise IndexError
                        stack.append(utf8_text(data[pos + 1 : end]))
                        pos = end
                    elif op == 0x6A:  # j LONG_BINGET
                        stack.append(memo[uint4(data, pos)[0]])
                        pos += 4
                    elif op == 0x88:  # NEWTRUE
                        stack.append(True)
                    elif op == 0x75:  # u SETITEMS
                        items = stack
                        stack = marks.pop()
                        _set_items(stack[-1], items, pos)
                    elif op == 0x73:  # s SETITEM
                        value = stack.pop()
                        key = stack.pop()
                        _set_items(stack[-1], [key, value], pos)
                    elif op == 0x7D:  # } EMPTY_DICT
                        stack.append(Pairs())
                    elif op == 0x93:  # STACK_GLOBAL
                        attribute = stack.pop()
                        stack[-1] = self.reference(stack[-1], attribute, pos)
                    elif op == 0x81:  # NEWOBJ
                        args = stack.pop()
                        stack[-1] = Record(stack[-1], args)
                    elif op == 0x8A:  # LONG1
                        raw, pos = self.take(pos + 1, data[pos])
                        stack.append(int.from_bytes(raw, "little", signed=True))
                    elif op == 0x80:  # PROTO
                        if data[pos] > 5:
                            raise FormatError(
                                f"pickle protocol {data[pos]} at byte {pos:,} is not one of 0 to 5"
                            )
                        self.protocol = data[pos]
                        pos += 1
                    elif op == 0x95:  # FRAME
                        length = _UINT8(data, pos)[0]
                        pos += 8
                        if pos + length > size:
                            self.wants = pos + length
                            raise IndexError
                    else:
                        pos, stack = self.rare(op, pos, stack, marks, memo)
                elif op == 0x4B:  # K BININT1
                    stack.append(data[pos])
                    pos += 1
                elif op == 0x28:  # ( MARK
                    marks.append(stack)
                    stack = []
                elif op == 0x58:  # X BINUNICODE
                    end = pos + 4 + uint4(data, pos)[0]
                    if end > size:
                        self.wants = end
                        raise IndexError
                    stack.append(utf8_text(data[pos + 4 : end]))
                    pos = end
                elif op == 0x52:  # R REDUCE
                    args = stack.pop()
                    func = stack[-1]
                    if args or type(func) is not GlobalRef or func.full_name != "collections.OrderedDict":
                        stack[-1] = Record(func, args)
                    else:
                        stack[-1] = Pairs(func)
                elif op == 0x51:  # Q BINPERSID
                    pid = stack[-1]
                    pids.append(pid)
                    stack[-1] = PersistentRef(pid)
                elif op == 0x29:  # ) EMPTY_TUPLE
                    stack.append(())
                elif op == 0x4D:  # M BININT2
                    stack.append(_UINT2(data, pos)[0])
                    pos += 2
                elif op == 0x4A:  # J BININT
                    stack.append(_INT4(data, pos)[0])
                    pos += 4
                elif op == 0x4E:  # N NONE
                    stack.append(None)
                elif op == 0x5D:  # ] EMPTY_LIST
                    stack.append([])
                elif op == 0x61:  # a APPEND
                    value = stack.pop()
                    _append(stack[-1], [value], pos)
                elif op == 0x65:  # e APPENDS
                    items = stack
                    stack = marks.pop()
                    _append(stack[-1], items, pos)
                elif op == 0x62:  # b BUILD
                    state = stack.pop()
                    _build(stack[-1], state, pos)
                elif op == 0x63:  # c GLOBAL
                    module, pos = self.line(pos)
                    name, pos = self.line(pos)
                    stack.append(self.reference(utf8_text(module), utf8_text(name), pos))
                elif op == 0x47:  # G BINFLOAT
                    stack.append(_FLOAT8(data, pos)[0])
                    pos += 8
                elif op == 0x2E:  # . STOP
                    return Pickle(stack.pop(), pos, list(self.refs.values()), pids, self.protocol)
                else:
                    pos, stack = self.rare(op, pos, stack, marks, memo)
        except KeyError as error:
            raise FormatError(
                f"memo entry {error.args[0]} before byte {pos + 1:,} was never stored"
            ) from None
        finally:
            self.pos = pos

    def rare(
        self,
        op: int,
        pos: int,
        stack: list[object],
        marks: list[list[object]],
        memo: dict[int, object],
    ) -> tuple[int, list[object]]:
        """The opcodes that state dicts seldom hold. Returns the new position and stack."""
        data = self.data
        push = stack.append
        pop = stack.pop
        if op == 0x30:  # 0 POP
            if stack:
                pop()
            else:
                stack = marks.pop()
        elif op == 0x31:  # 1 POP_MARK
            stack = marks.pop()
        elif op == 0x32:  # 2 DUP
            push(stack[-1])
        elif op == 0x46:  # F FLOAT
            line, pos = self.line(pos)
            push(decimal(float, line, pos))
        elif op == 0x49:  # I INT
            line, pos = self.line(pos)
            if line in (b"00", b"01"):
                push(line == b"01")
            else:
                push(integer(line, pos))
        elif op == 0x4C:  # L LONG
            line, pos = self.line(pos)
            push(integer(line.removesuffix(b"L"), pos))
        elif op == 0x8B:  # LONG4
            length = _INT4(data, pos)[0]
            if length < 0:
                raise FormatError(f"an integer at byte {pos:,} has a negative length")
            raw, pos = self.take(pos + 4, length)
            push(int.from_bytes(raw, "little", signed=True))
        elif op == 0x53:  # S STRING
            line, pos = self.line(pos)
            if len(line) < 2 or line[0] != line[-1] or line[:1] not in (b"'", b'"'):
                raise FormatError(f"a string before byte {pos:,} is not quoted")
            try:
                push(python2_text(codecs.escape_decode(line[1:-1])[0]))
            except ValueError:
                raise FormatError(f"a string before byte {pos:,} has a broken escape") from None
        elif op == 0x54:  # T BINSTRING
            length = _INT4(data, pos)[0]
            if length < 0:
                raise FormatError(f"a string at byte {pos:,} has a negative length")
            raw, pos = self.take(pos + 4, length)
            push(python2_text(raw))
        elif op == 0x55:  # U SHORT_BINSTRING
            raw, pos = self.take(pos + 1, data[pos])
            push(python2_text(raw))
        elif op == 0x56:  # V UNICODE
            line, pos = self.line(pos)
            push(line.decode("raw-unicode-escape", "replace"))
        elif op == 0x8D:  # BINUNICODE8
            raw, pos = self.take(pos + 8, _UINT8(data, pos)[0])
            push(utf8_text(raw))
        elif op == 0x42:  # B BINBYTES
            raw, pos = self.take(pos + 4, _UINT4(data, pos)[0])
            push(raw)
        elif op == 0x43:  # C SHORT_BINBYTES
            raw, pos = self.take(pos + 1, data[pos])
            push(raw)
        elif op == 0x8E:  # BINBYTES8
            raw, pos = self.take(pos + 8, _UINT8(data, pos)[0])
            push(raw)
        elif op == 0x96:  # BYTEARRAY8
            raw, pos = self.take(pos + 8, _UINT8(data, pos)[0])
            push(bytearray(raw))
        elif op == 0x97:  # NEXT_BUFFER
            push(Record(_BUFFER, ()))
        elif op == 0x98:  # READONLY_BUFFER
            stack[-1]
        elif op in (0x64, 0x6C):  # d DICT, l LIST
            items = stack
            stack = marks.pop()
            if op == 0x6C:
                stack.append(items)
            else:
                pairs = Pairs()
                _set_items(pairs, items, pos)
                stack.append(pairs)
        elif op == 0x8F:  # EMPTY_SET
            push(InertSet(frozen=False))
        elif op == 0x90:  # ADDITEMS
            items = stack
            stack = marks.pop()
            _append(stack[-1], items, pos)
        elif op == 0x91:  # FROZENSET
            items = stack
            stack = marks.pop()
            stack.append(InertSet(items, frozen=True))
        elif op == 0x69:  # i INST
            module, pos = self.line(pos)
            name, pos = self.line(pos)
            items = stack
            stack = marks.pop()
            ref = self.reference(utf8_text(module), utf8_text(name), pos)
            stack.append(Record(ref, tuple(items)))
        elif op == 0x6F:  # o OBJ
            items = stack
            stack = marks.pop()
            stack.append(Record(items[0], tuple(items[1:])))
        elif op == 0x92:  # NEWOBJ_EX
            kwargs = pop()
            args = pop()
            push(Record(pop(), args, kwargs))
        elif op == 0x50:  # P PERSID
            line, pos = self.line(pos)
            pid = storage_id(utf8_text(line))
            if type(pid) is tuple:
                self.refs.setdefault((pid[1].module, pid[1].name), pid[1])
            self.pids.append(pid)
            push(PersistentRef(pid))
        elif op == 0x67:  # g GET
            line, pos = self.line(pos)
            key = memo_key(line, pos)
            if key not in memo:
                raise FormatError(f"memo entry {key} before byte {pos:,} was never stored")
            push(memo[key])
        elif op == 0x70:  # p PUT
            line, pos = self.line(pos)
            memo[memo_key(line, pos)] = stack[-1]
            self.protocol = min(self.protocol, 0)
        elif op in (0x82, 0x83, 0x84):  # EXT1, EXT2, EXT4
            width = {0x82: 1, 0x83: 2, 0x84: 4}[op]
            raw, pos = self.take(pos, width)
            push(self.reference("copyreg", f"extension {int.from_bytes(raw, 'little')}", pos))
        else:
            raise FormatError(f"byte 0x{op:02x} at {pos - 1:,} is no pickle opcode")
        return pos, stack


def _set_items(target: object, items: list[object], pos: int) -> None:
    if len(items) % 2:
        raise FormatError(f"a dict at byte {pos:,} gets a key without a value")
    if type(target) is Pairs:
        target.add(items)
    elif type(target) is Record:
        if target.pairs is None:
            target.pairs = []
        target.pairs += items
    else:
        raise FormatError(f"byte {pos - 1:,} sets an item of something that is no dict")


def _append(target: object, items: list[object], pos: int) -> None:
    if type(target) is list:
        target += items
    elif type(target) is InertSet:
        target.add(items)
    elif type(target) is Record:
        if target.items is None:
            target.items = []
        target.items += items
    else:
        raise FormatError(f"byte {pos - 1:,} appends to something that is no list")


def _build(target: object, state: object, pos: int) -> None:
    if type(target) is Pairs or type(target) is Record:
        # A second one adds to the first, as where classes with slots give two dicts at once.
        target.state = state if target.state is None else (target.state, state)
    else:
        raise FormatError(f"byte {pos - 1:,} gives a state to something that is no object")
