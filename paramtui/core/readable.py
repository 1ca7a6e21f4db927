"""What a file says of one tensor can trip whatever reads it: that is an error of this tensor alone."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from paramtui.errors import ParamtuiError, ValuesError

if TYPE_CHECKING:
    from collections.abc import Iterator

# What NumPy and Python's own numbers raise where sizes, places or numbers are none that they can deal with.
ODD = (ArithmeticError, LookupError, TypeError, ValueError)


@contextmanager
def readable(kinds: tuple[type[Exception], ...] = ODD) -> Iterator[None]:
    """Stands around the reading of one tensor's numbers.

    Args:
        kinds: Exceptions that say no more than that they cannot be read.

    Raises:
        ValuesError: They cannot be read, or there is not enough memory; the message says why.
    """
    try:
        yield
    except ParamtuiError:
        raise
    except MemoryError:
        raise ValuesError("there is not enough memory to read this") from None
    except kinds as error:
        said = str(error).strip().splitlines()
        words = f"its numbers cannot be read: {type(error).__name__}" + (f": {said[0][:200]}" if said else "")
        raise ValuesError(words) from None
