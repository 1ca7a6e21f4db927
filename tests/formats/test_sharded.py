"""Checkpoints of several files: with an index and without, whole and in disagreement."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import torch
from huggingface_hub import save_torch_state_dict
from safetensors.torch import save_file

from paramtui.core.expressions import expression
from paramtui.core.tree import Tree
from paramtui.errors import FormatError, ParamtuiError, TargetError
from tests.support import assert_row, opened

if TYPE_CHECKING:
    from pathlib import Path


def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    return {f"layers.{i}.weight": torch.randn(10, 10) for i in range(12)}


def check(path: Path, expected: dict[str, torch.Tensor], form: str) -> None:
    checkpoint = opened(path)
    assert checkpoint.listing.format == form
    assert sorted(checkpoint.listing.names) == sorted(expected)
    for tensor_id, name in enumerate(checkpoint.listing.names):
        assert_row(checkpoint, tensor_id, name, expected[name])
    total = sum(tensor.numel() * 4 for tensor in expected.values())
    assert checkpoint.listing.totals().unique_nbytes == total


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    """A directory as Hugging Face writes it: four shards and an index."""
    save_torch_state_dict(state(), tmp_path, max_shard_size=1300)
    assert len(list(tmp_path.glob("*.safetensors"))) == 4
    return tmp_path


def test_a_directory_with_an_index_lists_all_shards(sharded: Path) -> None:
    check(sharded, state(), "safetensors-sharded")
    assert opened(sharded).listing.warnings == []


def test_the_index_itself_is_a_target(sharded: Path) -> None:
    check(sharded / "model.safetensors.index.json", state(), "safetensors-sharded")


def test_a_directory_without_an_index_lists_all_shards(sharded: Path) -> None:
    (sharded / "model.safetensors.index.json").unlink()
    check(sharded, state(), "safetensors-sharded")


def test_torch_shards_with_an_index_are_listed_as_torch_sharded(tmp_path: Path) -> None:
    save_torch_state_dict(state(), tmp_path, max_shard_size=1300, safe_serialization=False)
    check(tmp_path, state(), "torch-sharded")
    check(tmp_path / "pytorch_model.bin.index.json", state(), "torch-sharded")
    (tmp_path / "pytorch_model.bin.index.json").unlink()
    check(tmp_path, state(), "torch-sharded")


def test_a_directory_with_one_file_is_that_file(tmp_path: Path) -> None:
    save_torch_state_dict(state(), tmp_path)
    check(tmp_path, state(), "safetensors")
    for suffix in ("pt", "pth", "ckpt", "bin"):
        folder = tmp_path / suffix
        folder.mkdir()
        torch.save(state(), folder / f"model.{suffix}")
        check(folder, state(), "torch-zip")


@pytest.mark.parametrize("with_index", [True, False])
def test_a_missing_shard_is_warned_of_and_the_rest_listed(sharded: Path, with_index: bool) -> None:
    lost = sharded / "model-00002-of-00004.safetensors"
    gone = set(opened(lost).listing.names)
    lost.unlink()
    if not with_index:
        (sharded / "model.safetensors.index.json").unlink()
    checkpoint = opened(sharded)
    assert set(checkpoint.listing.names) == set(state()) - gone
    assert any("00002" in warning or "missing: 2 of 4" in warning for warning in checkpoint.listing.warnings)


def test_a_broken_shard_is_warned_of_and_the_rest_listed(sharded: Path) -> None:
    (sharded / "model-00001-of-00004.safetensors").write_bytes(b"\x05\0\0\0\0\0\0\0{NaN}")
    checkpoint = opened(sharded)
    assert len(checkpoint.listing) == 9
    assert any("00001" in warning for warning in checkpoint.listing.warnings)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (b"<!DOCTYPE html><html>no such file</html>", "is an HTML page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "is a Git LFS pointer"),
        (b"something else entirely", "begins with 73 6f 6d 65"),
    ],
)
def test_what_stands_in_place_of_a_shard_is_told_by_its_letters(
    sharded: Path, text: bytes, words: str
) -> None:
    shard = next(sharded.glob("*-00001-of-*.safetensors"))
    shard.write_bytes(text)
    found = next(words for words in opened(sharded).listing.warnings if f"shard {shard.name}: " in words)
    assert words in found
    assert "header" not in found


def test_an_index_without_any_readable_shard_is_refused(sharded: Path) -> None:
    for shard in sharded.glob("*.safetensors"):
        shard.unlink()
    with pytest.raises(FormatError, match="none of its shards"):
        opened(sharded)


def test_an_index_that_disagrees_with_its_shards_is_warned_of(sharded: Path) -> None:
    index = sharded / "model.safetensors.index.json"
    fields = json.loads(index.read_text())
    fields["weight_map"]["layers.99.weight"] = "model-00001-of-00004.safetensors"
    del fields["weight_map"]["layers.0.weight"]
    index.write_text(json.dumps(fields))
    checkpoint = opened(sharded)
    warnings = "\n".join(checkpoint.listing.warnings)
    assert "layers.99.weight" in warnings
    assert "layers.0.weight" in warnings
    assert sorted(checkpoint.listing.names) == sorted(state())


@pytest.mark.parametrize(
    "shard",
    ["../outside.safetensors", "/etc/passwd", "a/../../outside.safetensors", "..", "", "x\0y", "..\\outside"],
)
def test_a_shard_outside_the_directory_is_refused(tmp_path: Path, shard: str) -> None:
    save_file({"secret": torch.ones(3)}, tmp_path / "outside.safetensors")
    folder = tmp_path / "model"
    folder.mkdir()
    save_file({"w": torch.ones(3)}, folder / "in.safetensors")
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"w": "in.safetensors", "secret": shard}}))
    with pytest.raises(FormatError, match="outside its directory") as caught:
        opened(folder)
    assert "\n" not in str(caught.value)


def test_one_file_under_two_names_is_refused(tmp_path: Path) -> None:
    save_file({"w": torch.ones(3)}, tmp_path / "in.safetensors")
    index = tmp_path / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"w": "in.safetensors", "v": "./in.safetensors"}}))
    with pytest.raises(FormatError) as caught:
        opened(index)
    assert str(caught.value) == f"{index}: names one file as './in.safetensors' and 'in.safetensors'"


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"weight_map": 5}',
        '{"weight_map": {"a": 5}}',
        '{"weight_map": {}}',
        '{"weight_map": NaN}',
        "{",
        "{}x",
    ],
)
def test_json_that_is_no_index_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(text)
    for target in (path, tmp_path):
        with pytest.raises(FormatError) as caught:
            opened(target)
        assert "\n" not in str(caught.value)


def test_one_name_in_two_shards_is_listed_twice(tmp_path: Path) -> None:
    save_file({"w": torch.ones(3)}, tmp_path / "a-00001-of-00002.safetensors")
    save_file({"w": torch.zeros(2)}, tmp_path / "a-00002-of-00002.safetensors")
    checkpoint = opened(tmp_path)
    assert checkpoint.listing.names == ["w", "w"]
    assert (checkpoint.read(0).tolist(), checkpoint.read(1).tolist()) == ([1, 1, 1], [0, 0])


def test_equal_storage_keys_of_two_torch_shards_are_not_shared(tmp_path: Path) -> None:
    torch.save({"a": torch.ones(4)}, tmp_path / "m-00001-of-00002.bin")
    torch.save({"b": torch.ones(4)}, tmp_path / "m-00002-of-00002.bin")
    checkpoint = opened(tmp_path)
    assert checkpoint.listing.sharing.groups == ()
    assert checkpoint.listing.storage(0) != checkpoint.listing.storage(1)


def test_a_directory_with_several_checkpoints_asks_for_one(tmp_path: Path) -> None:
    for name in ("a.pt", "b.pt"):
        torch.save({"w": torch.ones(1)}, tmp_path / name)
    with pytest.raises(TargetError, match=r"a\.pt, b\.pt"):
        opened(tmp_path)


def test_a_directory_without_a_checkpoint_says_what_it_holds(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(TargetError, match=r"notes\.txt"):
        opened(tmp_path)


def test_an_index_that_names_itself_ends(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors.index.json"
    path.write_text(json.dumps({"weight_map": {"w": path.name}}))
    with pytest.raises(ParamtuiError):
        opened(path)


def test_two_indices_that_name_each_other_end(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps({"weight_map": {"w": "b.json"}}))
    (tmp_path / "b.json").write_text(json.dumps({"weight_map": {"w": "a.json"}}))
    with pytest.raises(ParamtuiError):
        opened(tmp_path / "a.json")


def trainer(folder: Path) -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    """Adds an optimizer to a directory; what it holds by names without and with those of blocks."""
    params = [torch.nn.Parameter(tensor) for tensor in state().values()]
    optimizer = torch.optim.AdamW([{"params": params[:5]}, {"params": params[5:]}])
    for param in params:
        param.grad = torch.randn_like(param)
    optimizer.step()
    torch.save(optimizer.state_dict(), folder / "optimizer.pt")
    held = {
        f"optimizer.pt.state.{index}.{name}": tensor
        for index, entry in optimizer.state_dict()["state"].items()
        for name, tensor in entry.items()
    }
    return state(), held


@pytest.mark.parametrize("kind", ["one file", "shards", "torch", "torch shards"])
def test_the_optimizer_beside_the_weights_is_listed_after_them(tmp_path: Path, kind: str) -> None:
    save_torch_state_dict(
        state(),
        tmp_path,
        max_shard_size=1300 if "shards" in kind else "5GB",
        safe_serialization="torch" not in kind,
    )
    alone = opened(tmp_path).listing
    weights, held = trainer(tmp_path)
    checkpoint = opened(tmp_path)
    listing = checkpoint.listing
    assert listing.names[: len(alone)] == alone.names
    assert listing.format == alone.format
    assert listing.warnings == []
    assert listing.names[len(alone) :] == list(held)
    for tensor_id, name in enumerate(listing.names):
        assert_row(checkpoint, tensor_id, name, weights[name] if name in weights else held[name])
    tree = Tree(listing)
    assert [tree.label[row] for row in tree.children(0)][-1] == "optimizer.pt"
    assert listing.sharing.groups == ()


def test_lines_of_python_beside_an_optimizer_are_right(tmp_path: Path) -> None:
    save_torch_state_dict(state(), tmp_path)
    alone = opened(tmp_path).listing
    small = Tree(alone)
    plain = {small.name(row): expression(alone, small, row) for row in range(1, len(small))}
    trainer(tmp_path)
    listing = opened(tmp_path).listing
    tree = Tree(listing)
    loaded = torch.load(tmp_path / "optimizer.pt")
    for row in range(1, len(tree)):
        text = expression(listing, tree, row)
        if tree.name(row) in plain:
            assert text == plain[tree.name(row)]
        elif tree.tensor[row] >= 0:
            parts = tree.name(row).removeprefix("optimizer.pt.").split(".")
            assert torch.equal(eval(text), loaded["state"][int(parts[1])][parts[2]])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 cut off", b"<html>"])
def test_a_damaged_optimizer_leaves_the_weights_listed(tmp_path: Path, content: bytes) -> None:
    save_torch_state_dict(state(), tmp_path)
    (tmp_path / "optimizer.pt").write_bytes(content)
    checkpoint = opened(tmp_path)
    check(tmp_path, state(), "safetensors")
    assert [warning.partition(":")[0] for warning in checkpoint.listing.warnings] == ["optimizer.pt"]


@pytest.mark.parametrize("name", ["half \ud800.safetensors", "half \ud800.bin"])
def test_a_shard_whose_name_no_file_can_have_is_missing_and_the_rest_is_listed(
    tmp_path: Path, name: str
) -> None:
    save_file({"w": torch.ones(2)}, tmp_path / "a.safetensors")
    index = tmp_path / "m.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"w": "a.safetensors", "x": name}}))
    checkpoint = opened(index)
    assert_row(checkpoint, 0, "w", torch.ones(2))
    assert checkpoint.listing.warnings[0].startswith(r"shard half \ud800")
    assert "is no file name; its tensors are missing" in checkpoint.listing.warnings[0]


@pytest.mark.parametrize(("said", "words"), [(10**400, f"{10**400:,}"), (9.5, "10"), (10**18, f"{10**18:,}")])
def test_an_index_that_claims_another_size_is_warned_of_whatever_it_claims(
    tmp_path: Path, said: float, words: str
) -> None:
    save_file({"w": torch.ones(2)}, tmp_path / "a.safetensors")
    index = tmp_path / "m.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {"total_size": said}, "weight_map": {"w": "a.safetensors"}}))
    sentence = f"the index says that its tensors take {words} bytes; the shards hold 8"
    assert opened(index).listing.warnings == [sentence]


def test_a_directory_with_an_optimizer_alone_is_that_file(tmp_path: Path) -> None:
    trainer(tmp_path)
    assert opened(tmp_path).listing.target == str(tmp_path / "optimizer.pt")
    assert opened(tmp_path).listing.names[0] == "state.0.step"
