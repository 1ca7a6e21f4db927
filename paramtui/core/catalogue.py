"""Which initialisers there are, and what they take, as plain data."""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from paramtui.core.edits import Call, WrittenCall
from paramtui.core.text import safe_text
from paramtui.errors import EditError

if TYPE_CHECKING:
    from collections.abc import Mapping

TENSOR: Final = "tensor"
MODULE: Final = "module"

# What an option can hold.
NUMBER: Final = "number"
INTEGER: Final = "integer"
TRUTH: Final = "truth"
CHOICE: Final = "choice"
TEXT: Final = "text"
LITERAL: Final = "literal"


class Option(NamedTuple):
    """One argument of an initialiser besides what it is applied to.

    Attributes:
        name: Its keyword.
        kind: `NUMBER`, `INTEGER`, `TRUTH`, `CHOICE`, `TEXT`, or `LITERAL` for any plain value.
        required: Whether it has no default.
        default: What it is where nothing is said; None with `required`.
        choices: Of a `CHOICE`.
    """

    name: str
    kind: str
    required: bool
    default: object
    choices: tuple[str, ...] = ()


class Initializer(NamedTuple):
    """One function that gives values.

    Attributes:
        name: As a person calls it.
        takes: `TENSOR`, or `MODULE` for a function that ``block.apply`` calls.
        summary: What its documentation says first.
        options: What else it takes.
        source: As in `Call.source`.
        where: File and line of a custom one.
    """

    name: str
    takes: str
    summary: str
    options: tuple[Option, ...]
    source: str = ""
    where: str = ""

    @property
    def required(self) -> list[str]:
        """Names of the options that must be given."""
        return [option.name for option in self.options if option.required]


class Catalogue(NamedTuple):
    """All initialisers.

    Attributes:
        initializers: PyTorch's first, then custom ones.
        gains: Gain by nonlinearity, as ``torch.nn.init.calculate_gain`` gives it for its defaults.
        problems: Files of custom initialisers that failed, in words.
        environment: What the same bits depend on: ``torch``, ``device``, ``capability``, ``threads``.
    """

    initializers: tuple[Initializer, ...]
    gains: dict[str, float]
    problems: tuple[str, ...]
    environment: dict[str, str]

    def named(self, name: str, source: str | None = None) -> Initializer:
        """The initialiser of a name; of several, a custom one from `source`, else the last.

        Raises:
            EditError: There is none.
        """
        found = [
            each for each in self.initializers if each.name == name and source in (None, each.source)
        ] or [each for each in self.initializers if each.name == f"{name}_" and source in (None, "")]
        if found:
            return found[-1]
        from difflib import get_close_matches

        near = get_close_matches(name, [each.name for each in self.initializers], 3, 0.5)
        hint = f"did you mean {', '.join(near)}?" if near else None
        raise EditError(f"there is no initialiser {safe_text(name, 60)}", hint=hint)


def bind(initializer: Initializer, written: WrittenCall) -> Call:
    """Matches written arguments to the options of an initialiser.

    Raises:
        EditError: There are too many, unknown, doubled or missing ones, or one is of another kind.
    """
    options, name = initializer.options, initializer.name
    if len(written.positional) > len(options):
        raise EditError(
            f"{name} takes {len(options)} arguments besides the {initializer.takes},"
            f" not {len(written.positional)}"
        )
    given: dict[str, object] = {
        option.name: value for option, value in zip(options, written.positional, strict=False)
    }
    known = {option.name for option in options}
    for keyword, value in written.keywords:
        if keyword in given:
            raise EditError(f"{name} is given {keyword} twice")
        if keyword not in known:
            takes = ", ".join(option.name for option in options) or "none"
            raise EditError(f"{name} takes no argument {safe_text(keyword, 60)}", hint=f"it takes {takes}")
        given[keyword] = value
    for option in options:
        if option.name in given:
            value = given[option.name] = fitting(name, option, given[option.name])
            # A tensor can be filled with infinity; as a mean or a gain of PyTorch's own it is a slip.
            if not initializer.source and option.name != "val" and value in (inf, -inf):
                raise EditError(f"{option.name} of {name} is finite, not {value}")
        elif option.required:
            raise EditError(f"{name} needs {option.name}", hint=f"write {name}({option.name}=...)")
    ordered = tuple((option.name, given[option.name]) for option in options if option.name in given)
    return Call(name, ordered, initializer.source)


def fitting(name: str, option: Option, value: object) -> object:
    """A value of the kind that an option wants.

    Raises:
        EditError: It is of another kind.
    """
    if value == option.default and type(value) is type(option.default):
        return value
    if option.kind == NUMBER and isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if option.kind == INTEGER and isinstance(value, int) and not isinstance(value, bool):
        return value
    if option.kind == TRUTH and isinstance(value, bool):
        return value
    if option.kind == CHOICE and value in option.choices:
        return value
    if option.kind in (TEXT, LITERAL) and (isinstance(value, str) or option.kind == LITERAL):
        return value
    wanted = {
        NUMBER: "a number",
        INTEGER: "a whole number",
        TRUTH: "True or False",
        CHOICE: f"one of {', '.join(option.choices)}",
        TEXT: "text",
    }[option.kind]
    raise EditError(f"{option.name} of {name} is {wanted}, not {safe_text(repr(value), 60)}")


def plain_catalogue(catalogue: Catalogue) -> list[Any]:
    """A catalogue as plain data."""
    return [
        [
            [*each[:3], [list(option) for option in each.options], *each[4:]]
            for each in catalogue.initializers
        ],
        catalogue.gains,
        list(catalogue.problems),
        catalogue.environment,
    ]


def catalogue_from(plain: list[Any]) -> Catalogue:
    """What `plain_catalogue` wrote, perhaps by way of JSON."""
    initializers, gains, problems, environment = plain
    return Catalogue(
        tuple(
            Initializer(name, takes, summary, tuple(map(_option, options)), source, where)
            for name, takes, summary, options, source, where in initializers
        ),
        dict(gains),
        tuple(problems),
        dict(environment),
    )


def _option(plain: list[Any]) -> Option:
    name, kind, required, default, choices = plain
    return Option(
        name, kind, required, tuple(default) if isinstance(default, list) else default, tuple(choices)
    )


def defaults(initializer: Initializer) -> Mapping[str, object]:
    """The values of the options that need not be given."""
    return {option.name: option.default for option in initializer.options if not option.required}
