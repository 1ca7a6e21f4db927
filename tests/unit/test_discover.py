"""Checkpoints near by and in the Hugging Face cache."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
import torch
from safetensors.torch import save

from paramtui.api import open_checkpoint
from paramtui.checkpoints import discover
from paramtui.checkpoints.discover import Found, checkpoints_here, hub_checkpoints


def make(path: Path, nbytes: int = 10) -> Path:
    """A file of some bytes, and the directories to it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"\0" * nbytes)
    return path


def make_index(path: Path, *shards: str) -> Path:
    """An index of tensors, one in each shard."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"weight_map": {f"w{number}": shard for number, shard in enumerate(shards)}}))
    return path


def labels(directory: Path) -> list[str]:
    return [found.label for found in checkpoints_here(str(directory))]


def test_an_empty_or_missing_directory_has_none(tmp_path: Path) -> None:
    assert checkpoints_here(str(tmp_path)) == []
    assert checkpoints_here(str(tmp_path / "missing")) == []
    assert checkpoints_here(str(make(tmp_path / "file.pt"))) == []
    assert checkpoints_here("a\0b") == []


def test_checkpoints_are_told_by_their_names_and_sorted(tmp_path: Path) -> None:
    for number, name in enumerate(["f.torch", "e.pt2", "d.ckpt", "c.pth", "b.pt", "a.safetensors"]):
        make(tmp_path / name, number + 1)
    for name in ["notes.txt", "config.json", "pt", "model.pt.txt", "x.py"]:
        make(tmp_path / name)
    assert checkpoints_here(str(tmp_path)) == [
        Found(str(tmp_path / name), name, nbytes)
        for name, nbytes in [
            ("a.safetensors", 6),
            ("b.pt", 5),
            ("c.pth", 4),
            ("d.ckpt", 3),
            ("e.pt2", 2),
            ("f.torch", 1),
        ]
    ]


def test_of_bin_files_only_those_of_torch_are_offered(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "new.bin")
    for protocol in (2, 4):
        torch.save(
            {"w": torch.ones(2)},
            tmp_path / f"old{protocol}.bin",
            _use_new_zipfile_serialization=False,
            pickle_protocol=protocol,
        )
    (tmp_path / "plain.bin").write_bytes(pickle.dumps({"w": 1}))
    make(tmp_path / "firmware.bin")
    make(tmp_path / "empty.bin", 0)
    found = checkpoints_here(str(tmp_path))
    assert [one.label for one in found] == ["new.bin", "old2.bin", "old4.bin"]
    for one in found:
        assert open_checkpoint(one.path).read("w").tolist() == [1.0, 1.0]
        assert one.nbytes == os.path.getsize(one.path)


def test_two_levels_of_directories_are_searched(tmp_path: Path) -> None:
    for path in ["0.pt", "a/1.pt", "a/b/2.pt", "a/b/c/3.pt"]:
        make(tmp_path / path)
    assert labels(tmp_path) == ["0.pt", "a/1.pt", "a/b/2.pt"]


def test_directories_of_programs_are_skipped(tmp_path: Path) -> None:
    for folder in [".git", ".cache", "node_modules", "__pycache__", "venv", "runs", "mine"]:
        make(tmp_path / folder / "net.pt")
    make(tmp_path / "mine" / "pyvenv.cfg")
    make(tmp_path / "mine" / "lib" / "net.pt")
    assert labels(tmp_path) == ["runs/net.pt"]


def test_a_directory_that_is_an_environment_itself_is_searched(tmp_path: Path) -> None:
    make(tmp_path / "pyvenv.cfg")
    make(tmp_path / "net.pt")
    assert labels(tmp_path) == ["net.pt"]


def test_links_to_directories_are_not_followed(tmp_path: Path) -> None:
    make(tmp_path / "elsewhere" / "net.pt")
    here = tmp_path / "here"
    here.mkdir()
    os.mkfifo(here / "pipe.bin")
    (here / "round").symlink_to(here)
    (here / "out").symlink_to(tmp_path / "elsewhere")
    (here / "dangling.pt").symlink_to(tmp_path / "missing")
    (here / "linked.pt").symlink_to(tmp_path / "elsewhere" / "net.pt")
    assert labels(here) == ["linked.pt"]


def test_an_index_stands_for_its_shards(tmp_path: Path) -> None:
    make(tmp_path / "model-1.safetensors", 100)
    make(tmp_path / "model-2.safetensors", 20)
    make(tmp_path / "other.safetensors", 3)
    index = make_index(
        tmp_path / "model.safetensors.index.json",
        "model-1.safetensors",
        "model-2.safetensors",
        "model-2.safetensors",
        "model-3.safetensors",
    )
    assert checkpoints_here(str(tmp_path)) == [
        Found(str(index), "model.safetensors.index.json", 120),
        Found(str(tmp_path / "other.safetensors"), "other.safetensors", 3),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        "{}",
        '{"weight_map": 3}',
        '{"weight_map": {"w": 3}}',
        '{"weight_map": {"w": "x"}}',
        "[" * 9999,
    ],
)
def test_an_index_of_nothing_here_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "model.index.json").write_text(text)
    make(tmp_path / "net.safetensors")
    assert labels(tmp_path) == ["net.safetensors"]


def test_an_index_reaches_no_other_directory(tmp_path: Path) -> None:
    outside = make(tmp_path / "outside.safetensors", 1000)
    make(tmp_path / "here" / "a.safetensors", 5)
    make_index(tmp_path / "here" / "m.index.json", "../outside.safetensors", str(outside), "a.safetensors")
    (found,) = checkpoints_here(str(tmp_path / "here"))
    assert (found.label, found.nbytes) == ("m.index.json", 5)


def test_names_without_a_character_set_are_found(tmp_path: Path) -> None:
    name = os.fsdecode(b"\xff.pt")
    try:
        make(tmp_path / name)
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    assert labels(tmp_path) == [name]


def test_paths_are_relative_where_the_directory_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "runs" / "net.pt", 7)
    monkeypatch.chdir(tmp_path)
    (found,) = checkpoints_here(".")
    assert found == Found(os.path.join(".", "runs", "net.pt"), "runs/net.pt", 7)
    assert checkpoints_here("runs/") == [Found("runs/net.pt", "net.pt", 7)]


def test_no_more_are_given_than_asked_for(tmp_path: Path) -> None:
    for number in range(9):
        make(tmp_path / f"{number}.pt")
    assert [found.label for found in checkpoints_here(str(tmp_path), 3)] == ["0.pt", "1.pt", "2.pt"]


def test_the_search_ends_after_a_number_of_entries(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discover, "MAX_ENTRIES", 50)
    for number in range(100):
        make(tmp_path / f"{number}.pt")
    assert 40 <= len(checkpoints_here(str(tmp_path))) <= 50


def test_the_search_ends_when_its_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "net.pt")
    monkeypatch.setattr(discover, "MAX_SECONDS", -1.0)
    assert checkpoints_here(str(tmp_path)) == []


def test_a_directory_that_may_not_be_read_is_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(tmp_path / "closed" / "net.pt")
    make(tmp_path / "net.pt")
    scan = os.scandir

    def refuse(path: str) -> object:
        # Root may read everything, so the refusal is made here.
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)
    assert labels(tmp_path) == ["net.pt"]


class Cache:
    """A Hugging Face cache as `huggingface_hub` lays it out: links to blobs in snapshots."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def add(self, repo: str, files: dict[str, bytes], revision: str, ref: str | None = "main") -> Path:
        """A snapshot of a repository."""
        model = self.folder / f"models--{repo.replace('/', '--')}"
        snapshot = model / "snapshots" / revision
        for folder in (model / "blobs", model / "refs", snapshot):
            folder.mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            blob = f"{revision[:8]}{name.encode().hex()}"
            (model / "blobs" / blob).write_bytes(data)
            (snapshot / name).symlink_to(Path("..", "..", "blobs", blob))
        if ref:
            (model / "refs" / ref).write_text(revision)
        return snapshot


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cache:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    return Cache(tmp_path / "hub")


