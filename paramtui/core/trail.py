"""The places that a person has visited, to go back and forward through."""

from __future__ import annotations

from typing import Final

MAX_PLACES: Final = 500


class Trail:
    """Rows in the order of visits, and where among them the person stands."""

    def __init__(self) -> None:
        self._places: list[int] = []
        self._at = -1

    def visit(self, row: int) -> None:
        """Notes a place; what lay ahead is forgotten."""
        if self._at >= 0 and self._places[self._at] == row:
            return
        del self._places[self._at + 1 :]
        self._places.append(row)
        del self._places[:-MAX_PLACES]
        self._at = len(self._places) - 1

    def back(self, here: int) -> int | None:
        """The place before, or None; `here` is noted so that forward leads to it again."""
        if self._at >= 0 and self._places[self._at] != here:
            # The person has wandered off since: the last place visited is the one before.
            self.visit(here)
        if self._at <= 0:
            return None
        self._at -= 1
        return self._places[self._at]

    def forward(self) -> int | None:
        """The place that was gone back from, or None."""
        if self._at + 1 >= len(self._places):
            return None
        self._at += 1
        return self._places[self._at]
