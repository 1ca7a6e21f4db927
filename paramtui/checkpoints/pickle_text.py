"""Texts and numbers as pickles write them, turned into Python's without trusting their length."""

from __future__ import annotations

from contextlib import suppress
from typing import Final

from paramtui.checkpoints.inert_objects import GlobalRef, HugeInt
from paramtui.errors import FormatError

# Python refuses to convert longer decimal texts by default, since the time grows with the square.
MAX_DIGITS: Final = 4300


def python3_name(module: str, name: str) -> tuple[str, str]:
    """What Python 3 looks for where a pickle of protocol 0 to 2 names a global, by Python 2's name.

    Pickles of Python 3 in these protocols hold the old names, too. After ``Unpickler.find_class``.
    """
    # Nothing of these packages was ever renamed, and most files name nothing else.
    if module.startswith(("torch", "collections", "numpy")):
        return module, name
    from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING

    return NAME_MAPPING.get((module, name)) or (IMPORT_MAPPING.get(module, module), name)


def utf8_text(raw: bytes) -> str:
    """Text of protocols 1 and later; bytes that are no UTF-8 become backslash escapes."""
    try:
        return raw.decode("utf-8", "surrogatepass")
    except UnicodeDecodeError:
        return raw.decode("utf-8", "backslashreplace")


def storage_id(text: str) -> object:
    """What protocol 0 wrote with ``str(pid)``, as the tuple that it was: a storage or a module's class.

    The text is ``('storage', <class 'torch.FloatStorage'>, '0', 'cpu', 2)``, in the format before
    PyTorch 1.6 with a sixth entry, None or ``('key', offset, length)``. ``torch.load`` cannot read it.
    """
    head, separator, rest = text.partition("'>, ")
    module_class = head.removeprefix("('module', <class '")
    if separator and module_class != head:
        module, _, name = module_class.rpartition(".")
        return ("module", GlobalRef(module, name))
    kind = head.removeprefix("('storage', <class '")
    if not separator or kind == head or not rest.endswith(")"):
        return text
    fields = rest[:-1].split(", ", 3)
    if len(fields) < 3 or not (fields[2].isascii() and fields[2].isdecimal()) or len(fields[2]) > 20:
        return text
    view: object = None
    if len(fields) == 4 and fields[3] != "None":
        inner = fields[3].strip("()").split(", ")
        if len(inner) != 3 or not all(
            part.isascii() and part.isdecimal() and len(part) < 20 for part in inner[1:]
        ):
            return text
        view = (inner[0].strip("'"), int(inner[1]), int(inner[2]))
    module, _, name = kind.rpartition(".")
    return (
        "storage",
        GlobalRef(module, name),
        fields[0].strip("'"),
        fields[1].strip("'"),
        int(fields[2]),
        view,
    )


def python2_text(raw: bytes) -> str | bytes:
    """Python 2 wrote text and bytes alike: ASCII is taken for text, the rest stays bytes."""
    return raw.decode("ascii") if raw.isascii() else raw


def decimal(kind: type[float], line: bytes, pos: int) -> float:
    """A floating-point number written as text."""
    try:
        return kind(line)
    except ValueError:
        raise FormatError(f"a number before byte {pos:,} is none") from None


def integer(line: bytes, pos: int) -> int | HugeInt:
    """An integer written as text, converted unless that would take long."""
    if len(line) > MAX_DIGITS:
        return HugeInt(len(line))
    # CPython takes the prefixes of its source code too; no pickler writes them.
    for base in (10, 0):
        with suppress(ValueError):
            return int(line, base)
    raise FormatError(f"an integer before byte {pos:,} is none")


def memo_key(line: bytes, pos: int) -> int:
    """A place in the memo written as text."""
    key = integer(line, pos)
    if not isinstance(key, int) or key < 0:
        raise FormatError(f"a memo key before byte {pos:,} is out of range")
    return key