REVISION = "0123456789abcdef0123456789abcdef01234567"
OTHER = "fedcba9876543210fedcba9876543210fedcba98"


def index_of(*shards: str) -> bytes:
    return json.dumps({"weight_map": {shard: shard for shard in shards}}).encode()


def test_a_cache_that_is_not_there_has_none(cache: Cache) -> None:
    assert hub_checkpoints() == []


def test_a_model_of_one_file_is_that_file(cache: Cache) -> None:
    snapshot = cache.add("org/net", {"config.json": b"{}", "model.safetensors": b"x" * 50}, REVISION)
    assert hub_checkpoints() == [Found(str(snapshot / "model.safetensors"), "org/net", 50)]


def test_a_model_of_shards_is_its_index(cache: Cache) -> None:
    files = {
        "m-1.safetensors": b"x" * 30,
        "m-2.safetensors": b"x" * 4,
        "m.safetensors.index.json": index_of("m-1.safetensors", "m-2.safetensors"),
    }
    snapshot = cache.add("org/net", files, REVISION)
    assert hub_checkpoints() == [Found(str(snapshot / "m.safetensors.index.json"), "org/net", 34)]


def test_several_files_of_a_model_are_told_apart(cache: Cache) -> None:
    files = {"m-1.pt": b"x" * 30, "m.index.json": index_of("m-1.pt"), "adapter.pt": b"x" * 4}
    snapshot = cache.add("org/two", files, REVISION)
    assert hub_checkpoints() == [
        Found(str(snapshot / "adapter.pt"), "org/two adapter.pt", 4),
        Found(str(snapshot / "m.index.json"), "org/two m.index.json", 30),
    ]


