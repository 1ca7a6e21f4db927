"""The language in which a person changes numbers: ``100``, ``*= 0.5``, ``weight.data[0, :3] = -1``.

It is Python's, so that a line can be copied from a script and back, but nothing is evaluated: the right-hand
side is one number, and what stands before the last brackets only names a tensor.
"""

from __future__ import annotations

import ast
import warnings
from typing import TYPE_CHECKING, Final, NamedTuple

from paramtui.core.indexing import parse_index
from paramtui.core.text import key_text, safe_text
from paramtui.errors import EditSyntaxError, IndexSyntaxError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from paramtui.core.encoding import Number

MAX_TEXT: Final = 4000
MAX_NUMBER: Final = 200
MAX_QUOTED: Final = 80
EXAMPLE: Final = "for example 100, *= 0.5, [0, :3] = nan or weight[0] = 1e-3"
NUMBERS: Final = "a number such as 100, -0.5, 1e-3, inf, nan, True or 1+2j"

_SPECIAL: Final = {"inf": float("inf"), "nan": float("nan")}
# As Python itself writes complex numbers with these parts.
_SPECIAL_IMAGINARY: Final = {"infj": complex(0, float("inf")), "nanj": complex(0, float("nan"))}
_MODULES: Final = ("math", "torch", "np", "numpy")
# With "=" they make operators of Python's that are none here.
_OTHER_OPERATORS: Final = ("=", "!", "<", ">", "%", "@", "&", "|", "^", "~", "**", "//")
_CHILD_METHODS: Final = ("get_submodule", "get_parameter", "get_buffer")
# Dicts of a module's children, which its names leave out.
_TABLES: Final = ("_modules", "_parameters", "_buffers", "state_dict")
# What these return holds tensors by their names.
_HOLDERS: Final = ("load", "load_file", "state_dict")
_UNREADABLE: Final = (SyntaxError, ValueError, TypeError, MemoryError, RecursionError)


class TypedEdit(NamedTuple):
    """A change as typed.

    Attributes:
        reach: What stands before the last brackets, see `reached_name`; empty for the tensor that is shown.
        index: Which cells, as `parse_index` reads it; None for the one where the cursor is.
        operator: ``=``, ``*=``, ``/=``, ``+=`` or ``-=``.
        number: The right-hand side.
    """

    reach: str
    index: str | None  # type: ignore[assignment]  # the field's own word; nobody searches an edit
    operator: str
    number: Number


def parse_edit(text: str) -> TypedEdit:
    """The change that a line asks for.

    Raises:
        EditSyntaxError: It is none; the message says what is expected.
        IndexSyntaxError: What stands in its last brackets selects no cells.
    """
    if len(text) > MAX_TEXT:
        raise EditSyntaxError(f"a line of {len(text):,} letters is too long", hint=EXAMPLE)
    bare = text.strip()
    if bare[:1] in ("*", "/") and "=" not in bare:
        # As people begin to type it at a number.
        text = f"{bare[0]}= {bare[1:]}"
    # No number has an equals sign in it, and keys of a dict may.
    left, equals, right = text.rpartition("=")
    left = left.rstrip()
    operator = "="
    if equals and left.endswith(("*", "/", "+", "-")):
        left, operator = left[:-1], f"{left[-1]}="
    if left.endswith(_OTHER_OPERATORS) or (operator in ("*=", "/=") and left.endswith(operator[0])):
        raise EditSyntaxError(
            f"'{_quoted(text)}' has an operator that is not =, *=, /=, += or -=", hint=EXAMPLE
        )
    number = _number(right.strip(), text)
    reach, index = _reach_and_index(left.strip(), text)
    return TypedEdit(reach, index, operator, number)


def edit_text(edit: TypedEdit) -> str:
    """A line that `parse_edit` reads as this change."""
    index = "" if edit.index is None else f"[{edit.index}]"
    return f"{edit.reach}{index} {edit.operator} {edit.number!r}".lstrip()


def reached_name(reach: str, names: Sequence[str]) -> str | None:
    """The name of the tensor that `reach` means; None where it means none of `names`.

    A name as the tree shows it means itself. Otherwise attributes, items, ``get_submodule`` and its like are
    joined with dots; the first word, a variable, counts only where the whole is a name, and ``.data`` at the
    end only where it is part of one.
    """
    return next((name for name in _meanings(reach.strip()) if name in names), None)


def _quoted(text: str) -> str:
    return safe_text(text, MAX_QUOTED)


