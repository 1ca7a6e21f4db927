"""Rows in some order, and where each of them stands."""

from __future__ import annotations


class RowPlaces:
    """A list of rows whose places are looked for.

    Attributes:
        rows: Tree rows in the order shown.
    """

    def __init__(self) -> None:
        self.rows: list[int] = []
        self._places: dict[int, int] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    def put(self, rows: list[int]) -> None:
        """Takes other rows, or another order."""
        self.rows = rows
        self._places = None

    def place(self, row: int) -> int | None:
        """The position of a row, or None if it is not shown."""
        if self._places is None:
            self._places = {found: place for place, found in enumerate(self.rows)}
        return self._places.get(row)

    def reveal(self, row: int) -> int:
        """The position of a row.

        Raises:
            KeyError: It is not shown.
        """
        place = self.place(row)
        if place is None:
            raise KeyError(row)
        return place
