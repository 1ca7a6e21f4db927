"""Does under an alarm what no reader may do, one thing after the other, and prints what was heard.

A process of its own for the tests of the alarm: ``python -m tests.fuzz.deeds FOLDER``.
"""

# Files are opened to be stopped at it, and never closed.
# ruff: noqa: SIM115

from __future__ import annotations

import ctypes
import encodings.idna
import gc
import json
import marshal
import mmap
import os
import pickle
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

import tests.fuzz.worker
from tests.fuzz.cases import Case
from tests.fuzz.hook import Alarm, ForbiddenError
from tests.fuzz.units import UNITS
from tests.fuzz.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER: Final = sys.argv[1] if len(sys.argv) > 1 else "."
INSIDE: Final = os.path.join(FOLDER, "file")
NEW: Final = os.path.join(FOLDER, "new")
_CODE: Final = compile("1", "x", "eval")
_PACKED: Final = marshal.dumps(_CODE)
# Known from here on, so that asking for an address imports nothing.
_NAMES: Final = encodings.idna.__name__


def _hidden() -> None:
    try:
        open(NEW, "w").close()
    except BaseException:
        return


FORBIDDEN: Final[dict[str, tuple[str, Callable[[], object]]]] = {
    "import a module": ("import", lambda: __import__("colorsys")),
    "evaluate text": ("compile", lambda: eval("1 + 1")),
    "execute text": ("compile", lambda: exec("pass")),
    "execute code": ("exec", lambda: exec(_CODE)),
    "make code": ("code.__new__", lambda: _CODE.replace(co_name="x")),
    "load code": ("marshal.loads", lambda: marshal.loads(_PACKED)),
    "write a file": ("open", lambda: open(NEW, "w")),
    "append to a file": ("open", lambda: open(INSIDE, "a")),
    "change a file": ("open", lambda: open(INSIDE, "r+b")),
    "open for writing": ("open", lambda: os.open(INSIDE, os.O_WRONLY)),
    "make a file": ("open", lambda: os.open(NEW, os.O_RDONLY | os.O_CREAT)),
    "empty a file": ("open", lambda: os.open(INSIDE, os.O_RDONLY | os.O_TRUNC)),
    "write a path": ("open", lambda: Path(NEW).write_text("x")),
    "write without being stopped": ("open", _hidden),
    "read another file": ("open", lambda: open("/etc/hostname")),
    "read above": ("open", lambda: open(os.path.join(FOLDER, "..", "x"))),
    "read beside": ("open", lambda: open(f"{FOLDER}x")),
    "list another folder": ("os.listdir", lambda: os.listdir("/")),
    "scan another folder": ("os.scandir", lambda: os.scandir(os.path.join(FOLDER, ".."))),
    "run a command": ("os.system", lambda: os.system("true")),
    "start a process": ("subprocess.Popen", lambda: subprocess.run(["true"], check=False)),
    "fork": ("os.fork", os.fork),
    "become another program": ("os.exec", lambda: os.execv("/bin/true", ["true"])),
    "spawn": ("os.posix_spawn", lambda: os.posix_spawn("/bin/true", ["true"], {})),
    "open a socket": ("socket.__new__", socket.socket),
    "ask for an address": ("socket.getaddrinfo", lambda: socket.getaddrinfo("localhost", 1)),
    "load a library": ("ctypes.dlopen", lambda: ctypes.CDLL(None)),
    "look up a global": ("pickle.find_class", lambda: pickle.loads(b"cposix\nsystem\n.")),
    "delete a file": ("os.remove", lambda: os.remove(INSIDE)),
    "rename a file": ("os.rename", lambda: os.rename(INSIDE, NEW)),
    "link a file": ("os.link", lambda: os.link(INSIDE, NEW)),
    "make a link": ("os.symlink", lambda: os.symlink(INSIDE, NEW)),
    "change a mode": ("os.chmod", lambda: os.chmod(INSIDE, 0o777)),
    "cut a file": ("os.truncate", lambda: os.truncate(INSIDE, 0)),
    "date a file": ("os.utime", lambda: os.utime(INSIDE)),
    "make a folder": ("os.mkdir", lambda: os.mkdir(NEW)),
    "delete a folder": ("os.rmdir", lambda: os.rmdir(FOLDER)),
    "delete a tree": ("shutil.rmtree", lambda: shutil.rmtree(FOLDER)),
    "copy a file": ("shutil.copyfile", lambda: shutil.copyfile(INSIDE, NEW)),
    "make a temporary file": ("tempfile.mkstemp", lambda: tempfile.mkstemp(dir=FOLDER)),
    "change the environment": ("os.putenv", lambda: os.putenv("X", "x")),
    "change the folder": ("os.chdir", lambda: os.chdir("/")),
    "map memory": ("mmap.__new__", lambda: mmap.mmap(-1, 4096)),
    "send a signal": ("os.kill", lambda: os.kill(os.getpid(), 0)),
    "look at all objects": ("gc.get_objects", gc.get_objects),
    "set a trace": ("sys.setprofile", lambda: sys.setprofile(None)),
    "hear itself": ("sys.addaudithook", lambda: sys.addaudithook(print)),
}
"""What no reader may do, with the event that says so."""

