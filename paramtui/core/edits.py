"""What a person can change, as plain data: it goes to an engine, into a journal, and into a script."""

from __future__ import annotations

import ast
import warnings
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeAlias

from paramtui.core.text import joined, safe_text
from paramtui.errors import EditError

if TYPE_CHECKING:
    from collections.abc import Mapping

Number: TypeAlias = "bool | int | float | complex"

RESET: Final = "reset_parameters"
"""Name of the function of a module that gives every layer what its class gives it when it is built."""

MAX_CALL: Final = 10_000
# What a call holds, written out: 1j becomes complex(0.0, 1.0).
MAX_LITERAL: Final = 10 * MAX_CALL
MAX_SEED: Final = (1 << 64) - 1
# What Python raises for text that nests without end.
_TOO_DEEP: Final = (RecursionError, MemoryError)
# Python itself refuses to write integers of more digits than a few thousand.
MAX_INTEGER_BITS: Final = 1024


class Call(NamedTuple):
    """An initialiser with its arguments.

    Attributes:
        name: Of the function.
        arguments: Its keywords with plain literals, in the order of its signature.
        source: Where a custom one comes from: path of a file, or ``entry point NAME``; empty for PyTorch's.
    """

    name: str
    arguments: tuple[tuple[str, object], ...] = ()
    source: str = ""

    @property
    def text(self) -> str:
        """``normal_(mean=0.0, std=0.01)``."""
        inside = ", ".join(f"{name}={literal_text(value)}" for name, value in self.arguments)
        return f"{self.name}({inside})"


class Step(NamedTuple):
    """A tensor, by its name or by its key path as JSON, and what is done to it."""

    tensor: str
    call: Call


class Initialise(NamedTuple):
    """Functions of a tensor, one tensor after the other after seeding once."""

    steps: tuple[Step, ...]
    seed: int


class ApplyFunction(NamedTuple):
    """``block.apply(function)`` after seeding; `block` is a dotted name, empty for the whole."""

    block: str
    call: Call
    seed: int


class SetCells(NamedTuple):
    """``tensor[cells] = number``, or with one of ``*= /= += -=``; `cells` is an index as in Python."""

    tensor: str
    cells: str
    operator: str
    number: Number


class Tie(NamedTuple):
    """``net[4].weight = net[2].weight``: the parameter `tensor` becomes the very parameter that `to` is.

    What else holds the parameter that stood there, such as an optimizer, keeps that one.
    """

    tensor: str
    to: str


class Untie(NamedTuple):
    """``net[4].weight = nn.Parameter(net[4].weight.detach().clone())``: each gets memory of its own.

    One after the other: one that shares memory with nothing any more, since those before it have left, stays
    as it is.
    """

    tensors: tuple[str, ...]


Edit: TypeAlias = Initialise | ApplyFunction | SetCells | Tie | Untie


def same_edit(one: Edit, other: Edit) -> bool:
    """Whether two edits give the same bits; True, 1 and 1.0 are equal to Python, and 0.0 and -0.0."""
    return one is other or (type(one) is type(other) and repr(one) == repr(other))


def literal_text(value: object) -> str:
    """A plain value as Python writes it; infinities and NaN as calls of ``float``."""
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):  # noqa: PLR0124
        return f"float('{value}')"
    if isinstance(value, complex):
        return f"complex({literal_text(value.real)}, {literal_text(value.imag)})"
    if isinstance(value, list):
        return f"[{', '.join(map(literal_text, value))}]"
    if isinstance(value, tuple):
        return f"({', '.join(map(literal_text, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, dict):
        inside = (f"{literal_text(key)}: {literal_text(item)}" for key, item in value.items())
        return f"{{{', '.join(inside)}}}"
    return repr(value)


