"""Pickles that a trainer keeps beside the weights: judged, and not listed."""

from __future__ import annotations

import argparse
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
import safetensors.torch
import torch

from paramtui.checkpoints.registry import open_checkpoint
from tests.formats.test_broken_off import LOAD, SYSTEM, run, zipped
from tests.hostile.opcodes import NONE, POP, PROTO, STOP, call, list_of
from tests.support import run_paramtui

if TYPE_CHECKING:
    from pathlib import Path

BESIDE = ["rng_state.pth", "rng_state_3.pth", "scaler.pt", "scheduler.pt", "training_args.bin"]
LIES = "lies beside the weights and is loaded by a trainer that resumes"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A directory with weights that name nothing."""
    safetensors.torch.save_file({"w": torch.ones(2)}, tmp_path / "model.safetensors")
    return tmp_path


def warned(folder: Path) -> list[tuple[str, str, str]]:
    return [
        (words.rule, words.where, words)  # type: ignore[attr-defined]
        for words in open_checkpoint(str(folder)).listing.warnings
    ]


def test_each_file_that_runs_code_is_a_finding_of_its_own(folder: Path) -> None:
    for name in BESIDE:
        (folder / name).write_bytes(zipped(PROTO + run(f"touch {folder / name}.ran") + STOP))
    assert warned(folder) == [
        ("runs-code", name, f"{name} {LIES}: it runs code by {SYSTEM}") for name in BESIDE
    ]
    done = run_paramtui("check", str(folder))
    assert done.returncode == 1
    lines = done.stdout.decode().splitlines()
    assert [line.split()[2] for line in lines if line.startswith("error    runs-code")] == BESIDE
    assert open_checkpoint(str(folder)).listing.names == ["w"]
    assert list(folder.glob("*.ran")) == []
    paths = [str(folder / name) for name in BESIDE]
    subprocess.run([sys.executable, "-c", LOAD, *paths], check=True, timeout=120)
    assert len(list(folder.glob("*.ran"))) == len(BESIDE)


def test_what_trainers_save_is_no_finding(folder: Path) -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.ones(2))], lr=0.1)
    scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 2)
    torch.save(argparse.Namespace(lr=0.1), folder / "training_args.bin")
    torch.save(scheduler.state_dict(), folder / "scheduler.pt")
    torch.save({"numpy": np.random.get_state(), "cpu": torch.get_rng_state()}, folder / "rng_state.pth")
    assert warned(folder) == []


def test_what_breaks_off_is_said_to_name_more_perhaps(folder: Path) -> None:
    (folder / "scaler.pt").write_bytes(zipped(PROTO + run("true") + POP + b"\xff"))
    (folder / "scheduler.pt").mkdir()
    first, second, third = warned(folder)
    assert first[:2] == ("unreadable-pickle", "scaler.pt")
    assert f"{LIES}, and may name more than is told: byte 0xff at " in first[2]
    assert second == ("runs-code", "scaler.pt", f"scaler.pt {LIES}: it runs code by {SYSTEM}")
    assert third[:2] == ("unreadable-pickle", "scheduler.pt")


def test_what_is_unusual_is_told_apart_and_many_names_are_counted(folder: Path) -> None:
    calls = [call("mine", f"f{place}") for place in range(5)]
    (folder / "training_args.bin").write_bytes(zipped(PROTO + list_of(*calls) + STOP))
    words = f"training_args.bin {LIES}: not usual in checkpoints are mine.f0, mine.f1, mine.f2 and 2 more"
    assert warned(folder) == [("unusual-global", "training_args.bin", words)]


def test_one_that_is_itself_what_is_opened_is_judged_once(tmp_path: Path) -> None:
    (tmp_path / "scheduler.pt").write_bytes(zipped(PROTO + NONE + STOP))
    (tmp_path / "notes.txt").write_text("")
    source = open_checkpoint(str(tmp_path))
    assert source.listing.target == str(tmp_path / "scheduler.pt")
    assert warned(tmp_path) == []
