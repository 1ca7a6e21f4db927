"""What listing one pickle may cost: in proportion to its bytes, and a fixed part for what it repeats.

A few hundred bytes of pickle can describe a graph of exponential size, or refer to one long name from
everywhere. Whatever looks at the objects of a pickle draws from one budget, and says what it leaves out.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate
from typing import TYPE_CHECKING, Final

from paramtui.core.text import MAX_INTEGER_BITS

if TYPE_CHECKING:
    from collections.abc import Sequence

# The shortest entries of a long dict that a pickler writes take 6 bytes, lists and tuples in a list 9.
BYTES_OF_ROW: Final = 6
FREE_ROWS: Final = 40_000
FREE_ITEMS: Final = 200_000
# Names repeat what lies above: the state of an optimizer has some 60 characters for an entry of 5 bytes.
TEXT_OF_BYTE: Final = 16
FREE_TEXT: Final = 16_000_000
# What a key costs besides its characters, as a step of a path.
STEP: Final = 8
# What JSON writes for a character that is not ASCII.
ESCAPED: Final = 6
# Rows of objects that are listed again.
MAX_REPEATED: Final = 30_000


class SpentError(Exception):
    """More is to be looked at than a pickle of so many bytes is worth."""


class Budget:
    """What is left.

    Attributes:
        rows: Rows that may still be listed.
        items: Entries of containers that may still be looked at.
        text: Characters of names and values that rows may still stand for.
        repeats: Rows that may still list what has been listed before.
    """

    __slots__ = ("items", "repeats", "rows", "text")

    def __init__(self, nbytes: int) -> None:
        self.rows = nbytes // BYTES_OF_ROW + FREE_ROWS
        self.items = nbytes + FREE_ITEMS
        self.text = nbytes * TEXT_OF_BYTE + FREE_TEXT
        self.repeats = MAX_REPEATED

    def look(self, count: int) -> None:
        """Draws entries that are about to be looked at.

        Raises:
            SpentError: There are too few left.
        """
        self.items -= count
        if self.items < 0:
            raise SpentError

    def write(self, count: int) -> bool:
        """Draws characters; False, and nothing is drawn, where there are too few left."""
        if count > self.text:
            return False
        self.text -= count
        return True

    def repeat(self, count: int) -> bool:
        """Draws rows of an object that was listed before; False where there are too few left."""
        self.repeats -= count
        return self.repeats >= 0

    def entries(self, keys: Sequence[object], prefix: int) -> int:
        """Draws rows for the entries of one container, and their names; returns for how many there is enough.

        Args:
            keys: Of the entries.
            prefix: What the name of the container costs in the name of each.
        """
        count = min(len(keys), self.rows)
        # Most keys are ASCII: a call for each of a million takes longer than all else here.
        sizes = [len(k) if type(k) is str and k.isascii() else key_size(k) for k in keys[:count]]
        cost = count * (prefix + STEP) + sum(sizes)
        if cost > self.text:
            ends = list(accumulate([prefix + STEP + size for size in sizes]))
            count = bisect_right(ends, self.text)
            cost = ends[count - 1] if count else 0
        self.rows -= count
        self.text -= cost
        return count


def key_size(key: object) -> int:
    """Characters that a key has in a name, or somewhat more."""
    if type(key) is str:
        return len(key) if key.isascii() else ESCAPED * len(key)
    if type(key) is tuple:
        return sum(map(scalar_size, key)) + 2 * len(key)
    # A name says of longer integers only how long they are.
    if type(key) is int and key.bit_length() > MAX_INTEGER_BITS:
        return STEP
    return scalar_size(key)


def scalar_size(found: object) -> int:
    """Characters of a scalar as text, or somewhat more; short ones count nothing."""
    if type(found) is str:
        return len(found) if found.isascii() else ESCAPED * len(found)
    if type(found) is int:
        return found.bit_length() >> 2
    if isinstance(found, bytes | bytearray):
        # As escapes.
        return 4 * len(found)
    return 0


def scalars_size(found: Sequence[object], kinds: set[type]) -> int:
    """Characters of many scalars of some types."""
    if kinds <= {bool, float, type(None)}:
        return 0
    if kinds == {int} and _short(found):  # type: ignore[arg-type]
        return 0
    return sum(map(scalar_size, found))


def _short(numbers: Sequence[int]) -> bool:
    """Whether all numbers have 64 bits at most."""
    return min(numbers) >= -(1 << 63) and max(numbers) < 1 << 63
