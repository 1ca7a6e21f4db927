"""Every way in which a file is saved, each with small files of its own to save."""

from __future__ import annotations

import io
import json
import os
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from paramtui.checkpoints.edit_results import View
from paramtui.checkpoints.files import RandomFile
from paramtui.checkpoints.registry import open_checkpoint
from paramtui.checkpoints.saving import Edited, save
from paramtui.checkpoints.splicing import Patch, spliced
from paramtui.checkpoints.writing import FileJob, identity_of, write_files
from paramtui.core.overlay import Overlay
from paramtui.models.saving import save_model

if TYPE_CHECKING:
    from paramtui.core.overlay import State

NUMBER = 7.0
"""What the first number of each edited tensor becomes."""


class Saved(NamedTuple):
    """What a writer says: whether the disk confirmed all, and what a person should know."""

    durable: bool
    notes: str


class Writer(NamedTuple):
    """Something to be saved.

    Attributes:
        paths: The files, in the order in which they take their places.
        save: Saves them.
        right: Whether what lies there is what should have been saved, by torch and safetensors.
        close: Lets go of what is open.
    """

    paths: list[Path]
    save: Callable[[], Saved]
    right: Callable[[], bool]
    close: Callable[[], None] = lambda: None


# Jobs as `write_files` takes them


