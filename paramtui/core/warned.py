"""Sentences about what is wrong with a file, which also say which rule it broke."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Self


class Warned(str):
    """A sentence for a person; a text as any other, and a rule's name for programs.

    Attributes:
        rule: One of `paramtui.core.health.RULES`.
        where: The file or tensor that it is about; empty for the target as a whole.
    """

    __slots__ = ("rule", "where")

    rule: str
    where: str

    def __new__(cls, words: str, rule: str, where: str = "") -> Self:
        """A sentence with its rule."""
        made = super().__new__(cls, words)
        made.rule = rule
        made.where = where
        return made


def of_part(part: str, words: str, shown: str) -> str:
    """A sentence about one file of several, which names the file; the rule stays.

    Args:
        part: The file.
        words: The sentence.
        shown: The file as it is shown.
    """
    said = f"{shown}: {words}"
    return Warned(said, words.rule, words.where or part) if isinstance(words, Warned) else said
