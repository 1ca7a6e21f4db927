"""What comes from several processes that count, added up."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from paramtui.errors import ValuesError

if TYPE_CHECKING:
    from collections.abc import Callable


class RankTables:
    """Adds up the tables of parts of one tensor."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._problems: list[str] = []
        self._table: Any = None

    def answered(self, message: dict[str, Any], data: bytes) -> None:
        """Takes what came of one part, from any thread."""
        import numpy as np  # once there is something to add up: processes start meanwhile

        (result,) = message["results"]
        with self._lock:
            if "problem" in result:
                self._problems.append(result["problem"])
            elif self._table is None:
                self._table = np.frombuffer(data, np.int64).copy()
            else:
                self._table += np.frombuffer(data, np.int64)

    def whole(self) -> Any:  # noqa: ANN401  an array of int64
        """The table of all parts.

        Raises:
            ValuesError: One of them could not be read.
        """
        if self._problems or self._table is None:
            raise ValuesError(self._problems[0] if self._problems else "nothing came of it")
        return self._table


class Told:
    """Adds up what several processes have done."""

    def __init__(self, progress: Callable[[int, int], None] | None, total: int) -> None:
        self._progress = progress
        self._total = total
        self._done = 0
        self._lock = threading.Lock()

    def again(self) -> None:
        """The same is read once more."""
        self._done = 0

    def moved(self, nbytes: int) -> None:
        """So many bytes more are done."""
        with self._lock:
            self._done += nbytes
            if self._progress is not None:
                self._progress(min(self._done, self._total), self._total)