def test_what_is_found_in_the_cache_opens(cache: Cache) -> None:
    cache.add("org/net", {"model.safetensors": save({"w": torch.ones(2)})}, REVISION)
    (found,) = hub_checkpoints()
    assert open_checkpoint(found.path).read("w").tolist() == [1.0, 1.0]


def test_models_are_sorted_and_other_things_left_out(cache: Cache) -> None:
    for repo in ["b/net", "a/net", "gpt2", "a.b/net"]:
        cache.add(repo, {"model.safetensors": b"x"}, REVISION)
    cache.add("c/tokens", {"tokenizer.json": b"{}"}, REVISION)
    (cache.folder / "datasets--a--d").mkdir()
    (cache.folder / "version.txt").touch()
    (cache.folder / "models--a--empty").mkdir()
    (cache.folder / "models--a--file").touch()
    assert [found.label for found in hub_checkpoints()] == ["a.b/net", "a/net", "b/net", "gpt2"]
    assert [found.label for found in hub_checkpoints(2)] == ["a.b/net", "a/net"]


def test_the_snapshot_of_the_main_branch_is_taken(cache: Cache) -> None:
    main = cache.add("org/net", {"model.safetensors": b"x"}, REVISION)
    other = cache.add("org/net", {"model.safetensors": b"xx"}, OTHER, ref="refs-pr-1")
    os.utime(main, (1000, 1000))
    os.utime(other, (2000, 2000))
    assert [found.path for found in hub_checkpoints()] == [str(main / "model.safetensors")]


def test_without_a_main_branch_the_newest_is_taken(cache: Cache) -> None:
    old = cache.add("org/net", {"model.safetensors": b"x"}, OTHER, ref=None)
    new = cache.add("org/net", {"model.safetensors": b"xx"}, REVISION, ref=None)
    os.utime(old, (1000, 1000))
    os.utime(new, (2000, 2000))
    assert [found.path for found in hub_checkpoints()] == [str(new / "model.safetensors")]
    os.utime(old, (3000, 3000))
    assert [found.path for found in hub_checkpoints()] == [str(old / "model.safetensors")]


