"""Words as a shell takes them, with nothing in them that a terminal obeys."""

from __future__ import annotations

import os
import shlex


def shell_word(text: str) -> str:
    r"""A word of a command line, printable whatever the text says.

    What is not printable is written as bytes in ``$'\x1b'``, which bash, zsh and ksh read: a line
    that is pasted must not end, or steer the terminal, in the middle of a name.
    """
    if text.isprintable():
        return shlex.quote(text)
    return "$'" + "".join(map(_escaped, text)) + "'"


def _escaped(char: str) -> str:
    if char.isprintable() and char not in "'\\":
        return char
    try:
        raw = os.fsencode(char)
    except UnicodeEncodeError:
        raw = char.encode("utf-8", "surrogatepass")
    return "".join(f"\\x{byte:02x}" for byte in raw)