ALLOWED: Final[dict[str, Callable[[], object]]] = {
    "read a file": lambda: open(INSIDE, "rb").read(),
    "read by descriptor": lambda: os.pread(os.open(INSIDE, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), 1, 0),
    "list the folder": lambda: os.listdir(FOLDER),
    "look at a file": lambda: os.stat(INSIDE),
    "compare identities": lambda: id(INSIDE),
}
"""What readers do."""


def _heard(alarm: Alarm, deed: Callable[[], object]) -> str:
    """The event that a deed is, if the alarm was raised by it."""
    alarm.armed = True
    try:
        deed()
    except ForbiddenError:
        pass
    finally:
        alarm.armed = False
    heard = alarm.heard[0].partition(" ")[0] if alarm.heard else ""
    alarm.heard.clear()
    return heard


def _too_deep() -> None:
    _too_deep()


def _endless() -> None:
    while True:
        pass


def _unprintable() -> None:
    raise AssertionError


def _failures() -> list[str]:
    """How a worker names what readers do wrong, by readers that do it."""
    worker = Worker(FOLDER, os.path.join(FOLDER, "found"))
    wrong: tuple[Callable[[], object], ...] = (_too_deep, _endless, _unprintable, _hidden, lambda: int("x"))
    for place, deed in enumerate(wrong):
        UNITS["pickle"] = lambda case, folder, deed=deed: deed()
        worker.run(Case("pickle", "x", {"data.pkl": bytes(100) + bytes([place])}), str(place), closely=False)
    UNITS["pickle"] = lambda case, folder: None
    worker.run(Case("pickle", "x", {"data.pkl": b"N."}), "fine", closely=False)
    found = worker.found
    assert found["cases"] == len(wrong) + 1
    assert found["failed"] == len(wrong)
    assert found["forbidden"] == 1
    sizes = [os.path.getsize(os.path.join(failure["path"], "0-data.pkl")) for failure in found["failures"]]
    return [f"{failure['origin']} {failure['signature'].partition(' ')[0]} {size}"
            for failure, size in zip(found["failures"], sizes, strict=True)]  # fmt: skip


def main() -> None:
    """Does all of it, and prints what was heard of each."""
    with open(INSIDE, "wb") as file:
        file.write(b"x")
    alarm = Alarm(FOLDER)
    heard = {name: _heard(alarm, deed) for name, (_, deed) in FORBIDDEN.items()}
    silent = {name: _heard(alarm, deed) for name, deed in ALLOWED.items()}
    left = sorted(os.listdir(FOLDER))
    # A busy processor is no reason to wait longer: the time is the process's own.
    tests.fuzz.worker.SECONDS = 1
    print(json.dumps({"heard": heard, "silent": silent, "left": left, "failures": _failures()}))


if __name__ == "__main__":
    main()
