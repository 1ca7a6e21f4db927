"""What fails or is stopped half-way leaves no trace: every bit, object and setting is as it was."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from paramtui.core.edits import Call, Initialise, SetCells, Step
from paramtui.errors import EditError, NoRoomError, RunStoppedError, UserCodeError
from tests.models.mischief import DEEDS, bits, function, hosted, numbers_of, told_of

MODULES = 5  # of the model, in the order of apply: three layers, an activation, two sequences


@pytest.mark.parametrize("deed", DEEDS)
def test_a_function_that_fails_at_any_module_leaves_no_trace(tmp_path: Path, deed: str) -> None:
    host, net, code = hosted(tmp_path)
    name = f"deed_{list(DEEDS).index(deed)}"
    before = told_of(net)
    for at in range(MODULES + 1):
        for end in ("raise", "exit", "stop"):
            with pytest.raises((UserCodeError, RunStoppedError)) as caught:
                host.apply(function(host, name, at=at, end=end))
            if end == "raise" and "half-way" in str(caught.value):
                assert "mischief_of_tests.py" in str(caught.value)
            assert told_of(net) == before
            code.COUNT = 0
    assert not host.editor._done
    # What is good works afterwards as if nothing had been.
    wanted = [torch.empty(4, 4), torch.empty(4)]
    with torch.random.fork_rng():
        torch.manual_seed(5)
        nn.init.normal_(wanted[0])
        wanted[1].uniform_()
    host.apply(function(host, "good", block="2.0"))
    assert [bits(each) for each in wanted] == [bits(each) for each in net[2][0].parameters()]
    host.undo()
    assert told_of(net) == before


# What is more than other numbers is refused when all is done, too; some comes down to numbers.
NUMBERS_ALONE = {
    "numbers", "replaced data", "storage", "gradient", "no gradient", "frozen", "attribute", "container",
    "mode", "numpy", "numpy storage", "others", "hooks", "tagged", "settings", "threads", "random",
    "exchanged",
}  # fmt: skip


@pytest.mark.parametrize("deed", DEEDS)
def test_a_function_that_ends_well_may_have_changed_numbers_and_nothing_else(
    tmp_path: Path, deed: str
) -> None:
    host, net, _ = hosted(tmp_path)
    before = told_of(net)
    edit = function(host, f"deed_{list(DEEDS).index(deed)}", at=99)
    if deed in NUMBERS_ALONE:
        host.apply(edit)
        after = told_of(net)
        assert [each[:-1] for each in after[7:]] == [each[:-1] for each in before[7:]]
        host.undo()
    else:
        with pytest.raises((EditError, UserCodeError)) as caught:
            host.apply(edit)
        assert "does more than give values" in str(caught.value) or "failed" in str(caught.value)
    assert told_of(net) == before


def test_layers_that_exchange_their_memory_exchange_their_numbers(tmp_path: Path) -> None:
    host, net, _ = hosted(tmp_path)
    first, second = (bits(net[0].weight), bits(net[2][0].weight))
    host.apply(function(host, f"deed_{list(DEEDS).index('exchanged')}", block="0", at=99))
    assert (bits(net[0].weight), bits(net[2][0].weight)) == (second, first)


@pytest.mark.parametrize(
    "body", ["tensor.zero_(); raise ValueError", "tensor.untyped_storage().fill_(1); 1 / 0"]
)
def test_a_function_of_a_tensor_that_fails_leaves_no_trace_in_all_of_its_memory(
    tmp_path: Path, body: str
) -> None:
    host, net, code = hosted(tmp_path)
    source = tmp_path / "of_tensors.py"
    source.write_text(f"def bad(tensor):\n    {body}\n")
    host.editor._initializers._customs._files.append(str(source))
    before = told_of(net)
    call = Call("bad", (), str(source))
    with pytest.raises(UserCodeError, match="bad failed"):
        host.apply(Initialise((Step("0.bias", Call("zeros_")), Step("part", call)), 0))
    assert told_of(net) == before


def test_an_initialiser_that_fails_at_a_later_tensor_leaves_the_earlier_ones(tmp_path: Path) -> None:
    host, net, _ = hosted(tmp_path)
    before = told_of(net)
    steps = (Step("0.weight", Call("zeros_")), Step("0.bias", Call("xavier_uniform_")))
    with pytest.raises(UserCodeError, match="Fan in and fan out"):
        host.apply(Initialise(steps, 0))
    assert told_of(net) == before


def test_without_room_nothing_is_changed_and_without_undo_it_is_done_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host, net, _ = hosted(tmp_path)
    net.register_buffer("large", torch.rand(200, 200))
    host._list()
    change = SetCells("large", "", "=", 2.0)
    before = told_of(net)
    host.apply(SetCells("0.bias", "0", "=", 1.0))
    host.undo()

    def full(*_: object) -> int:
        raise OSError(28, "No space left on device")

    places = {
        "paramtui.models.snapshots.shutil.disk_usage": lambda _: SimpleNamespace(free=100),
        "paramtui.models.spool.os.pwrite": full,
    }
    for place, put in places.items():
        with monkeypatch.context() as patch:
            patch.setattr(place, put)
            for edit in (change, function(host, "good")):
                with pytest.raises(NoRoomError) as caught:
                    host.apply(edit)
                assert caught.value.needed >= 160_000
                with pytest.raises(NoRoomError):
                    host.preview(edit, None, ())
                assert told_of(net) == before
            # A few bytes need no room.
            host.apply(SetCells("0.bias", "0", "=", 4.0))
            outcome = host.apply(change, without_undo=True)
        assert outcome.digest
        assert net.large.unique().tolist() == [2.0]
        for _ in range(2):
            with pytest.raises(EditError, match="was not kept"):
                host.undo()
        # Edits after it can be taken back.
        host.apply(SetCells("large", "0", "=", 7.0))
        host.undo()
        assert net.large.unique().tolist() == [2.0]
        host, net, _ = hosted(tmp_path)
        net.register_buffer("large", torch.rand(200, 200))
        host._list()
        before = told_of(net)


def test_what_fails_without_undo_says_that_it_is_half_done(tmp_path: Path) -> None:
    host, net, _ = hosted(tmp_path)
    name = f"deed_{list(DEEDS).index('numbers')}"
    with pytest.raises(UserCodeError, match="was not kept"):
        host.apply(function(host, name, at=2), without_undo=True)
    with pytest.raises(RunStoppedError, match="was not kept"):
        host.apply(function(host, name, at=2, end="stop"), without_undo=True)


def test_undo_that_cannot_be_carried_out_whole_is_not_carried_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    host, net, _ = hosted(tmp_path)
    net.register_buffer("large", torch.rand(200, 200))
    net.register_buffer("other", torch.rand(200, 200))
    host._list()
    before = numbers_of(net)
    host.apply(Initialise((Step("large", Call("zeros_")), Step("other", Call("ones_"))), 0))
    after = numbers_of(net)
    write, count = os.pwrite, 0

    def failing(*arguments: Any) -> int:
        nonlocal count
        count += 1
        if count == 2:
            raise OSError(5, "Input/output error")
        return write(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr("paramtui.models.spool.os.pwrite", failing)
        with pytest.raises(EditError, match="Input/output error"):
            host.undo()
    assert numbers_of(net) == after
    host.undo()
    assert numbers_of(net) == before


def test_memory_that_was_kept_and_saved_can_be_given_another_size_by_its_owner(tmp_path: Path) -> None:
    host, net, _ = hosted(tmp_path)
    host.apply(SetCells("0.bias", "", "=", 1.0))
    host.apply(function(host, "good"))
    host.undo()
    host.save(str(tmp_path / "saved.pt"), over=False, progress=None)
    for tensor in net.state_dict().values():
        assert tensor.untyped_storage().resizable()


def test_undo_says_when_the_tensors_were_replaced_by_others(tmp_path: Path) -> None:
    host, net, _ = hosted(tmp_path)
    host.apply(SetCells("0.bias", "", "=", 1.0))
    net[0].bias.data = torch.rand(4)
    with pytest.raises(EditError, match="replaced"):
        host.undo()


def test_hundreds_of_changes_need_no_file_each(tmp_path: Path) -> None:
    import os

    host, net, _ = hosted(tmp_path)
    before, files = numbers_of(net), len(os.listdir("/proc/self/fd"))
    for step in range(300):
        host.apply(SetCells("0.bias", str(step % 4), "=", float(step)))
    assert len(os.listdir("/proc/self/fd")) < files + 10
    for _ in range(300):
        host.undo()
    assert numbers_of(net) == before


def test_autograd_hears_of_changes_and_not_of_previews(tmp_path: Path) -> None:
    host, net, _ = hosted(tmp_path)
    weight = net[2][0].weight
    steps = Initialise((Step("2.0.weight", Call("zeros_")),), 0)

    def loss() -> Any:
        return net[0](torch.rand(3, 4, requires_grad=True)).matmul(weight).sum()

    for edit in (steps, SetCells("2.0.weight", "", "=", 1.0)):
        waiting = loss()
        host.preview(edit, None, ())
        waiting.backward()
        for change in (lambda edit=edit: host.apply(edit), host.undo, host.redo):
            waiting = loss()
            change()
            with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                waiting.backward()
