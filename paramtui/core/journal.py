"""Changes on disk while they are made, so that a dropped line loses none, and as JSON to replay.

A journal is a file of JSON lines in the person's state directory: a head that says what was opened, then one
line for each intent, outcome, undo, redo and save, in the order in which they happened. An exported journal
is one JSON document with the changes that count.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import stat
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from paramtui.core.edits import edit_from, plain_edit
from paramtui.core.journal_records import Recorded, Records
from paramtui.errors import EditError, ParamtuiError, TargetError
from paramtui.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from paramtui.core.edits import Edit
    from paramtui.core.history import Change

MAX_JOURNAL: Final = 256 << 20


class Head(NamedTuple):
    """What changes were made to.

    Attributes:
        target: As absolute path, or as the person names a model.
        options: Words of the command line besides the target that give the same.
        identity: What tells whether a file is still the same; empty for a model.
        environment: As `paramtui.core.catalogue.Catalogue.environment`; empty while no engine was needed.
    """

    target: str
    options: tuple[str, ...] = ()
    identity: str = ""
    environment: tuple[tuple[str, str], ...] = ()

    @property
    def key(self) -> str:
        """The same for the same target with the same options."""
        text = json.dumps([self.target, self.options])
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


class Recovery(NamedTuple):
    """A journal that was left behind with changes that were not saved.

    Attributes:
        path: Of the journal.
        head: What was changed.
        changes: Those that counted, in order.
        when: Seconds since the epoch at which it was written last.
    """

    path: str
    head: Head
    changes: tuple[Recorded, ...]
    when: float


def folder() -> str:
    """Directory of the journals: below ``$XDG_STATE_HOME``, or ``~/.local/state``."""
    state = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")  # noqa: PTH111
    return os.path.join(state, "paramtui", "journals")  # noqa: PTH118


def identity_text(paths: Iterable[str]) -> str:
    """Sizes and times of files, as text that changes with them."""
    parts = []
    for path in paths:
        with contextlib.suppress(OSError):
            found = os.stat(path)  # noqa: PTH116
            parts.append(f"{os.path.basename(path)} {found.st_size} {found.st_mtime_ns}")  # noqa: PTH119
    return "; ".join(parts)


class Journal:
    """Writes what happens to one target; its file begins with the first intent.

    Failing to write is never a reason not to change anything: `problem` says it once.

    Attributes:
        problem: Why the journal cannot be written; empty where it can.
    """

    def __init__(self, head: Head) -> None:
        self.head = head
        self.problem = ""
        self._fd = -1
        self._path = ""
        self._adopted: list[str] = []

    @property
    def path(self) -> str:
        """Of the file; empty before the first intent."""
        return self._path

    def _write(self, kind: str, **content: object) -> None:
        if self.problem:
            return
        try:
            if self._fd < 0:
                self._begin()
            self._line({"record": kind, **content})
            os.fsync(self._fd)
        except OSError as error:
            self.problem = f"changes are not safe against a dropped line: {error.strerror} ({folder()})"

    def _line(self, content: dict[str, object]) -> None:
        line = json.dumps(content, separators=(",", ":")).encode() + b"\n"
        while line:
            line = line[os.write(self._fd, line) :]

    def _begin(self) -> None:
        os.makedirs(folder(), mode=0o700, exist_ok=True)  # noqa: PTH103
        self._path = os.path.join(folder(), f"{self.head.key}-{secrets.token_hex(4)}.jsonl")  # noqa: PTH118
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        self._fd = os.open(self._path, flags, 0o600)
        # Held as long as this process lives: it tells a journal in use from one that was left behind.
        fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._line({"record": "head", "version": __version__, **plain_head(self.head)})

    def intent(self, edit: Edit, head: Head | None = None) -> None:
        """An edit is about to be made; `head` says on what, as far as it is known now."""
        if head is not None and self._fd >= 0 and head.environment != self.head.environment:
            # Known only since initialisers were asked for.
            self._note(self.head._replace(environment=head.environment))
        self._write("intent", edit=plain_edit(edit))

    def done(self, digest: str) -> None:
        """It was made."""
        self._write("done", digest=digest)

    def failed(self) -> None:
        """It was not made: all is as it was."""
        self._write("failed")

    def undone(self) -> None:
        """The last change was taken back."""
        self._write("undone")

    def redone(self) -> None:
        """The change taken back last was made again."""
        self._write("redone")

    def saved(self, path: str, head: Head | None = None) -> None:
        """What is there now was saved to a path; `head` says what the target has become by it."""
        self._write("saved", path=path)
        if head is not None and head.identity != self.head.identity:
            self._note(head)

    def _note(self, head: Head) -> None:
        self.head = head
        self._write("head", version=__version__, **plain_head(head))

    def adopt(self, recovery: Recovery) -> None:
        """Takes the place of a journal whose changes were made again and are in this one now."""
        if self.problem:
            self._adopted.append(recovery.path)
        else:
            discard(recovery.path)

    def close(self, *, keep: bool) -> None:
        """Ends it; deletes the file unless its changes are to be offered again."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            # Each line was confirmed by the disk when it was written.
            with contextlib.suppress(OSError):
                os.close(fd)
        for path in self._adopted if keep else [*self._adopted, self._path]:
            if path:
                discard(path)


