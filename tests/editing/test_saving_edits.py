"""Edited checkpoints as they are saved: what torch reads back, what stays, what is refused."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from paramtui.checkpoints.registry import open_checkpoint
from paramtui.checkpoints.temporary import Temporary
from paramtui.core.edits import Call, Edit, Initialise, SetCells, Step
from paramtui.editable import EditableCheckpoint
from paramtui.errors import ParamtuiError, SavingError, SavingStoppedError
from tests.editing.checkpoints import (
    KINDS,
    SharedComputer,
    all_bits,
    all_shown,
    loaded,
    network,
    opened,
    training,
    views,
    written,
)

if TYPE_CHECKING:
    from paramtui.checkpoints.editing import CheckpointEditor
    from paramtui.core.source import Saved


def apply(editor: CheckpointEditor, *edits: Edit) -> None:
    for edit in edits:
        asyncio.run(editor.apply(edit))


def save(editor: CheckpointEditor, path: Path | str, *, over: bool = False) -> Saved:
    return asyncio.run(editor.save(str(path), over=over, progress=lambda *_: None))


def fc1(kind: str) -> str:
    return "model.fc1" if kind in ("zip", "legacy") else "fc1"


def some_edits(kind: str) -> list[Edit]:
    name = fc1(kind)
    return [
        SetCells(f"{name}.weight", "1:3, ::2", "=", 7.5),
        Initialise((Step(f"{name}.bias", Call("normal_")),), 3),
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_what_is_saved_is_what_is_shown_over_the_file_and_beside_it(
    kind: str, tmp_path: Path, computer: SharedComputer
) -> None:
    path = written(kind, tmp_path)
    original = loaded(path)
    editor = opened(path, computer)
    apply(editor, *some_edits(kind))
    first = all_shown(editor)
    beside = tmp_path / f"beside{path.suffix}"
    saved = save(editor, beside)
    assert saved.durable
    assert saved.nbytes == sum(Path(each).stat().st_size for each in saved.paths)
    assert all_bits(loaded(beside)) == first
    assert all_bits(loaded(path)) == all_bits(original), "the file itself is as it was"
    assert not editor.history.unsaved

    save(editor, path, over=True)
    assert all_bits(loaded(path)) == first
    # The editor goes on over what it opened: more edits, back past the save, and saved again.
    apply(editor, SetCells(f"{fc1(kind)}.weight", "...", "*=", -1))
    assert editor.history.unsaved
    save(editor, path, over=True)
    assert all_bits(loaded(path)) == all_shown(editor) != first
    for _ in range(3):
        asyncio.run(editor.undo())
    assert editor.history.unsaved
    assert all_shown(editor) == all_bits(original)
    if kind != "shards":
        save(editor, path, over=True)
        assert all_bits(loaded(path)) == all_bits(original)
    editor.close()
    again = opened(path, computer)
    assert all_shown(again) == all_bits(loaded(path))


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_that_no_edit_touched_stay_the_same(
    kind: str, tmp_path: Path, computer: SharedComputer
) -> None:
    path = written(kind, tmp_path)
    editor = opened(path, computer)
    name = f"{fc1(kind)}.weight"
    apply(editor, SetCells(name, "2, 3", "=", 1.25))
    save(editor, tmp_path / f"out{path.suffix}")
    pairs = [(path, tmp_path / f"out{path.suffix}")]
    if kind == "shards":
        pairs = [(shard, tmp_path / "out" / shard.name) for shard in path.iterdir()]
        assert sorted(each.name for each in (tmp_path / "out").iterdir()) == sorted(p.name for p, _ in pairs)
    moved = 0
    for before, after in pairs:
        old, new = before.read_bytes(), after.read_bytes()
        assert len(old) == len(new)
        moved += sum(a != b for a, b in zip(old, new, strict=True))
    # Four bytes of the number, and in an archive the checksum of its record, twice.
    assert 1 <= moved <= 4 + (8 if kind in ("zip", "module") else 0)
    if kind == "safetensors":
        with safe_open(tmp_path / "out.safetensors", "pt") as file:
            assert file.metadata() == {"format": "pt", "note": "kept"}


def test_a_link_is_followed_and_stays_a_link(tmp_path: Path, computer: SharedComputer) -> None:
    blob = tmp_path / "blobs" / "abc"
    blob.parent.mkdir()
    save_file({"w": torch.zeros(3, 2)}, blob)
    link = tmp_path / "model.safetensors"
    link.symlink_to("blobs/abc")
    editor = opened(link, computer)
    apply(editor, SetCells("w", "0", "=", 1))
    save(editor, link, over=True)
    assert link.is_symlink()
    assert load_file(blob)["w"].tolist() == [[1, 1], [0, 0], [0, 0]]
    apply(editor, SetCells("w", "1", "=", 2))
    save(editor, link, over=True)
    assert load_file(link)["w"].tolist() == [[1, 1], [2, 2], [0, 0]]


def test_a_file_under_an_odd_name_keeps_its_format(tmp_path: Path, computer: SharedComputer) -> None:
    for name in ("blob", "weights.ckpt"):
        path = tmp_path / name
        save_file({"w": torch.zeros(3)}, path)
        editor = opened(path, computer)
        apply(editor, SetCells("w", "0", "=", 1))
        save(editor, path, over=True)
        assert load_file(path)["w"].tolist() == [1, 0, 0]
        other = editor.save_name()
        save(editor, other)
        assert load_file(other)["w"].tolist() == [1, 0, 0]


@pytest.mark.parametrize("kind", ["zip", "safetensors"])
def test_a_file_that_another_program_changed_is_left_to_it(
    kind: str, tmp_path: Path, computer: SharedComputer
) -> None:
    path = written(kind, tmp_path)
    editor = opened(path, computer)
    apply(editor, SetCells(f"{fc1(kind)}.bias", "0", "=", 1))
    content = path.read_bytes()
    path.write_bytes(content)
    os.utime(path, ns=(1, 1))
    for out, over in ((path, True), (tmp_path / f"out{path.suffix}", False)):
        with pytest.raises(ParamtuiError, match="changed"):
            save(editor, out, over=over)
    assert path.read_bytes() == content
    assert not (tmp_path / f"out{path.suffix}").exists()
    path.unlink()
    with pytest.raises(ParamtuiError):
        save(editor, path, over=True)
    assert list(tmp_path.iterdir()) == []


def test_a_file_changed_after_it_was_saved_over_is_left_too(tmp_path: Path, computer: SharedComputer) -> None:
    path = written("zip", tmp_path)
    editor = opened(path, computer)
    apply(editor, SetCells("model.fc1.bias", "0", "=", 1))
    save(editor, path, over=True)
    torch.save({"other": torch.ones(1)}, path)
    apply(editor, SetCells("model.fc1.bias", "0", "=", 2))
    with pytest.raises(SavingError, match="was changed since it was opened"):
        save(editor, path, over=True)
    assert list(loaded(path)) == ["other"]
    save(editor, tmp_path / "out.pt")
    assert all_bits(loaded(tmp_path / "out.pt")) == all_shown(editor)


def test_of_shards_only_the_changed_ones_are_saved_over(tmp_path: Path, computer: SharedComputer) -> None:
    path = written("shards", tmp_path)
    (path / "config.json").write_text("{}")
    editor = opened(path, computer)
    with pytest.raises(SavingError, match="nothing was changed"):
        save(editor, path, over=True)
    apply(editor, SetCells("fc1.weight", "0", "=", 1))
    before = {each.name: each.stat().st_ino for each in path.iterdir()}
    saved = save(editor, path, over=True)
    assert len(saved.paths) == 1
    after = {each.name: each.stat().st_ino for each in path.iterdir()}
    assert [name for name in before if before[name] != after[name]] == [Path(saved.paths[0]).name]
    assert all_bits(loaded(path)) == all_shown(editor)
    elsewhere = save(editor, tmp_path / "new" / "set")
    assert "not copied: config.json" in elsewhere.said
    index = json.loads((tmp_path / "new" / "set" / "model.safetensors.index.json").read_text())
    assert sorted(index["weight_map"]) == sorted(editor.listing.names)
    assert all_bits(loaded(tmp_path / "new" / "set")) == all_shown(editor)
    with pytest.raises(SavingError, match="exists already"):
        save(editor, tmp_path / "new" / "set")
    one = save(editor, tmp_path / "one.safetensors")
    assert all_bits(load_file(one.paths[0])) == all_shown(editor)
    save(editor, tmp_path / "one.pt")
    assert all_bits(torch.load(tmp_path / "one.pt")) == all_shown(editor)
    shard = next(path.glob("*00001*"))
    content = shard.read_bytes()
    with pytest.raises(SavingError, match="a file of the checkpoint itself"):
        save(editor, shard, over=True)
    assert shard.read_bytes() == content


def test_a_state_dict_becomes_safetensors_with_its_ties_declared(
    tmp_path: Path, computer: SharedComputer
) -> None:
    net = network()
    torch.save(net.state_dict(), tmp_path / "x.pt")
    editor = opened(tmp_path / "x.pt", computer)
    apply(editor, SetCells("lm_head.weight", "0", "=", 5), SetCells("fc1.weight", "1", "*=", 3))
    saved = save(editor, tmp_path / "x.safetensors")
    with torch.no_grad():
        net.lm_head.weight[0] = 5
        net.fc1.weight[1] *= 3
    wanted = all_bits(dict(net.state_dict()))
    found = all_bits(load_file(tmp_path / "x.safetensors"))
    assert {wanted.pop("embed_tokens.weight"), wanted.pop("lm_head.weight")} == {
        found.pop(name) for name in list(found) if name in ("embed_tokens.weight", "lm_head.weight")
    }
    assert found == wanted
    assert saved.durable
    with safe_open(tmp_path / "x.safetensors", "pt") as file:
        assert "lm_head.weight" in str(file.metadata()) or "embed_tokens.weight" in str(file.metadata())
    again = opened(tmp_path / "x.safetensors", computer)
    apply(again, SetCells("conv.bias", "0", "=", 2))
    save(again, tmp_path / "back.pt")
    held = torch.load(tmp_path / "back.pt")
    assert held["conv.bias"][0] == 2
    assert network().load_state_dict(held, strict=False).unexpected_keys == []


REFUSED = {
    "values": (lambda: {"w": torch.ones(1), "step": 3}, "more than tensors"),
    "training": (training, "more than tensors"),
    "no name": (lambda: torch.ones(2), "without a name"),
    "same name": (lambda: {"a": {"b": torch.ones(1)}, "a.b": torch.ones(1)}, "same name"),
    "sparse": (lambda: {"w": torch.eye(2).to_sparse()}, "sparse"),
    "no type": (lambda: {"w": torch.ones(2, dtype=torch.complex32)}, "complex32"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_another_format_cannot_hold_is_refused(
    what: str, tmp_path: Path, computer: SharedComputer
) -> None:
    made, words = REFUSED[what]
    torch.save(made(), tmp_path / "x.pt")
    with pytest.raises(ParamtuiError, match=words):
        save(opened(tmp_path / "x.pt", computer), tmp_path / "x.safetensors")
    assert [each.name for each in tmp_path.iterdir()] == ["x.pt"]


def test_views_are_written_each_with_its_own_numbers(tmp_path: Path, computer: SharedComputer) -> None:
    torch.save(views(), tmp_path / "x.pt")
    editor = opened(tmp_path / "x.pt", computer)
    apply(editor, SetCells("part", "0", "=", 9), SetCells("turned", "1, :", "=", 4))
    try:
        save(editor, tmp_path / "x.safetensors")
    except ParamtuiError as error:
        assert "share" in str(error) or "overlap" in str(error)
        assert not (tmp_path / "x.safetensors").exists()
    else:
        assert all_bits(load_file(tmp_path / "x.safetensors")).items() <= all_shown(editor).items()


def test_a_save_that_is_stopped_leaves_everything_as_it_was(tmp_path: Path, computer: SharedComputer) -> None:
    path = written("zip", tmp_path)
    content = path.read_bytes()
    editor = opened(path, computer)
    apply(editor, SetCells("model.fc1.bias", "0", "=", 1))

    def stop(done: int, total: int) -> None:
        editor._stop_saving.set()

    with pytest.raises(SavingStoppedError):
        asyncio.run(editor.save(str(path), over=True, progress=stop))
    assert path.read_bytes() == content
    assert [each.name for each in tmp_path.iterdir()] == ["x.pt"]
    assert editor.history.unsaved
    save(editor, path, over=True)
    assert all_bits(loaded(path)) == all_shown(editor)


@pytest.mark.parametrize(
    ("target", "wanted"),
    [("a.pt", "a-edited.pt"), ("dir.v1", "dir.v1-edited"), (".", "home-edited"), ("b", "b-edited")],
)
def test_a_name_is_proposed_that_is_free(
    target: str, wanted: str, tmp_path: Path, computer: SharedComputer, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.chdir(home)
    if target in ("dir.v1", "."):
        written("shards", tmp_path)
        for each in (tmp_path / "shards").iterdir():
            (home / target).mkdir(exist_ok=True)
            shutil.copy(each, home / target / each.name)
    else:
        torch.save({"w": torch.ones(2)}, home / target)
    editor = opened(target, computer)
    name = editor.save_name()
    assert os.path.basename(name) == wanted
    Path(name).write_bytes(b"")
    assert not os.path.exists(editor.save_name())


def test_what_a_save_that_was_ended_left_is_found_and_removed(tmp_path: Path) -> None:
    path = written("zip", tmp_path)
    source = EditableCheckpoint(open_checkpoint(str(path)))
    assert source.leftovers() == []
    left = Temporary(str(path), 0o600)
    os.write(left.fd, b"half")
    os.close(left.fd)
    ((found, nbytes),) = source.leftovers()
    assert os.path.dirname(found) == str(tmp_path)
    assert nbytes == 4
    source.remove_leftover(found)
    assert source.leftovers() == []
    assert [each.name for each in tmp_path.iterdir()] == ["x.pt"]