def literal_value(node: ast.expr) -> object:
    """The plain value that an expression stands for; nothing is evaluated.

    Raises:
        ValueError: It is no literal.
    """
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
        return _called(node.func.id, [literal_value(argument) for argument in node.args])
    if isinstance(node, ast.Name) and node.id in ("inf", "nan"):
        return float(node.id)
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        number = literal_value(node.operand)
        if isinstance(number, int | float | complex) and not isinstance(number, bool):
            return -number
        raise ValueError
    if isinstance(node, ast.List):
        return [literal_value(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(literal_value(item) for item in node.elts)
    if isinstance(node, ast.Dict):
        # A key of None stands for ``**other``.
        keys = [literal_value(key) if key is not None else [] for key in node.keys]
        return dict(zip(keys, map(literal_value, node.values), strict=True))
    found: object = ast.literal_eval(node)
    if isinstance(found, int) and found.bit_length() > MAX_INTEGER_BITS:
        raise ValueError
    return found


def _called(name: str, inside: list[object]) -> object:
    if name == "float" and len(inside) == 1 and str(inside[0]).strip("+-") in ("inf", "nan"):
        return float(str(inside[0]))
    if name == "complex" and len(inside) == 2:
        real, imag = inside
        if isinstance(real, int | float) and isinstance(imag, int | float):
            return complex(real, imag)
    raise ValueError


class WrittenCall(NamedTuple):
    """A call as a person writes it, before its arguments are matched to a signature."""

    name: str
    positional: tuple[object, ...]
    keywords: tuple[tuple[str, object], ...]


def parse_call(text: str) -> WrittenCall:
    """Reads ``normal_(mean=0, std=0.01)`` or ``zeros_``, arguments as literals, never evaluated.

    Raises:
        EditError: It is no such call.
    """
    written = text.strip().removeprefix("torch.").removeprefix("nn.").removeprefix("init.")
    hint = "write for example normal_(std=0.01) or zeros_"
    shown = safe_text(text, 80)
    if len(written) > MAX_CALL:
        raise EditError("the initialiser is too long", hint=hint)
    try:
        node = ast.parse(written, mode="eval").body
    except (SyntaxError, ValueError, *_TOO_DEEP):
        raise EditError(f"{shown!r} is no initialiser", hint=hint) from None
    if isinstance(node, ast.Name):
        return WrittenCall(node.id, (), ())
    if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
        raise EditError(f"{shown!r} is no initialiser", hint=hint)
    positional: list[object] = []
    keywords: list[tuple[str, object]] = []
    try:
        positional = [literal_value(argument) for argument in node.args]
        for keyword in node.keywords:
            if keyword.arg is None:
                raise ValueError
            keywords.append((keyword.arg, literal_value(keyword.value)))
    except (ValueError, TypeError, SyntaxError, OverflowError, *_TOO_DEEP):
        raise EditError(f"the arguments in {shown!r} are not plain literals", hint=hint) from None
    return WrittenCall(node.func.id, tuple(positional), tuple(keywords))


# Plain data


def _plain_value(value: object) -> object:
    """A literal that JSON holds exactly."""
    if value is None or isinstance(value, bool | int | str):
        return value
    return {"literal": literal_text(value)}


def _value_from(plain: object) -> object:
    if not isinstance(plain, dict):
        return plain
    text = str(plain["literal"])
    if len(text) > MAX_LITERAL:
        raise ValueError
    with warnings.catch_warnings():
        # Python warns about what looks like a mistake, such as 1if.
        warnings.simplefilter("ignore")
        return literal_value(ast.parse(text, mode="eval").body)


def plain_call(call: Call) -> dict[str, object]:
    """A call as plain data."""
    out: dict[str, object] = {"name": call.name}
    if call.arguments:
        out["arguments"] = {name: _plain_value(value) for name, value in call.arguments}
    return out | ({"source": call.source} if call.source else {})


def call_from(plain: Mapping[str, Any]) -> Call:
    """What `plain_call` wrote."""
    arguments = tuple((str(name), _value_from(value)) for name, value in plain.get("arguments", {}).items())
    return Call(str(plain["name"]), arguments, str(plain.get("source", "")))


def plain_edit(edit: Edit) -> dict[str, object]:
    """An edit as plain data, each call once."""
    if isinstance(edit, SetCells):
        return {
            "do": "set",
            "tensor": edit.tensor,
            "cells": edit.cells,
            "operator": edit.operator,
            "number": _plain_value(edit.number),
        }
    if isinstance(edit, ApplyFunction):
        return {"do": "apply", "block": edit.block, "call": plain_call(edit.call), "seed": edit.seed}
    if isinstance(edit, Tie):
        return {"do": "tie", "tensor": edit.tensor, "to": edit.to}
    if isinstance(edit, Untie):
        return {"do": "untie", "tensors": list(edit.tensors)}
    places: dict[str, int] = {}
    calls: list[dict[str, object]] = []
    steps: list[list[object]] = []
    for tensor, call in edit.steps:
        place = places.setdefault(f"{call.source} {call.text}", len(places))
        if place == len(calls):
            calls.append(plain_call(call))
        steps.append([tensor, place])
    return {"do": "initialise", "calls": calls, "steps": steps, "seed": edit.seed}


def edit_from(plain: Mapping[str, Any]) -> Edit:
    """What `plain_edit` wrote.

    Raises:
        EditError: It is no edit.
    """
    try:
        kind = plain["do"]
        if kind == "set":
            number = _value_from(plain["number"])
            if not isinstance(number, bool | int | float | complex):
                raise TypeError
            return SetCells(str(plain["tensor"]), str(plain["cells"]), str(plain["operator"]), number)
        if kind == "apply":
            return ApplyFunction(str(plain["block"]), call_from(plain["call"]), _seed_from(plain))
        if kind == "tie":
            return Tie(str(plain["tensor"]), str(plain["to"]))
        if kind == "untie":
            return Untie(_names_from(plain))
        if kind == "initialise":
            calls = [call_from(call) for call in plain["calls"]]
            # From the front only: a negative place is damage, not the last but one.
            by_place = dict(enumerate(calls))
            steps = tuple(Step(str(tensor), by_place[place]) for tensor, place in plain["steps"])
            return Initialise(steps, _seed_from(plain))
    except (LookupError, TypeError, ValueError, SyntaxError, AttributeError, ArithmeticError, *_TOO_DEEP):
        raise EditError("is no record of a change: something in it is missing or of another type") from None
    raise EditError(f"is no record of a change: nothing is called {safe_text(str(kind), 40)!r}")


def _names_from(plain: Mapping[str, Any]) -> tuple[str, ...]:
    names = plain["tensors"]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise TypeError
    return tuple(names)


def _seed_from(plain: Mapping[str, Any]) -> int:
    seed = plain["seed"]
    if type(seed) is not int or not 0 <= seed <= MAX_SEED:
        raise ValueError
    return seed


# Words


def calls_of(edit: Edit) -> list[Call]:
    """The different calls of an edit, in order."""
    if isinstance(edit, SetCells | Tie | Untie):
        return []
    if isinstance(edit, ApplyFunction):
        return [edit.call]
    # By their text: an argument may be a list, which cannot be a key.
    return list({(step.call.source, step.call.text): step.call for step in edit.steps}.values())


def shown_name(name: str) -> str:
    """A tensor's name for people; a file that is one bare tensor gives it none."""
    return safe_text(name) or "(tensor)"


def edit_text(edit: Edit) -> str:
    """An edit in a line: ``normal_(std=0.01) on 3 tensors, seed 7``."""
    if isinstance(edit, SetCells):
        cells, operator = safe_text(edit.cells.strip()) or "...", safe_text(edit.operator, 10)
        if cells.startswith("[") and cells.endswith("]"):
            cells = cells[1:-1].strip() or "..."
        return f"{shown_name(edit.tensor)}[{cells}] {operator} {literal_text(edit.number)}"
    if isinstance(edit, ApplyFunction):
        return f"{safe_text(edit.block) or 'whole network'}.apply({edit.call.text}), seed {edit.seed}"
    if isinstance(edit, Tie):
        return f"{shown_name(edit.tensor)} tied to {shown_name(edit.to)}"
    if isinstance(edit, Untie):
        if len(edit.tensors) == 1:
            return f"{shown_name(edit.tensors[0])} has memory of its own"
        return f"{len(edit.tensors):,} tensors have memory of their own"
    names = [step.tensor for step in edit.steps]
    where = shown_name(names[0]) if len(names) == 1 else f"{len(names):,} tensors"
    return f"{joined(call.text for call in calls_of(edit))} on {where}, seed {edit.seed}"