def _archive(changed: bytes) -> bytes:
    """An archive of one record, so that its checksum has to be patched, too."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo("x"), changed * 50_000 + b"same" * 50_000)
    return out.getvalue()


OLD, NEW = _archive(b"old"), _archive(b"new")


def _patched(path: Path, source: Path) -> FileJob:
    """A job that makes NEW of a file that holds OLD, by reading it and changing most of it."""
    with RandomFile(str(source)) as file:
        first = NEW.index(b"new")
        second = first + 75_000
        patches = [
            Patch(first, 75_000, lambda begin, nbytes: NEW[first + begin : first + begin + nbytes]),
            Patch(second, 75_000, lambda begin, nbytes: NEW[second + begin : second + begin + nbytes]),
        ]
        write = spliced(file, patches)
    replaces = identity_of(str(path)) if path == source else None
    return FileJob(str(path), len(NEW), write, replaces, str(source))


def _old(path: Path) -> Path:
    path.write_bytes(OLD)
    path.chmod(0o640)
    if os.geteuid() == 0:
        os.chown(path, 4321, 4322)
    with suppress(AttributeError, OSError):
        os.setxattr(path, "user.kept", b"1")
    return path


def _jobs(paths: list[Path], jobs: Sequence[FileJob]) -> Writer:
    def run() -> Saved:
        written = write_files(jobs)
        return Saved(written.durable, "; ".join(written.notes))

    return Writer(paths, run, lambda: all(path.read_bytes() == NEW for path in paths))


def over_one(folder: Path) -> Writer:
    """One old file is replaced."""
    path = _old(folder / "a")
    return _jobs([path], [_patched(path, path)])


def to_a_new_name(folder: Path) -> Writer:
    """One file is made that was not there."""
    source = folder / "source" / "a"
    source.parent.mkdir()
    return _jobs([folder / "a"], [_patched(folder / "a", _old(source))])


def over_three(folder: Path) -> Writer:
    """A set: two old files are replaced and one is new."""
    paths = [_old(folder / "a"), _old(folder / "b"), folder / "c"]
    jobs = [_patched(path, path) for path in paths[:2]]
    return _jobs(paths, [*jobs, _patched(paths[2], paths[0])])


# Edited checkpoints


def _tensors() -> dict[str, torch.Tensor]:
    return {"a": torch.arange(600.0), "b": torch.ones(40, dtype=torch.float64), "c": torch.zeros(3)}


def _loaded(path: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_file(path) if path.suffix == ".safetensors" else torch.load(path)
    return found


def _edited(target: Path, out: Path, paths: list[Path], *, over: bool) -> Writer:
    """Saves a checkpoint of `_tensors` whose first numbers are changed."""
    source = open_checkpoint(str(target))
    overlay = Overlay(source)
    listing = source.listing
    state: State = {}
    for tensor in range(len(listing)):
        raw = torch.tensor(NUMBER, dtype=getattr(torch, listing.dtype[tensor])).numpy().tobytes()
        place = listing.geometry(tensor)
        file, position = overlay._append(raw)
        piece = (place.begin, place.begin + len(raw), file, position)
        state = overlay.with_pieces(state, place.location, [piece])

    def run() -> Saved:
        saved = save(Edited(source, View(source, overlay, state), state), str(out), over=over)
        return Saved(saved.durable, saved.said)

    def right() -> bool:
        wanted = _tensors()
        for tensor in wanted.values():
            tensor[0] = NUMBER
        found = {name: t for path in paths if path.suffix != ".json" for name, t in _loaded(path).items()}
        return found.keys() == wanted.keys() and all(
            torch.equal(found[name], wanted[name]) for name in wanted
        )

    def close() -> None:
        source.close()
        overlay.close()

    return Writer(paths, run, right, close)


def safetensors_over_itself(folder: Path) -> Writer:
    """A safetensors file with changed bytes in place."""
    path = folder / "x.safetensors"
    save_file(_tensors(), path)
    return _edited(path, path, [path], over=True)


def torch_over_itself(folder: Path) -> Writer:
    """An archive with changed bytes and checksums in place."""
    path = folder / "x.pt"
    torch.save(_tensors(), path)
    return _edited(path, path, [path], over=True)


def torch_beside(folder: Path) -> Writer:
    """A copy of one with changed bytes."""
    torch.save(_tensors(), folder / "x.pt")
    return _edited(folder / "x.pt", folder / "out.pt", [folder / "out.pt"], over=False)


def legacy_over_itself(folder: Path) -> Writer:
    """The format before archives."""
    path = folder / "x.pt"
    path.write_bytes(_legacy())
    return _edited(path, path, [path], over=True)


@cache
def _legacy() -> bytes:
    """Made once: it holds addresses."""
    out = io.BytesIO()
    torch.save(_tensors(), out, _use_new_zipfile_serialization=False)
    return out.getvalue()


def _shards(folder: Path) -> list[Path]:
    folder.mkdir()
    tensors = _tensors()
    names = {"m-00001-of-00002.safetensors": ("a",), "m-00002-of-00002.safetensors": ("b", "c")}
    for name, held in names.items():
        save_file({key: tensors[key] for key in held}, folder / name)
    index = {key: name for name, held in names.items() for key in held}
    (folder / "m.safetensors.index.json").write_text(json.dumps({"weight_map": index}))
    return [folder / name for name in names]


def shards_over_themselves(folder: Path) -> Writer:
    """Two files of a set."""
    paths = _shards(folder / "set")
    return _edited(folder / "set", folder / "set", paths, over=True)


def shards_elsewhere(folder: Path) -> Writer:
    """A set in a directory that is made for it; its index comes last."""
    names = [path.name for path in _shards(folder / "set")] + ["m.safetensors.index.json"]
    return _edited(folder / "set", folder / "new", [folder / "new" / name for name in names], over=False)


def converted_to_torch(folder: Path) -> Writer:
    """An archive made from the tensors of another format, over another file."""
    save_file(_tensors(), folder / "x.safetensors")
    (folder / "out.pt").write_bytes(b"other")
    return _edited(folder / "x.safetensors", folder / "out.pt", [folder / "out.pt"], over=True)


def converted_to_safetensors(folder: Path) -> Writer:
    """The other way, to a new name."""
    torch.save(_tensors(), folder / "x.pt")
    return _edited(folder / "x.pt", folder / "out.safetensors", [folder / "out.safetensors"], over=False)


# Live models


def _model(path: Path, *, over: bool) -> Writer:
    torch.manual_seed(1)
    model = nn.Sequential(nn.Linear(5, 4), nn.BatchNorm1d(4))
    if over:
        path.write_bytes(b"other")

    def run() -> Saved:
        saved = save_model(model, str(path), over=over)
        return Saved(saved.durable, saved.said)

    def right() -> bool:
        found, wanted = _loaded(path), model.state_dict()
        return found.keys() == wanted.keys() and all(
            torch.equal(found[name], wanted[name]) for name in wanted
        )

    return Writer([path], run, right)


def model_as_torch(folder: Path) -> Writer:
    """The state dict of a live model, over another file."""
    return _model(folder / "out.pt", over=True)


def model_as_safetensors(folder: Path) -> Writer:
    """The same to a new name."""
    return _model(folder / "out.safetensors", over=False)


Maker = Callable[[Path], Writer]
JOBS: tuple[Maker, ...] = (over_one, to_a_new_name, over_three)
CHECKPOINTS: tuple[Maker, ...] = (
    safetensors_over_itself,
    torch_over_itself,
    torch_beside,
    legacy_over_itself,
    shards_over_themselves,
    shards_elsewhere,
    converted_to_torch,
    converted_to_safetensors,
)
MODELS: tuple[Maker, ...] = (model_as_torch, model_as_safetensors)
WRITERS = (*JOBS, *CHECKPOINTS, *MODELS)
