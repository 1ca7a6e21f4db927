"""``paramtui init`` and ``paramtui replay`` as commands: what they save, say, and refuse."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from paramtui.commands.init import Wanted, initialise
from paramtui.core.edits import Call, Initialise, SetCells, Step, parse_call
from paramtui.core.journal import Head, journal_json, read_journal
from paramtui.errors import EditError, NameLookupError, ParamtuiError, UsageError
from tests.editing.checkpoints import SharedComputer, Tensors, all_bits, all_shown, loaded, network, opened
from tests.support import good, refused, run_paramtui


def saved_network(folder: Path) -> Path:
    path = folder / "net.pt"
    torch.save({"model": network().state_dict(), "step": 3}, path)
    return path


def wanted(initializer: str, **options: Any) -> Wanted:
    return Wanted(
        initializer,
        options.get("biases"),
        options.get("block", ""),
        options.get("only", ""),
        options.get("layer", ""),
        options.get("part", "all"),
        options.get("seed", 5),
    )


def test_init_saves_what_torch_gives_for_named_parameters(tmp_path: Path) -> None:
    path = saved_network(tmp_path)
    out = tmp_path / "out.pt"
    words = (
        "init",
        str(path),
        "normal_(std=0.5)",
        "--biases",
        "constant_(0.25)",
        "--seed",
        "9",
        "-o",
        str(out),
    )
    told = json.loads(good(*words, "--json"), parse_constant=pytest.fail)
    net = network()
    torch.manual_seed(9)
    for name, parameter in net.named_parameters():
        nn.init.constant_(parameter, 0.25) if name.endswith("bias") else nn.init.normal_(parameter, std=0.5)
    expected = {f"model.{name}": tensor for name, tensor in net.state_dict().items()}
    assert all_bits(loaded(out)) == all_bits(expected)
    assert torch.load(out)["step"] == 3
    assert told["changed"] == [f"model.{name}" for name, _ in net.named_parameters(remove_duplicate=False)]
    assert {entry["name"]: entry["reason"] for entry in told["left"]} == {
        f"model.bn.{name}": "not a parameter but a buffer"
        for name in ("running_mean", "running_var", "num_batches_tracked")
    }
    assert told["saved"] == [str(out)]
    assert told["nbytes"] == out.stat().st_size
    assert told["seed"] == 9
    assert len(told["digest"]) == 32


def test_a_function_of_modules_is_applied_to_the_layers_of_a_block(tmp_path: Path) -> None:
    path = saved_network(tmp_path)
    out = tmp_path / "out.pt"
    said = good("init", str(path), "reset_parameters", "--block", "model.conv", "--seed", "4", "-o", str(out))
    assert said.startswith("model.conv.apply(reset_parameters()), seed 4")
    net = network()
    torch.manual_seed(4)
    net.conv.reset_parameters()
    assert all_bits(loaded(out)) == all_bits({f"model.{k}": v for k, v in net.state_dict().items()})


CHOICES: tuple[tuple[dict[str, Any], Any], ...] = (
    ({"only": "*.fc1.*"}, lambda name: "fc1" in name),
    ({"only": "*weight", "part": "weights"}, lambda name: name.endswith("weight")),
    ({"part": "biases"}, lambda name: name.endswith("bias")),
    ({"part": "weights"}, lambda name: name.endswith("weight")),
    ({"layer": "Conv2d"}, lambda name: "conv." in name),
    (
        {"layer": "nn.Linear", "part": "weights"},
        lambda name: name in ("model.fc1.weight", "model.lm_head.weight"),
    ),
    ({"block": "model.bn"}, lambda name: name in ("model.bn.weight", "model.bn.bias")),
    ({"block": "model.bn.running_var"}, lambda name: name == "model.bn.running_var"),
    ({"block": "model", "biases": "leave"}, lambda name: name.endswith("weight")),
    ({"block": '["model", "fc1.weight"]'}, lambda name: name == "model.fc1.weight"),
)


@pytest.mark.parametrize(("options", "meant"), CHOICES, ids=[str(options) for options, _ in CHOICES])
def test_what_is_meant_changes_and_nothing_else(
    options: dict[str, Any], meant: Any, tmp_path: Path, computer: SharedComputer
) -> None:
    path = saved_network(tmp_path)
    editor = opened(path, computer)
    made = asyncio.run(initialise(editor, wanted("uniform_(2, b=3.0)", **options)))
    tensors = loaded(path)
    torch.manual_seed(5)
    seen: set[int] = set()
    for name, tensor in tensors.items():
        trained = not any(part in name for part in ("running", "tracked")) or "block" in options
        if meant(name) and trained and tensor.data_ptr() not in seen:
            seen.add(tensor.data_ptr())
            nn.init.uniform_(tensor, 2, 3)
    assert all_shown(editor) == all_bits(tensors)
    names = editor.listing.names
    tied = {"model.embed_tokens.weight", "model.lm_head.weight"}
    changed = {names[tensor] for tensor in made.changed}
    chosen = {name for name in names if meant(name)} - {names[tensor] for tensor, _ in made.left}
    assert changed == (chosen | tied if chosen & tied else chosen)


REFUSED: tuple[tuple[str, dict[str, Any], str], ...] = (
    ("xavier_uniform_", {}, r"4 of 7 tensors cannot take it.*fc1\.bias.*fewer than 2 dimensions"),
    ("normal_", {"block": "model.bn.num_batches_tracked"}, r"cannot do int64 of 0 dimensions"),
    ("normal_(std=-1)", {}, "cannot take it"),
    ("normal_(mean='a')", {}, "mean of normal_ is a number, not 'a'"),
    ("normal_(1, 2, 3)", {}, "takes 2 arguments besides the tensor, not 3"),
    ("normal_(1, mean=2)", {}, "is given mean twice"),
    ("normal_(speed=2)", {}, r"takes no argument speed \(it takes mean, std\)"),
    ("constant_", {}, r"constant_ needs val \(write constant_\(val=\.\.\.\)\)"),
    ("kaiming_normal_(mode='fan_up')", {}, "one of fan_in, fan_out"),
    ("nrmal_", {}, r"no initialiser nrmal_ \(did you mean normal_"),
    ("zeros_", {"only": "*.nothing"}, "nothing there can be initialised"),
    ("zeros_", {"layer": "LSTM"}, "nothing there can be initialised"),
    ("zeros_", {"block": "model.fc9"}, "no blocks or tensors are named model.fc9"),
    ("zeros_", {"biases": "reset_parameters"}, "a function of modules: biases alone"),
    ("reset_parameters", {"only": "*"}, "decides for itself"),
    ("reset_parameters", {"block": "model.fc9"}, "no blocks or tensors are named"),
)


@pytest.mark.parametrize(("initializer", "options", "words"), REFUSED, ids=str)
def test_what_cannot_be_done_is_said_and_nothing_is_changed(
    initializer: str, options: dict[str, Any], words: str, tmp_path: Path, computer: SharedComputer
) -> None:
    editor = opened(saved_network(tmp_path), computer)
    with pytest.raises((EditError, NameLookupError, UsageError), match=words):
        asyncio.run(initialise(editor, wanted(initializer, **options)))
    assert editor.history.done == []
    assert editor.state == {}


EVIL = (
    '__import__("os").system("touch {}")',
    'normal_(std=__import__("os").system("touch {}"))',
    'normal_(std=(lambda: open("{}", "w"))())',
    "normal_(std=x)",
    "normal_(**{{'std': 1}})",
    "normal_(*[1])",
    "normal_(std=1 if 1 else 2)",
    "normal_(std=2**9)",
    "nn.init.normal_.__globals__",
    "[normal_][0]()",
    "lambda t: t",
    "",
    "()",
    "normal_(std=1) or zeros_()",
    "normal_(std={{'a': open}})",
    "(" * 5000,
    "normal_(std=" + "-" * 9000 + "1)",
    "normal_(std=" + "[" * 3000 + "]" * 3000 + ")",
    "normal_(std=0x" + "f" * 5000 + ")",
    "normal_(std=" + "9" * 5000 + ")",
    "x" * 10_001,
    "normal_(std='\ud800')",
    "normal_\0",
)


@pytest.mark.parametrize("text", EVIL, ids=range(len(EVIL)))
def test_an_initialiser_is_read_and_never_evaluated(
    text: str, tmp_path: Path, computer: SharedComputer
) -> None:
    touched = tmp_path / "touched"
    editor = opened(saved_network(tmp_path), computer)
    with pytest.raises((EditError, UsageError)):
        asyncio.run(initialise(editor, wanted(text.format(touched) if "{" in text else text)))
    assert not touched.exists()
    assert editor.state == {}


def test_one_line_is_said_and_nothing_is_written_when_it_cannot_be(tmp_path: Path) -> None:
    path = saved_network(tmp_path)
    out = tmp_path / "out.pt"
    init = ("init", str(path))
    before = sorted(tmp_path.iterdir())
    assert "needs -o" in refused(*init, "zeros_") or "-o/--output" in refused(*init, "zeros_")
    assert "does not exist" in refused(*init, "zeros_", "-o", str(tmp_path / "no" / "out.pt"))
    assert "no initialiser" in refused(*init, '__import__("os")', "-o", str(out))
    assert "cannot take it" in refused(*init, "xavier_normal_", "-o", str(out), "--json")
    assert "more than tensors (step)" in refused(*init, "zeros_", "-o", str(tmp_path / "out.safetensors"))
    out.write_bytes(b"mine")
    assert "exists already" in refused(*init, "zeros_", "-o", str(out))
    assert out.read_bytes() == b"mine"
    out.unlink()
    assert sorted(tmp_path.iterdir()) == before


def test_force_replaces_another_file_and_the_target_itself(tmp_path: Path) -> None:
    path = saved_network(tmp_path)
    out = tmp_path / "out.pt"
    out.write_bytes(b"mine")
    good("init", str(path), "zeros_", "--part", "biases", "-o", str(out), "--force")
    good("init", str(path), "zeros_", "--part", "biases", "-o", str(path), "--force")
    tensors = loaded(path)
    assert not any(tensor.any() for name, tensor in tensors.items() if name.endswith("bias"))
    assert all_bits(tensors) == all_bits(loaded(out))
    assert sorted(found.name for found in tmp_path.iterdir()) == ["net.pt", "out.pt"]


# Replaying


EDITS = (
    SetCells("model.fc1.weight", "0, :", "=", float("nan")),
    SetCells("model.fc1.weight", "1:, ::2", "*=", -2),
    Initialise((Step("model.conv.weight", Call("normal_", (("std", 0.5),))),), 12),
    SetCells("model.bn.num_batches_tracked", "", "=", (1 << 63) - 1),
)


def edited(path: Path, computer: SharedComputer) -> tuple[Tensors, str]:
    """The tensors after the edits, and the journal of them."""
    editor = opened(path, computer)

    async def work() -> None:
        for edit in EDITS:
            await editor.apply(edit)

    asyncio.run(work())
    head = Head(str(path), (), "", tuple(computer.catalogue().environment.items()))
    asyncio.run(editor.save(str(path.with_name("edited.pt")), over=False, progress=lambda *_: None))
    return loaded(path.with_name("edited.pt")), journal_json(head, editor.history.done)


def test_a_journal_gives_the_same_bits_again(tmp_path: Path, computer: SharedComputer) -> None:
    path = saved_network(tmp_path)
    tensors, journal = edited(path, computer)
    written = tmp_path / "changes.json"
    written.write_text(journal)
    assert [change.edit for change in read_journal(str(written)).changes[1:]] == list(EDITS[1:])
    out = tmp_path / "again.pt"
    told = json.loads(good("replay", str(written), str(path), "-o", str(out), "--json"))
    assert (told["changes"], told["different"], told["saved"]) == (4, [], [str(out)])
    assert all_bits(loaded(out)) == all_bits(tensors)


def test_a_journal_that_gave_other_bits_is_a_finding(tmp_path: Path, computer: SharedComputer) -> None:
    path = saved_network(tmp_path)
    tensors, journal = edited(path, computer)
    plain = json.loads(journal)
    plain["changes"][2]["digest"] = "0" * 32
    plain["environment"]["torch"] = "1.0"
    written = tmp_path / "changes.json"
    written.write_text(json.dumps(plain))
    out = tmp_path / "again.pt"
    done = run_paramtui("replay", str(written), str(path), "-o", str(out))
    assert done.returncode == 1
    warnings = done.stderr.decode().splitlines()
    assert "change 3 (normal_(std=0.5) on model.conv.weight, seed 12) gives other numbers" in warnings[0]
    assert f"torch was 1.0, is {torch.__version__}" in warnings[1]
    assert len(warnings) == 2
    assert done.stdout.startswith(b"4 changes made again\n")
    assert all_bits(loaded(out)) == all_bits(tensors)


def test_a_change_that_cannot_be_made_again_is_named(tmp_path: Path, computer: SharedComputer) -> None:
    path = saved_network(tmp_path)
    _, journal = edited(path, computer)
    other = tmp_path / "other.safetensors"
    save_file({"model.fc1.weight": torch.zeros(2, 2)}, other)
    written = tmp_path / "changes.json"
    out = tmp_path / "again.safetensors"
    written.write_text(journal)
    words = refused("replay", str(written), str(other), "-o", str(out))
    assert "change 3" in words
    assert "no tensor is named model.conv.weight" in words
    written.write_text(journal.replace('"0, :"', '"5, :"'))
    assert "change 1 (model.fc1.weight[5, :]" in refused("replay", str(written), str(other), "-o", str(out))
    written.write_text(journal[:-40])
    assert "is damaged" in refused("replay", str(written), str(other), "-o", str(out))
    assert not out.exists()
    assert load_file(other)["model.fc1.weight"].tolist() == [[0, 0], [0, 0]]


def test_arguments_come_back_as_they_were_written() -> None:
    text = "f(a=[float('inf'), -inf], b=(float('nan'),), c={'k': [1, (2.5, None)]}, d=-float('inf'), e=1-2j)"
    first = parse_call(text)
    call = Call(first.name, first.keywords)
    second = parse_call(call.text)
    assert repr(second.keywords) == repr(first.keywords)
    assert eval(call.text, {"f": lambda **given: repr(given)}) == repr(dict(first.keywords))
    assert dict(first.keywords)["a"] == [float("inf"), -float("inf")]


def test_an_empty_tensor_alone_in_a_file_can_be_initialised(tmp_path: Path, computer: SharedComputer) -> None:
    path = tmp_path / "empty.pt"
    torch.save({"w": torch.empty(0, 4)}, path)
    editor = opened(path, computer)
    outcome = asyncio.run(editor.apply(Initialise((Step("w", Call("zeros_")),), 0)))
    assert outcome.changed == (0,)
    with pytest.raises(ParamtuiError, match="selects nothing"):
        asyncio.run(editor.apply(SetCells("w", "", "=", 1)))
    assert os.listdir(computer.folder) == []
