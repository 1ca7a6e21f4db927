"""Runs code of the person's own, and says in one sentence and one place what goes wrong in it."""

from __future__ import annotations

import linecache
import os
import site
import sys
import sysconfig
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from paramtui.errors import ParamtuiError, RunStoppedError, UserCodeError

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_MESSAGE: Final = 600
MAX_TRACEBACK: Final = 20_000


@contextmanager
def user_code(doing: str) -> Iterator[None]:
    """Turns whatever is raised inside into an error for people.

    Args:
        doing: What is being done, to begin the sentence with: ``build()``, ``the forward pass``.

    Raises:
        UserCodeError: The code raised, or asked the process to end.
        RunStoppedError: A person interrupted it.
    """
    process = os.getpid()
    try:
        yield
    except ParamtuiError:
        raise
    except KeyboardInterrupt:
        _end_child(process)
        raise RunStoppedError(f"{doing} was stopped") from None
    except BaseException as error:  # noqa: BLE001  sys.exit() is one of them
        _end_child(process)
        raise described(doing, error) from None
    _end_child(process)


def _end_child(process: int) -> None:
    """Ends a process that the code has forked and let run on into the program."""
    if os.getpid() != process:
        os._exit(0)


def described(doing: str, error: BaseException) -> UserCodeError:
    """What went wrong, with the file and line of the person's own code."""
    where, code = _place(error)
    try:
        text = str(error).strip()
    except Exception:  # noqa: BLE001  an exception's own text can fail
        text = ""
    kind = type(error).__name__
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    message = (lines[0] if lines else "")[:MAX_MESSAGE]
    hint = None
    if isinstance(error, SystemExit):
        what = f"{doing} called sys.exit({'' if error.code is None else repr(error.code)[:100]})"
    elif isinstance(error, ModuleNotFoundError):
        what = f"{doing} imports {error.name or message}, which is not installed for this Python"
        hint = f"this Python is {sys.executable}"
    elif isinstance(error, SyntaxError):
        what = f"{doing} is no valid Python: {error.msg}"
        where, code = _shown(error.filename, error.lineno), (error.text or "").strip()
    elif isinstance(error, EOFError) and "input" in code:
        what = f"{doing} asks for input, and nobody can type into it here"
    elif isinstance(error, RecursionError):
        what = f"{doing} never ends calling itself"
    elif isinstance(error, MemoryError) or kind == "OutOfMemoryError":
        what = f"{doing} ran out of memory" + (f": {message}" if message else "")
    else:
        what = f"{doing} failed: {kind}" + (f": {message}" if message else "")
    if code and hint is None:
        hint = f"line: {code[:120]}"
    return UserCodeError(what, where=where, hint=hint, traceback=_traceback(error))


def _traceback(error: BaseException) -> str:
    try:
        text = "".join(traceback.format_exception(error, limit=-60))
    except Exception:  # noqa: BLE001  an exception's own text can fail
        text = f"{type(error).__name__} (its text cannot be made)\n"
    return text if len(text) <= MAX_TRACEBACK else text[:2000] + "\n…\n" + text[-MAX_TRACEBACK + 2000 :]


def _libraries() -> tuple[str, ...]:
    found = {sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")}
    found.update(site.getsitepackages())
    found.add(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))  # noqa: PTH100, PTH120
    return tuple(os.path.realpath(folder) + os.sep for folder in found if folder)


def _place(error: BaseException) -> tuple[str | None, str]:
    """File and line of the innermost frame that is no library's, and what stands there."""
    frames = traceback.extract_tb(error.__traceback__)
    libraries = _libraries()
    for frame in reversed(frames):
        real = os.path.realpath(frame.filename)
        if not real.startswith(libraries) and os.path.exists(real):  # noqa: PTH110
            line = frame.line or linecache.getline(frame.filename, frame.lineno or 0)
            return _shown(frame.filename, frame.lineno), line.strip()
    return None, ""


def _shown(path: str | None, line: int | None) -> str | None:
    """``net.py:12``, relative where that is shorter."""
    if not path:
        return None
    try:
        near = os.path.relpath(path)
    except (OSError, ValueError):
        near = path
    return f"{near if len(near) < len(path) else path}:{line or '?'}"


def place_of(thing: object) -> str | None:
    """File and line where a function or class is defined, where that is known."""
    import inspect

    try:
        path = inspect.getsourcefile(thing)  # type: ignore[arg-type]
        _, line = inspect.getsourcelines(thing)  # type: ignore[arg-type]
    except (OSError, TypeError):
        return None
    return _shown(path, line)