def test_a_snapshot_without_weights_gives_way(cache: Cache) -> None:
    cache.add("org/net", {"config.json": b"{}"}, REVISION)
    other = cache.add("org/net", {"model.safetensors": b"xx"}, OTHER, ref="v1")
    assert [found.path for found in hub_checkpoints()] == [str(other / "model.safetensors")]


def test_a_file_whose_blob_is_gone_is_left_out(cache: Cache) -> None:
    snapshot = cache.add("org/net", {"model.safetensors": b"x", "other.safetensors": b"yy"}, REVISION)
    (snapshot / "model.safetensors").resolve().unlink()
    assert hub_checkpoints() == [Found(str(snapshot / "other.safetensors"), "org/net", 2)]


@pytest.mark.parametrize("ref", [b"../../../elsewhere", b"\xff", b"", b"a\0b", b"x" * 9999])
def test_a_reference_to_elsewhere_is_not_followed(cache: Cache, ref: bytes) -> None:
    snapshot = cache.add("org/net", {"model.safetensors": b"x"}, REVISION)
    make(cache.folder.parent / "elsewhere" / "secret.safetensors")
    (snapshot.parent.parent / "refs" / "main").write_bytes(ref)
    assert [found.path for found in hub_checkpoints()] == [str(snapshot / "model.safetensors")]


def test_the_hub_is_searched_within_limits(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(30):
        cache.add(f"org/net{number}", {"model.safetensors": b"x"}, REVISION)
    monkeypatch.setattr(discover, "MAX_ENTRIES", 20)
    assert 1 <= len(hub_checkpoints()) <= 20
    monkeypatch.setattr(discover, "MAX_SECONDS", -1.0)
    assert hub_checkpoints() == []


def test_huggingface_hub_sees_the_same_models_and_sizes(cache: Cache) -> None:
    scan_cache_dir = huggingface_hub.scan_cache_dir
    for number, repo in enumerate(["org/net", "gpt2", "other/net-2"]):
        cache.add(repo, {"model.safetensors": b"x" * (number + 1)}, REVISION)
    info = scan_cache_dir(cache.folder)
    assert not info.warnings
    theirs = sorted(
        (repo.repo_id, str(file.file_path), file.size_on_disk)
        for repo in info.repos
        for revision in repo.revisions
        for file in revision.files
    )
    assert [(found.label, found.path, found.nbytes) for found in hub_checkpoints()] == theirs


@pytest.mark.parametrize(
    "variables",
    [
        {"HF_HUB_CACHE": "{}/one"},
        {"HF_HUB_CACHE": "~/one", "HF_HOME": "{}/two"},
        {"HF_HOME": "{}/two"},
        {"HF_HOME": "$HOME/two", "XDG_CACHE_HOME": "{}/three"},
        {"XDG_CACHE_HOME": "{}/three"},
        {},
    ],
)
def test_the_cache_is_where_huggingface_hub_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variables: dict[str, str]
) -> None:
    for name in ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name, value in variables.items():
        monkeypatch.setenv(name, value.format(tmp_path))
    script = "from huggingface_hub.constants import HF_HUB_CACHE; print(HF_HUB_CACHE)"
    run = [sys.executable, "-c", script]
    theirs = subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip()
    snapshot = Cache(Path(theirs)).add("org/net", {"model.safetensors": b"x"}, REVISION)
    assert hub_checkpoints() == [Found(str(snapshot / "model.safetensors"), "org/net", 1)]


def test_huggingface_hub_is_not_imported(tmp_path: Path) -> None:
    script = (
        "import sys\n"
        "from paramtui.checkpoints.discover import checkpoints_here, hub_checkpoints\n"
        "checkpoints_here(sys.argv[1]), hub_checkpoints()\n"
        "print(*{'huggingface_hub', 'torch', 'numpy', 'textual'} & sys.modules.keys())\n"
    )
    make(tmp_path / "net.bin")
    env = {**os.environ, "HF_HUB_CACHE": str(tmp_path)}
    run = [sys.executable, "-c", script, str(tmp_path)]
    assert subprocess.run(run, capture_output=True, text=True, check=True, env=env).stdout.strip() == ""
