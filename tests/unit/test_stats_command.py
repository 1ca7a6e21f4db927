"""``paramtui stats``: its JSON and its table, against torch."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from paramtui.cli import main
from paramtui.core.statistics import QUANTILES


def saved(path: Path) -> dict[str, torch.Tensor]:
    torch.manual_seed(3)
    tensors = {
        "layer.weight": torch.randn(300, 400),
        "layer.bias": torch.zeros(8),
        "odd": torch.tensor([1.0, float("nan"), float("inf"), -float("inf"), 3.0]),
        "step": torch.tensor([2**62, -5]),
        "empty": torch.zeros(0, 4),
    }
    torch.save(tensors, path)
    return tensors


def found_in(text: str) -> dict[str, dict[str, object]]:
    def strict(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    entries = json.loads(text, parse_constant=strict)["tensors"]
    return {entry["name"]: entry for entry in entries}


def test_json_has_the_figures_that_torch_gives(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tensors = saved(tmp_path / "m.pt")
    assert main(["stats", str(tmp_path / "m.pt"), "--json", "--exact"]) == 0
    found = found_in(capsys.readouterr().out)
    assert list(found) == list(tensors)
    weight, wide = found["layer.weight"], tensors["layer.weight"].double()
    assert weight["numel"] == 120_000
    for name, value in {
        "min": wide.min(),
        "max": wide.max(),
        "mean": wide.mean(),
        "std": wide.std(),
        "l1": wide.abs().sum(),
        "l2": wide.norm(),
        "abs_max": wide.abs().max(),
    }.items():
        assert weight[name] == pytest.approx(value.item(), rel=1e-9)
    assert weight["quantile_error"] == 0
    expected = torch.quantile(wide.flatten(), torch.tensor(QUANTILES, dtype=torch.float64)).tolist()
    quantiles = weight["quantiles"]
    assert isinstance(quantiles, dict)
    assert list(quantiles) == ["0.01", "0.05", "0.25", "0.5", "0.75", "0.95", "0.99"]
    assert list(quantiles.values()) == pytest.approx(expected, rel=1e-12)
    histogram = weight["histogram"]
    assert isinstance(histogram, dict)
    assert sum(histogram["counts"]) == 120_000
    assert len(histogram["edges"]) == len(histogram["counts"]) + 1
    odd = found["odd"]
    assert (odd["nan"], odd["posinf"], odd["neginf"], odd["inf"]) == (1, 1, 1, 2)
    assert (odd["min"], odd["max"], odd["mean"]) == (1.0, 3.0, 2.0)
    assert (found["step"]["min"], found["step"]["max"]) == (-5, 2**62)
    assert found["layer.bias"]["zero"] == 8
    assert (found["empty"]["mean"], found["empty"]["quantiles"], found["empty"]["histogram"]) == (None,) * 3


def test_the_table_tells_what_is_remarkable_and_sorts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(tmp_path / "m.pt")
    assert main(["stats", str(tmp_path / "m.pt"), "--sort", "zero"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].startswith("layer.bias") and lines[1].endswith("all zero")
    (odd,) = [line for line in lines if line.startswith("odd")]
    assert odd.endswith("NaN 1  Inf 2")
    assert lines[-1] == "5 tensors  120 K elements  1 with NaN  1 with infinities  1 all zero"


def test_patterns_choose_tensors_and_a_wrong_one_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(tmp_path / "m.pt")
    assert main(["stats", str(tmp_path / "m.pt"), "*.bias", "--json"]) == 0
    assert list(found_in(capsys.readouterr().out)) == ["layer.bias"]
    assert main(["stats", str(tmp_path / "m.pt"), "nothing", "--json"]) == 2
    written = capsys.readouterr()
    assert written.out == ""
    assert "no name matches nothing" in written.err


def test_a_tensor_that_cannot_be_read_is_told_with_its_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save({"meta": torch.empty(3, device="meta"), "one": torch.ones(3)}, tmp_path / "m.pt")
    assert main(["stats", str(tmp_path / "m.pt"), "--json"]) == 0
    found = found_in(capsys.readouterr().out)
    assert found["one"]["mean"] == 1.0
    assert found["meta"]["mean"] is None
    assert found["meta"]["problem"]
    assert main(["stats", str(tmp_path / "m.pt"), "meta"]) == 2