def discard(path: str) -> None:
    """Deletes a journal that was left behind."""
    with contextlib.suppress(OSError):
        os.unlink(path)  # noqa: PTH108


def set_aside(path: str) -> str:
    """Offers a journal no more, but leaves it where a person can have it replayed; gives where it is."""
    aside = f"{path.removesuffix('.jsonl')}.discarded"
    try:
        os.replace(path, aside)  # noqa: PTH105
    except OSError:
        return path
    return aside


def plain_head(head: Head) -> dict[str, object]:
    """A head as plain data."""
    return {
        "target": head.target,
        "options": list(head.options),
        "identity": head.identity,
        "environment": dict(head.environment),
    }


def _head_from(plain: Mapping[str, Any], where: str) -> Head:
    try:
        return Head(
            str(plain.get("target", "")),
            tuple(map(str, plain.get("options", ()))),
            str(plain.get("identity", "")),
            tuple((str(name), str(value)) for name, value in dict(plain.get("environment", {})).items()),
        )
    except (TypeError, ValueError):
        raise TargetError("is no journal of changes: its head is damaged", where=where) from None


# Recovery


def recoverable(head: Head) -> list[Recovery]:
    """Journals of the same target that no living process writes, with changes that were not saved.

    The newest comes first. Those without such changes are deleted.
    """
    found: list[Recovery] = []
    try:
        names = os.listdir(folder())  # noqa: PTH208
    except OSError:
        return []
    for name in names:
        path = os.path.join(folder(), name)  # noqa: PTH118
        if not name.startswith(head.key) or not name.endswith(".jsonl") or _in_use(path):
            continue
        try:
            recovery = read_lines(path)
        except (ParamtuiError, OSError):
            continue
        if recovery.changes:
            found.append(recovery)
        else:
            discard(path)
    return sorted(found, key=lambda recovery: -recovery.when)


def _in_use(path: str) -> bool:
    """Whether somebody writes a journal, or it is none of ours: a link, a pipe, a device."""
    try:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOFOLLOW)
    except OSError:
        return True
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            return True
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError:
        return True
    finally:
        os.close(fd)
    return False


def read_lines(path: str) -> Recovery:
    """The changes of a journal that count and are not in its target; a last line that was cut is left out.

    An edit whose outcome was not noted any more counts: it was asked for.

    Raises:
        TargetError: It cannot be read, or is no journal.
        EditError: It holds no such records, or takes back what a save over the target has put into it.
    """
    lines = _content(path).split(b"\n")
    head: Head | None = None
    records = Records()
    for place, line in enumerate(lines, 1):
        try:
            plain = json.loads(line)
            kind = plain["record"]
        except (ValueError, LookupError, TypeError, RecursionError):
            if line and place < len(lines):
                raise TargetError(f"line {place} is damaged", where=path) from None
            continue
        if kind == "head":
            head = _head_from(plain, path)
            records.target = head.target
            continue
        try:
            records.take(kind, plain)
        except EditError as error:
            raise EditError(f"line {place} {error.what}", where=path) from None
    if head is None:
        raise TargetError("is no journal of changes", where=path)
    try:
        changes = records.changes()
    except EditError as error:
        raise EditError(error.what, where=path) from None
    return Recovery(path, head, changes, os.stat(path).st_mtime)  # noqa: PTH116


def _content(path: str) -> bytes:
    try:
        with open(path, "rb") as file:  # noqa: PTH123
            content = file.read(MAX_JOURNAL + 1)
    except OSError as error:
        raise TargetError(str(error.strerror).lower(), where=path) from None
    if len(content) > MAX_JOURNAL:
        raise TargetError(f"is too large for a journal: over {MAX_JOURNAL:,} bytes", where=path)
    return content


# Export


def journal_json(head: Head, changes: Sequence[Change]) -> str:
    """The changes that count as one JSON document, for ``paramtui replay``."""
    plain = [{**plain_edit(change.edit), "digest": change.digest} for change in changes]
    return json.dumps({"journal": __version__, **plain_head(head), "changes": plain}, indent=1) + "\n"


def read_journal(path: str) -> Recovery:
    """The changes of an exported journal, or of one that was left behind.

    Raises:
        TargetError: It cannot be read, or is no journal.
        EditError: It holds no such records.
    """
    content = _content(path)
    try:
        plain = json.loads(content)
    except (ValueError, RecursionError):
        return read_lines(path)
    if not isinstance(plain, dict) or "journal" not in plain or not isinstance(plain.get("changes"), list):
        return read_lines(path)
    changes = []
    for place, change in enumerate(plain["changes"], 1):
        try:
            changes.append(Recorded(edit_from(change), str(change.get("digest", ""))))
        except EditError as error:
            raise EditError(f"change {place:,} {error.what}", where=path) from None
    return Recovery(path, _head_from(plain, path), tuple(changes), os.stat(path).st_mtime)  # noqa: PTH116
