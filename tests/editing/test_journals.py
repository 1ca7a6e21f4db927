"""Journals: what they hold wherever they are cut, whose they are, and what cannot be told from them."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paramtui.core.edits import (
    ApplyFunction,
    Call,
    Edit,
    Initialise,
    SetCells,
    Step,
    Tie,
    Untie,
    edit_from,
    plain_edit,
    same_edit,
)
from paramtui.core.history import Change
from paramtui.core.journal import (
    Head,
    Journal,
    Recovery,
    discard,
    folder,
    identity_text,
    journal_json,
    read_journal,
    read_lines,
    recoverable,
)
from paramtui.errors import EditError, ParamtuiError, TargetError
from tests.support import ROOT

EDITS: tuple[Edit, ...] = (
    SetCells("a", "0, :3", "=", float("nan")),
    SetCells('["a", 1]', "", "*=", complex(-0.0, float("inf"))),
    Initialise((Step("a", Call("zeros_")), Step("b", Call("f", (("x", [1.5, None]),), "/x.py"))), 1 << 63),
    ApplyFunction("block", Call("reset_parameters"), 0),
    SetCells("ü\ud800", "...", "-=", True),
    Tie("a", '["ü\ud800", 1]'),
    Untie(("a", "b.c")),
)


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    path = tmp_path / "x.pt"
    path.write_bytes(b"x")
    return path


def head_of(target: Path) -> Head:
    return Head(str(target), ("--init", "/x.py"), identity_text([str(target)]), (("torch", "2"),))


class Model:
    """What a session is expected to leave behind."""

    def __init__(self) -> None:
        self.done: list[tuple[Edit, str]] = []
        self.undone: list[tuple[Edit, str]] = []
        self.base: list[tuple[Edit, str]] = []
        self.saved: list[tuple[Edit, str]] = []

    def left(self) -> list[tuple[Edit, str]] | None:
        """What is to be offered; None where that cannot be told."""
        if [id(change) for change in self.done] == [id(change) for change in self.saved]:
            return []
        count = len(self.base)
        if [id(change) for change in self.done[:count]] != [id(change) for change in self.base]:
            return None
        return self.done[count:]


def same(found: Recovery, wanted: list[tuple[Edit, str]]) -> bool:
    return len(found.changes) == len(wanted) and all(
        same_edit(change.edit, edit) and change.digest == digest
        for change, (edit, digest) in zip(found.changes, wanted, strict=True)
    )


def assert_left(path: str, model: Model) -> None:
    wanted = model.left()
    if wanted is None:
        with pytest.raises(EditError, match="saved before"):
            read_lines(path)
    else:
        assert same(read_lines(path), wanted)


@pytest.mark.parametrize("seed", range(4))
def test_a_journal_cut_anywhere_holds_what_was_noted_before(seed: int, target: Path) -> None:
    draw = random.Random(seed)
    journal = Journal(head_of(target))
    model = Model()
    marks: list[tuple[int, Any]] = []

    def mark() -> None:
        left = model.left()
        marks.append((os.path.getsize(journal.path), None if left is None else list(left)))

    for place in range(24):
        kind = draw.choice(["do", "do", "do", "fail", "undo", "redo", "over", "beside"])
        if kind in ("do", "fail"):
            edit = draw.choice(EDITS)
            journal.intent(edit)
            # What was begun counts until it is known that it failed.
            model.done.append((edit, ""))
            kept, model.undone = model.undone, []
            mark()
            model.done.pop()
            if kind == "fail":
                model.undone = kept
                journal.failed()
            else:
                journal.done(f"digest {place}")
                model.done.append((edit, f"digest {place}"))
        elif kind == "undo" and model.done:
            journal.undone()
            model.undone.append(model.done.pop())
        elif kind == "redo" and model.undone:
            journal.redone()
            model.done.append(model.undone.pop())
        elif kind in ("over", "beside") and journal.path:
            journal.saved(str(target if kind == "over" else target.with_name("y.pt")))
            model.saved = list(model.done)
            if kind == "over":
                model.base = list(model.done)
        if journal.path:
            mark()
    assert journal.problem == ""
    content = Path(journal.path).read_bytes()
    assert_left(journal.path, model)
    journal.close(keep=True)
    cut = target.with_name("cut.jsonl")
    first = content.index(b"\n")
    for end in range(len(content) + 1):
        cut.write_bytes(content[:end])
        if end < first:
            with pytest.raises(TargetError, match="is no journal"):
                read_lines(str(cut))
            continue
        # A line counts when it is whole, its end may be missing.
        past = [left for size, left in marks if size - 1 <= end]
        wanted = past[-1] if past else []
        if wanted is None:
            with pytest.raises(EditError, match="saved before"):
                read_lines(str(cut))
        else:
            assert same(read_lines(str(cut)), wanted), end


def test_a_damaged_line_in_the_middle_is_named(target: Path) -> None:
    journal = Journal(head_of(target))
    for edit in EDITS:
        journal.intent(edit)
        journal.done("d")
    journal.close(keep=True)
    lines = Path(journal.path).read_bytes().split(b"\n")
    for place in range(1, len(lines) - 1):
        damaged = [*lines[:place], lines[place][:-3], *lines[place + 1 :]]
        Path(journal.path).write_bytes(b"\n".join(damaged))
        with pytest.raises(TargetError, match=f"line {place + 1} is damaged"):
            read_lines(journal.path)
    assert [found.path for found in recoverable(head_of(target))] == []


HOSTILE = (
    b"",
    b"{}",
    b"[1]",
    b"5",
    b'{"record": "head"}\n{"record": "intent"}',
    b'{"record": "head"}\n{"record": "intent", "edit": 5}',
    b'{"record": "head", "options": 5}',
    b'{"record": "head", "options": null, "environment": [1]}',
    b'{"journal": 1, "changes": 5}',
    b'{"journal": 1, "changes": [5]}',
    b'{"journal": 1, "changes": [{"do": "set"}]}',
    b'{"journal": 1, "changes": [{"do": "dance"}]}',
    b'{"journal": 1, "options": 7, "changes": []}',
    *(
        b'{"journal": 1, "changes": [{%s}]}' % change
        for change in (
            b'"do": "initialise", "calls": [], "steps": [["a", -1]], "seed": 1',
            b'"do": "initialise", "calls": [{"name": "f"}], "steps": [["a", -1]], "seed": 1',
            b'"do": "initialise", "calls": [], "steps": [], "seed": Infinity',
            b'"do": "initialise", "calls": [], "steps": [], "seed": -1',
            b'"do": "apply", "block": "", "call": {"name": "f", "arguments": 3}, "seed": 1',
        )
    ),
    b'{"journal": 1, "changes": ' + b"[" * 100_000,
    b"\xff\xfe\x00",
    b'{"record": "head", "target": "x"}\n{"record": "saved", "path": "\\ud800"}\n',
    b'{"record": "head", "target": "x"}\n{"record": "saved", "path": "\\u0000"}\n',
)
LITERALS = (
    "__import__('os')",
    "(" * 3000,
    "-" * 50_000 + "1",
    "[" * 900 + "]" * 900,
    "1 +",
    "9" * 5000,
    "{[]: 1}",
    "1if 2else 3",
    "[" + "0," * 60_000 + "]",
)


@pytest.mark.parametrize("content", HOSTILE, ids=range(len(HOSTILE)))
def test_what_is_no_journal_is_refused_in_words(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(content)
    with pytest.raises(ParamtuiError) as caught:
        read_journal(str(path))
    assert str(path) in str(caught.value)


@pytest.mark.parametrize("text", LITERALS, ids=range(len(LITERALS)))
def test_a_literal_of_a_journal_is_never_evaluated(text: str) -> None:
    plain = plain_edit(EDITS[0]) | {"number": {"literal": text}}
    with pytest.raises(EditError, match="is no record of a change"):
        edit_from(plain)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["literal", "x"]), inner),
    max_leaves=5,
)


@given(st.sampled_from(EDITS), st.data())
def test_an_edit_with_anything_in_it_is_an_edit_or_refused(edit: Edit, data: st.DataObject) -> None:
    plain: Any = json.loads(json.dumps(plain_edit(edit)))
    at = plain
    key: Any = data.draw(st.sampled_from(sorted(at)))
    while isinstance(at[key], dict | list) and at[key] and data.draw(st.booleans()):
        at = at[key]
        key = data.draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
    at[key] = data.draw(json_values)
    try:
        found = edit_from(plain)
    except EditError:
        return
    assert same_edit(edit_from(plain_edit(found)), found)


@pytest.mark.parametrize("edit", EDITS, ids=range(len(EDITS)))
def test_exported_changes_come_back(edit: Edit, target: Path) -> None:
    head = head_of(target)
    path = target.with_name("changes.json")
    path.write_text(journal_json(head, [Change(1, edit, (0,), "abc")] * 2))
    found = read_journal(str(path))
    assert found.head == head
    assert [change.digest for change in found.changes] == ["abc", "abc"]
    assert all(same_edit(change.edit, edit) for change in found.changes)
    json.loads(path.read_text(), parse_constant=pytest.fail)


WRITER = """
import sys, time
from paramtui.core.edits import SetCells
from paramtui.core.journal import Head, Journal
journal = Journal(Head(sys.argv[1]))
journal.intent(SetCells("a", "0", "=", 1.5))
journal.done("d")
print(journal.path, flush=True)
time.sleep(100)
"""


def test_a_journal_in_use_is_not_offered_and_one_of_a_killed_process_is(target: Path) -> None:
    head = Head(str(target))
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", WRITER, str(target)], stdout=subprocess.PIPE, env=env
    ) as writer:
        assert writer.stdout is not None
        path = writer.stdout.readline().decode().strip()
        assert recoverable(head) == []
        assert os.path.exists(path)
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        (found,) = recoverable(head)
        assert found.path == path
        assert same(found, [(SetCells("a", "0", "=", 1.5), "d")])
        assert recoverable(Head(str(target), ("--init", "/x.py"))) == [], "opened in another way"
        # Whoever takes it over writes one of its own; the old one goes with it.
        mine = Journal(head)
        mine.adopt(found)
        mine.intent(EDITS[0])
        mine.close(keep=True)
    assert [each.path for each in recoverable(head)] == [mine.path]
    discard(mine.path)
    assert recoverable(head) == []


def test_what_only_looks_like_a_journal_is_passed_over_and_stays(target: Path, tmp_path: Path) -> None:
    head = head_of(target)
    real = Journal(head)
    real.intent(EDITS[0])
    real.done("d")
    real.close(keep=True)
    os.mkfifo(real.path.replace(".jsonl", "-pipe.jsonl"))
    os.symlink("/dev/zero", real.path.replace(".jsonl", "-zero.jsonl"))
    os.symlink(real.path, real.path.replace(".jsonl", "-link.jsonl"))
    os.mkdir(real.path.replace(".jsonl", "-folder.jsonl"))
    assert [found.path for found in recoverable(head)] == [real.path]
    assert len(os.listdir(folder())) == 5


def test_a_journal_without_changes_to_offer_is_removed(target: Path) -> None:
    head = head_of(target)
    for noted in ("saved", "failed", "undone"):
        journal = Journal(head)
        assert journal.path == ""
        journal.intent(EDITS[0])
        if noted == "failed":
            journal.failed()
        else:
            journal.done("d")
            journal.saved(str(target.with_name("copy.pt"))) if noted == "saved" else journal.undone()
        journal.close(keep=True)
        assert os.path.exists(journal.path)
        assert recoverable(head) == []
        assert not os.path.exists(journal.path)
    assert os.listdir(folder()) == []


def test_changes_after_a_copy_was_saved_build_on_those_before(target: Path) -> None:
    journal = Journal(head_of(target))
    journal.intent(EDITS[0])
    journal.done("1")
    journal.saved(str(target.with_name("copy.pt")))
    journal.intent(EDITS[1])
    journal.done("2")
    assert [change.digest for change in read_lines(journal.path).changes] == ["1", "2"]
    journal.saved(str(target))
    assert read_lines(journal.path).changes == ()
    journal.intent(EDITS[3])
    journal.done("3")
    assert [change.digest for change in read_lines(journal.path).changes] == ["3"]
    journal.undone()
    assert read_lines(journal.path).changes == ()
    journal.undone()
    with pytest.raises(EditError, match="saved before"):
        read_lines(journal.path)
    journal.redone()
    assert read_lines(journal.path).changes == ()
    journal.close(keep=False)
    assert not os.path.exists(journal.path)


def test_a_directory_that_cannot_be_written_is_said_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    journal = Journal(Head("x"))
    assert journal.problem == ""
    journal.intent(EDITS[0])
    assert journal.problem.startswith("changes are not safe against a dropped line: Not a directory")
    journal.done("d")
    journal.close(keep=True)
    assert recoverable(Head("x")) == []


def test_identity_changes_with_size_and_time(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"ab")
    first = identity_text([str(path), str(tmp_path / "missing")])
    assert identity_text([str(path)]) == first
    os.utime(path, ns=(1, 1))
    second = identity_text([str(path)])
    path.write_bytes(b"abc")
    os.utime(path, ns=(1, 1))
    assert len({first, second, identity_text([str(path)])}) == 3


def test_what_the_same_bits_depend_on_is_noted_when_it_becomes_known(tmp_path: Path) -> None:
    head = Head(str(tmp_path / "x.pt"), (), "x.pt 1 2")
    journal = Journal(head)
    journal.intent(SetCells("w", "0", "=", 1), head)
    journal.done("")
    known = head._replace(identity="x.pt 3 4", environment=(("torch", "2.13.0"), ("capability", "AVX2")))
    journal.intent(SetCells("w", "1", "=", 2), known)
    journal.done("")
    found = read_lines(journal.path)
    assert found.head == head._replace(environment=known.environment)
    assert [recorded.edit for recorded in found.changes] == [
        SetCells("w", "0", "=", 1),
        SetCells("w", "1", "=", 2),
    ]
    journal.close(keep=False)
