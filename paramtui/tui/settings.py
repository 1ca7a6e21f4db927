"""A person's settings, from a TOML file in their configuration directory."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from paramtui.core.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

THEMES: Final = ("dark", "light", "ansi")
MAX_PRECISION: Final = 12
MAX_BYTES: Final = 64_000


class Settings(NamedTuple):
    """What a person can choose.

    Attributes:
        theme: One of `THEMES`.
        precision: Digits of a float, 1 to `MAX_PRECISION`.
        heatmap: Whether numbers are shown as colours at first.
        scientific: Whether floats are shown in powers of ten at first.
        mouse: Whether the program takes the mouse from the terminal.
        animation: Whether anything moves by itself.
        keys: Keys by the ids of actions.
        problems: Sentences about what in the file was not understood; defaults hold there.
    """

    theme: str = "dark"
    precision: int = 4
    heatmap: bool = False
    scientific: bool = False
    mouse: bool = True
    animation: bool = True
    keys: Mapping[str, str] = {}
    problems: tuple[str, ...] = ()


def config_path() -> Path:
    """Where the file lies: ``$XDG_CONFIG_HOME/paramtui/config.toml``."""
    home = os.environ.get("XDG_CONFIG_HOME") or os.path.join(os.path.expanduser("~"), ".config")  # noqa: PTH111, PTH118
    return Path(home, "paramtui", "config.toml")


def load_settings(path: Path | None = None) -> Settings:
    """Reads the file; whatever is wrong with it becomes a sentence in `Settings.problems`."""
    place = path or config_path()
    try:
        # A pipe in its place would be waited for.
        with open(os.open(place, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:  # noqa: PTH123
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return Settings(problems=(f"{safe_text(str(place))}: is no regular file",))
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError:
        return Settings()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        return Settings(problems=(f"{safe_text(str(place))}: cannot be read: {reason}",))
    if len(data) > MAX_BYTES:
        return Settings(problems=(f"{safe_text(str(place))}: is larger than {MAX_BYTES:,} bytes",))
    import tomllib

    try:
        found = tomllib.loads(data.decode())
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        return Settings(problems=(f"{safe_text(str(place))}: line {line} is not UTF-8 text",))
    except RecursionError:
        return Settings(problems=(f"{safe_text(str(place))}: is nested too deeply",))
    except ValueError as error:
        return Settings(problems=(f"{safe_text(str(place))}: is not valid TOML: {safe_text(str(error))}",))
    return _checked(found, safe_text(str(place)))


def _checked(found: dict[str, object], place: str) -> Settings:
    """The settings that are understood, and words about the others."""
    problems: list[str] = []
    chosen: dict[str, object] = {}
    for name, value in found.items():
        problem = _problem(name, value)
        if problem:
            problems.append(f"{place}: {safe_text(name)}: {problem}")
        elif name != "keys":
            chosen[name] = value
    table = found.get("keys")
    keys: dict[str, str] = {}
    if isinstance(table, dict):
        for action, bound in _flat(table):
            if isinstance(bound, str):
                keys[action] = bound
            elif isinstance(bound, list) and bound and all(isinstance(key, str) for key in bound):
                keys[action] = ",".join("comma" if key == "," else key for key in bound)
            else:
                problems.append(f'{place}: keys.{safe_text(action)}: write keys as text, for example "f4"')
    return Settings(keys=keys, problems=tuple(problems))._replace(**chosen)  # type: ignore[arg-type]


def _flat(table: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Actions and their keys; ``tree.down`` without quotes is a table within the table to TOML."""
    for name, value in table.items():
        if isinstance(value, dict) and value:
            yield from ((f"{name}.{slug}", bound) for slug, bound in value.items())
        else:
            yield name, value


def _shown(value: object) -> str:
    """A value as Python writes it."""
    try:
        return safe_text(repr(value), 40)
    except (ValueError, RecursionError):
        # An integer of more digits than Python writes, or tables within tables without end.
        return f"such a long {'number' if isinstance(value, int) else 'value'}"


def _problem(name: str, value: object) -> str:
    """What is wrong with a setting; empty for nothing."""
    if name == "keys":
        return "" if isinstance(value, dict) else "is a table, [keys], of actions and their keys"
    if name not in Settings._fields or name == "problems":
        from difflib import get_close_matches

        near = get_close_matches(name, [*Settings._fields[:-1]], 1)
        return f"there is no such setting{f'; did you mean {near[0]}?' if near else ''}"
    if name == "theme":
        return "" if value in THEMES else f"is one of {', '.join(THEMES)}, not {_shown(value)}"
    if name == "precision":
        fits = type(value) is int and 1 <= value <= MAX_PRECISION
        return "" if fits else f"is a whole number from 1 to {MAX_PRECISION}, not {_shown(value)}"
    return "" if isinstance(value, bool) else f"is true or false, not {_shown(value)}"