def _reach_and_index(left: str, text: str) -> tuple[str, str | None]:
    if not left:
        return "", None
    if left.endswith("]"):
        at = left.rfind("[")
        reach, index = left[: max(at, 0)].strip(), left[at + 1 : -1].strip()
        if at < 0 or reach.startswith("["):
            raise EditSyntaxError(
                f"'{_quoted(text)}' does not have one pair of brackets around its index",
                hint="write for example [0, 1] = 100",
            )
        if not index or index[0] in "\"'":
            raise EditSyntaxError(
                f"'{_quoted(text)}' does not say which cells to change",
                hint=f"write {_quoted(left if index else reach)}[...] for all of them",
            )
        parse_index(index)
        return ("" if reach == ".data" else reach), index
    try:
        parse_index(left)
    except IndexSyntaxError:
        raise EditSyntaxError(
            f"'{_quoted(left)}' is no index and has none in brackets",
            hint=f"write for example {_quoted(left)}[0] = 100, or {_quoted(left)}[...] = 100 for all cells",
        ) from None
    return "", left


def _number(written: str, text: str) -> Number:
    if not written:
        raise EditSyntaxError(f"'{_quoted(text)}' has no number at its end", hint=EXAMPLE)
    found = _value(_parsed(written)) if len(written) <= MAX_NUMBER else None
    if found is None:
        raise EditSyntaxError(f"'{_quoted(written)}' is not {NUMBERS}", hint=EXAMPLE)
    return found


def _parsed(written: str) -> ast.expr | None:
    try:
        with warnings.catch_warnings():
            # Python warns about what looks like a mistake, such as 1if.
            warnings.simplefilter("ignore")
            return ast.parse(written, mode="eval").body
    except _UNREADABLE:
        return None


def _value(node: ast.expr | None) -> Number | None:
    """The number that an expression writes down, without computing anything; None for any other."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Sub):
        real, imaginary = _signed(node.left), _plain(node.right)
        if real is None or isinstance(real, bool | complex) or not isinstance(imaginary, complex):
            return None
        sign = -1 if isinstance(node.op, ast.Sub) else 1
        try:
            return complex(real, sign * imaginary.imag)
        except OverflowError:
            return None
    return _signed(node)


def _signed(node: ast.expr | None) -> Number | None:
    if not isinstance(node, ast.UnaryOp):
        return _plain(node)
    found = _plain(node.operand)
    if found is None or isinstance(found, bool):
        return None
    if isinstance(node.op, ast.USub):
        return -found
    return found if isinstance(node.op, ast.UAdd) else None


def _plain(node: ast.expr | None) -> Number | None:
    if isinstance(node, ast.Constant) and type(node.value) in (bool, int, float, complex):
        return node.value  # type: ignore[return-value]
    if isinstance(node, ast.Name):
        return _SPECIAL.get(node.id) if node.id in _SPECIAL else _SPECIAL_IMAGINARY.get(node.id)
    if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in _MODULES:
        return _SPECIAL.get(node.attr)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "float":
        return _called(node)
    return None


def _called(node: ast.Call) -> float | None:
    """The number of ``float("inf")``."""
    if len(node.args) != 1 or node.keywords or not isinstance(node.args[0], ast.Constant):
        return None
    given = node.args[0].value
    if not isinstance(given, str | int | float):
        return None
    try:
        return float(given)
    except (ValueError, OverflowError):
        return None


def _meanings(reach: str) -> Iterator[str]:
    """What a reach may name, the likeliest first."""
    yield reach
    yield reach.removesuffix(".data")
    # Names such as 0.weight are no Python, and have one dot more after a variable.
    if "[" not in reach and "(" not in reach:
        inner = reach.partition(".")[2]
        yield inner
        yield inner.removesuffix(".data")
    root, steps = _steps(reach)
    if steps is None:
        return
    for keys in ([root, *steps] if root else steps, steps):
        yield ".".join(keys)
        if keys[-1:] == ["data"]:
            yield ".".join(keys[:-1])


def _steps(reach: str) -> tuple[str | None, list[str] | None]:
    """The variable that an expression starts with and the keys of its steps; no keys where it is none."""
    node = _parsed(reach)
    steps: list[str] = []
    while not isinstance(node, ast.Name):
        if isinstance(node, ast.Attribute):
            steps += [] if node.attr in _TABLES else [node.attr]
            node = node.value
        elif isinstance(node, ast.Subscript):
            try:
                steps.append(key_text(ast.literal_eval(node.slice)))
            except _UNREADABLE:
                return None, None
            node = node.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            method = node.func.attr
            if method in _HOLDERS:
                return None, steps[::-1]
            key = _text(node.args[0]) if len(node.args) == 1 else None
            if method not in _CHILD_METHODS or key is None:
                return None, None
            steps += [key] if key else []
            node = node.func.value
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getattr":
            key = _text(node.args[1]) if len(node.args) == 2 else None
            if key is None:
                return None, None
            steps.append(key)
            node = node.args[0]
        else:
            return None, None
    return node.id, steps[::-1]


def _text(node: ast.expr) -> str | None:
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else None
