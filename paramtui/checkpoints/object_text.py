"""Simple values behind the calls that rebuild them, and a few words about everything else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paramtui.checkpoints.inert_objects import GlobalRef, HugeInt, Pairs, PersistentRef, Record
from paramtui.checkpoints.numpy_pickle import dtype_code, numpy_scalar, raw_bytes
from paramtui.checkpoints.tensor_spec import class_name
from paramtui.core.text import MAX_INTEGER_BITS, safe_text

if TYPE_CHECKING:
    from paramtui.checkpoints.budget import Budget

# Characters of a call that is written out.
MAX_CALL: Final = 300

SCALARS: Final = frozenset({bool, int, float, str, type(None), bytes, bytearray, HugeInt})


def plain_value(
    name: str, args: tuple[object, ...], found: Record, budget: Budget
) -> tuple[str, object] | None:
    """Type and value of the calls that stand for simple values.

    Raises:
        SpentError: Its bytes are used again and again.
    """
    if found.state is None or name.startswith("numpy"):
        scalar = numpy_scalar(found, budget)
        if scalar is not None:
            return scalar
        if name == "numpy.dtype":
            return "numpy.dtype", _dtype_text(found) or call_text(name, args)
        if name in ("numpy._core.multiarray._reconstruct", "numpy.core.multiarray._reconstruct"):
            return "numpy.ndarray", _array_text(found)
    if name == "torch.device":
        return name, ":".join([short_text(arg, quoted=False) for arg in args[:2] if type(arg) in (str, int)])
    if name == "torch.Size" and len(args) == 1 and type(args[0]) is tuple:
        budget.look(len(args[0]))
        if SCALARS.issuperset(map(type, args[0])):
            return name, [plain_scalar(item) for item in args[0]]
    if name == "torch.serialization._get_layout" and args and type(args[0]) is str:
        return "torch.layout", args[0]
    if name == "builtins.complex" and len(args) == 2:
        real, imaginary = args
        if type(real) is float and type(imaginary) is float:
            return "complex", complex(real, imaginary)
    if name in ("_codecs.encode", "builtins.bytes", "builtins.bytearray"):
        data = raw_bytes(found, budget)
        if data is not None:
            return ("bytearray" if name == "builtins.bytearray" else "bytes"), data
    return None


def _array_text(found: Record) -> str:
    state = found.state
    if type(state) is tuple and len(state) > 2:
        return f"array of dtype {_dtype_text(state[2]) or 'unknown'}, shape {short_text(state[1])}"
    return "array"


def _dtype_text(found: object) -> str:
    """A NumPy dtype as NumPy takes it, such as ``f4`` or ``>f4``; empty where it is none."""
    code = dtype_code(found)
    return (">" if code[1] else "") + code[0] if code else ""


def plain_scalar(found: object, *, short: bool = False) -> object:
    """A scalar as a listing holds it: itself, or for an integer never converted a text about it.

    Args:
        found: The scalar.
        short: Integers too long to be written are such texts too.
    """
    if type(found) is HugeInt:
        return f"an integer of {found.digits:,} digits"
    if short and type(found) is int and found.bit_length() > MAX_INTEGER_BITS:
        return f"an integer of {found.bit_length():,} bits"
    return found


def type_name(found: object) -> str:
    """Name of the class that an object of a pickle is, or would be, of."""
    if type(found) is Record:
        return class_name(found)
    if type(found) is Pairs:
        return found.cls.full_name if found.cls else "dict"
    return type(found).__name__


def short_text(found: object, *, quoted: bool = True) -> str:
    """A few words about any object, never deeper than one level.

    Args:
        found: The object.
        quoted: Text stands in quotes.
    """
    if type(found) in SCALARS:
        plain = plain_scalar(found, short=True)
        if plain is not found:
            # Words about a number are no text of the file.
            return str(plain)
        if isinstance(plain, str | bytes | bytearray):
            # What is cut again below need not be written out before.
            plain = plain[:80]
        return safe_text(repr(plain)[:80] if quoted else str(plain), 60)
    if type(found) is GlobalRef:
        return found.full_name[:MAX_CALL]
    if type(found) is tuple or type(found) is list:
        inside = ", ".join(
            [
                short_text(item) if type(item) in SCALARS or type(item) is GlobalRef else "…"
                for item in found[:6]
            ]
        )
        more = ", …" if len(found) > 6 else "," if type(found) is tuple and len(found) == 1 else ""
        return f"({inside}{more})" if type(found) is tuple else f"[{inside}{more}]"
    if type(found) is Record:
        return f"{class_name(found)}(…)"
    return "…"


def call_text(name: str, args: tuple[object, ...]) -> str:
    """The call that a record stands for, as Python would write it, cut to a line."""
    shown = [short_text(arg) for arg in args[:8] if type(arg) is not PersistentRef]
    if name == "builtins.getattr" and len(args) == 2:
        text = f"{shown[0]}.{args[1][:MAX_CALL]}" if shown and type(args[1]) is str else name
    else:
        text = f"{name.rsplit('.', 1)[-1]}({', '.join(shown)}{', …' if len(args) > 8 else ''})"
    return text if len(text) <= MAX_CALL else f"{text[: MAX_CALL - 1]}…"
