"""What is typed into the fields of an initialiser's arguments, and what it stands for."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING

from paramtui.core.catalogue import CHOICE, NUMBER, TEXT, TRUTH, fitting
from paramtui.core.edits import Call, literal_text, literal_value
from paramtui.core.text import safe_text
from paramtui.errors import EditError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from paramtui.core.catalogue import Initializer, Option

MAX_TYPED = 2000


def default_text(option: Option) -> str:
    """The default of an option as a person types it; empty where nothing need be typed for it."""
    if option.required or option.default is None:
        return ""
    if option.kind in (CHOICE, TEXT) and isinstance(option.default, str):
        return option.default
    return literal_text(option.default)


def choices(option: Option) -> tuple[str, ...]:
    """What a field can be switched between; empty where it is typed into."""
    if option.kind == TRUTH:
        found: tuple[str, ...] = ("True", "False")
    elif option.kind == CHOICE:
        found = option.choices
    else:
        return ()
    first = default_text(option)
    if option.required or first in found:
        return found
    return (first, *found)


def takes_gain(option: Option) -> bool:
    """Whether the name of a nonlinearity may stand for the number."""
    return option.name == "gain" and option.kind == NUMBER


def gain_of(option: Option, text: str, gains: Mapping[str, float]) -> float | None:
    """The gain that a typed name stands for, or None."""
    return gains.get(text.strip().lower()) if takes_gain(option) else None


def read_option(name: str, option: Option, text: str, gains: Mapping[str, float]) -> object:
    """The value that a typed text stands for.

    Args:
        name: Of the initialiser.
        option: Which argument.
        text: What was typed; not empty.
        gains: Gain by nonlinearity.

    Raises:
        EditError: It stands for none, or for one that the argument cannot be.
    """
    typed = text.strip()
    gain = gain_of(option, typed, gains)
    if gain is not None:
        return gain
    if option.kind in (CHOICE, TEXT):
        return fitting(name, option, typed if option.kind == CHOICE else text)
    try:
        if len(typed) > MAX_TYPED:
            raise ValueError
        value = literal_value(ast.parse(typed, mode="eval").body)
    except (ValueError, TypeError, SyntaxError, RecursionError, MemoryError):
        if takes_gain(option) and typed.isidentifier():
            known = ", ".join(sorted(gains)) or "none"
            raise EditError(
                f"{safe_text(typed, 40)} is no nonlinearity with a gain", hint=f"there are {known}"
            ) from None
        return fitting(name, option, typed)
    return fitting(name, option, value)


def read_call(initializer: Initializer, texts: Mapping[str, str], gains: Mapping[str, float]) -> Call:
    """An initialiser with what was typed for its arguments.

    Raises:
        EditError: One is missing or cannot be what was typed.
    """
    given: list[tuple[str, object]] = []
    for option in initializer.options:
        text = texts.get(option.name, default_text(option))
        if text.strip():
            given.append((option.name, read_option(initializer.name, option, text, gains)))
        elif option.required:
            raise EditError(f"{initializer.name} needs {option.name}")
    return Call(initializer.name, tuple(given), initializer.source)
