"""Keys of a file as Python writes them, every letter printable."""

from __future__ import annotations

from keyword import iskeyword
from typing import TYPE_CHECKING, Final

from paramtui.core.text import MAX_INTEGER_BITS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from paramtui.core.listing import Key

MAX_TEXT: Final = 4000


def is_name(text: str) -> bool:
    """Whether text can stand after a dot. Python changes some letters outside ASCII there."""
    return text.isascii() and text.isidentifier() and not iskeyword(text)


def is_text(key: Key, names: Iterable[str]) -> bool:
    """Whether a key is text of the file and not words about a key that has no literal."""
    if type(key) is not str:
        return False
    if key == "…" or key.endswith("(…)") or (key[:15] == "'an integer of " and key.endswith("digits'")):
        return False
    about_tuple = key.startswith("(") and key.endswith(")")
    return not any(key == name or (about_tuple and name in key) for name in names) and not (
        about_tuple and "…" in key
    )


def literal(key: Key) -> str:
    """A key as Python writes it; empty where it has no literal that is equal to it."""
    if type(key) is str:
        return literal_text(key)
    if key is None or type(key) in (bool, bytes):
        return repr(key)
    if type(key) is int:
        return repr(key) if key.bit_length() <= MAX_INTEGER_BITS else ""
    if type(key) is float:
        # Not-a-number is equal to nothing; Python has no literal for infinity but an overflow.
        return "" if key != key else repr(key).replace("inf", "1e999")  # noqa: PLR0124
    if type(key) is tuple:
        parts = [literal(part) if type(part) is not str or is_text(part, ()) else "" for part in key]
        return f"({', '.join(parts)}{',' if len(parts) == 1 else ''})" if all(parts) else ""
    return ""


def literal_text(text: str) -> str:
    """Text in double quotes, all that is not plainly visible escaped."""
    if text.isascii() and text.isprintable() and '"' not in text and "\\" not in text:
        return f'"{text}"'
    import unicodedata  # only odd names need it

    out: list[str] = []
    for char in text[: MAX_TEXT + 1]:
        if char in '"\\':
            out.append("\\" + char)
        elif char.isprintable() and not unicodedata.combining(char):
            out.append(char)
        else:
            out.append(char.encode("unicode_escape").decode())
    return f'"{"".join(out)}"'
