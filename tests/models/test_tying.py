"""Tied and untied parameters of a live model: the very objects that plain PyTorch would put there."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from paramtui.core.edits import Edit, SetCells, Tie, Untie, edit_text
from paramtui.errors import EditError, NameLookupError, ParamtuiError, RunStoppedError
from tests.models.mischief import told_of
from tests.models.rewired import assert_is_listed, assert_same_results, hosted, named, names_of, partition


def chain() -> Any:
    """Three layers, a frozen one and buffers that overlap."""
    torch.manual_seed(1)
    net: Any = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 4))
    net[3].weight.requires_grad_(False)
    whole = torch.arange(12.0)
    net.register_buffer("whole", whole)
    net.register_buffer("part", whole[3:9].view(2, 3), persistent=False)
    net.register_buffer("even", whole[::2])
    return net


def test_a_tied_parameter_is_the_other_one_and_its_gradient_the_sum_of_both() -> None:
    net = chain()
    net[3].weight.requires_grad_()
    apart = copy.deepcopy(net)
    with torch.no_grad():
        apart[2].weight.copy_(apart[0].weight)
    by_hand = copy.deepcopy(net)
    by_hand[2].weight = by_hand[0].weight
    host = hosted(net)
    outcome = host.apply(Tie("2.weight", "0.weight"))
    assert net[2].weight is net[0].weight
    assert outcome.said == "2.weight tied to 0.weight"
    assert names_of(host, outcome.changed) == {"2.weight"}
    assert outcome.listing is host.listing
    assert [name for name, _ in net.named_parameters()][:3] == ["0.weight", "0.bias", "2.bias"]
    assert_is_listed(host, net)
    x = torch.rand(5, 4)
    assert_same_results(net, by_hand, x)
    apart(x).square().sum().backward()
    torch.testing.assert_close(net[0].weight.grad, apart[0].weight.grad + apart[2].weight.grad)
    figures = host.gradients().figures
    ids = [host.listing.names.index(name) for name in ("0.weight", "2.weight")]
    assert figures[ids[1]].owner == ids[0]
    assert figures[ids[1]].norm == pytest.approx(net[0].weight.grad.norm().item())


def test_views_of_one_memory_become_one_parameter() -> None:
    net = chain()
    net[2].weight = nn.Parameter(net[0].weight.data.t())
    net[3].weight = nn.Parameter(net[0].weight.data)
    host = hosted(net)
    assert host.listed.live.same == list(range(len(host.listing)))
    host.apply(Tie("3.weight", "0.weight"))
    host.apply(Tie("2.weight", "0.weight"))
    assert net[3].weight is net[2].weight is net[0].weight
    assert_is_listed(host, net)


def refused_of(net: Any) -> list[tuple[Edit, type[ParamtuiError], str]]:
    net[3].weight = net[0].weight
    net.wide = nn.Linear(5, 4)
    net.half = nn.Linear(4, 4).half()
    net.meta = nn.Linear(4, 4, device="meta")
    net.lazy = nn.LazyLinear(4)
    net.sparse = nn.Parameter(torch.eye(4).to_sparse())
    net.register_buffer("late", net[2].weight * 2)
    net.register_buffer("late_view", net.late[1:])
    return [
        (Tie("wide.weight", "0.weight"), EditError, r"shapes differ, \[4, 5\] and \[4, 4\]"),
        (Tie("half.weight", "0.weight"), EditError, "dtypes differ, float16 and float32"),
        (Tie("3.weight", "0.weight"), EditError, "3.weight and 0.weight are one parameter already"),
        (Tie("0.weight", "0.weight"), EditError, "are one parameter already"),
        (Tie("whole", "0.weight"), EditError, "whole: is a buffer"),
        (Tie("0.weight", "even"), EditError, "even: is a buffer"),
        (Tie("meta.weight", "0.weight"), EditError, "meta.weight: is on the meta device"),
        (Tie("0.weight", "lazy.weight"), EditError, "lazy.weight: is not initialised"),
        (Tie("sparse", "0.weight"), EditError, "sparse: a tensor of layout sparse_coo"),
        (Tie("nothing", "0.weight"), NameLookupError, "no tensor is named nothing"),
        (Untie(()), EditError, "nothing to untie"),
        (Untie(("2.weight",)), EditError, "2.weight: shares memory with nothing"),
        (Untie(("0.weight", "2.bias")), EditError, "2.bias: shares memory with nothing"),
        (Untie(("late",)), EditError, "result of a computation"),
        (Untie(("nowhere",)), NameLookupError, "nowhere"),
    ]


def test_what_cannot_be_tied_or_untied_is_refused_in_words_and_nothing_changes() -> None:
    net = chain()
    edits = refused_of(net)
    host = hosted(net)
    before, objects = partition(net), {name: id(tensor) for name, tensor in named(net).items()}
    for edit, error, words in edits:
        with pytest.raises(error, match=words):
            host.apply(edit)
    assert partition(net) == before
    assert {name: id(tensor) for name, tensor in named(net).items()} == objects
    assert not host.editor._done


def test_a_tensor_whose_class_decides_what_its_memory_is_is_refused() -> None:
    class Strange(torch.Tensor):
        @classmethod
        def __torch_dispatch__(cls, *_: Any, **__: Any) -> Any:
            raise AssertionError("the code of the class is called")

    net = chain()
    strange = torch.Tensor._make_subclass(Strange, torch.rand(4, 4))
    strange._is_param = True
    net.register_parameter("strange", strange)
    net.register_parameter("again", strange)
    host = hosted(net)
    for edit in (Tie("strange", "0.weight"), Untie(("again",))):
        with pytest.raises(EditError, match="is no plain tensor"):
            host.apply(edit)
    assert net.again is net.strange


class Tagged(nn.Parameter):
    """A parameter of a class of one's own."""

    closed = False
    tag: list[str]

    def __new__(cls, *given: Any, **named: Any) -> Any:
        assert not cls.closed, "the code of the class is called"
        return super().__new__(cls, *given, **named)

    def __deepcopy__(self, memo: object) -> Tagged:
        raise AssertionError("the code of the class is called")


def test_an_untied_parameter_has_the_same_numbers_class_strides_and_attributes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    net = chain()
    own = net[0].weight = net[2].weight = Tagged(torch.rand(4, 4).t(), requires_grad=False)
    own.tag = ["mine"]
    host = hosted(net)
    monkeypatch.setattr(Tagged, "closed", True)
    assert host.apply(Untie(("2.weight",))).said == "2.weight has memory of its own"
    new = net[2].weight
    assert net[0].weight is own
    assert new is not own
    assert type(new) is Tagged
    assert (new.stride(), new.requires_grad, new.is_leaf) == ((1, 4), False, True)
    assert new.tag is own.tag
    assert new.data_ptr() != own.data_ptr()
    assert torch.equal(new, own)


def test_each_that_is_untied_leaves_the_others_together() -> None:
    net = chain()
    net[2].weight = net[3].weight = net[0].weight
    net[0].weight.grad = torch.rand(4, 4)
    host = hosted(net)
    first, grad = net[0].weight, net[0].weight.grad
    outcome = host.apply(Untie(("0.weight",)))
    assert names_of(host, outcome.changed) == {"0.weight"}
    assert net[2].weight is net[3].weight is first
    assert first.grad is grad
    assert net[0].weight.grad is None
    host.undo()
    assert net[0].weight is first
    outcome = host.apply(Untie(("0.weight", "2.weight", "3.weight")))
    assert outcome.said == "3 tensors have memory of their own"
    # The last one is alone once the others have left.
    assert names_of(host, outcome.changed) == {"0.weight", "2.weight"}
    assert net[3].weight is first
    assert all(len(group) == 1 for group in partition(net))
    assert not [group for group in host.listing.sharing.groups if group.kind == "alias"]
    assert_is_listed(host, net)


def test_buffers_are_untied_from_what_they_overlap() -> None:
    net = chain()
    host = hosted(net)
    whole, part = net.whole, net.part
    outcome = host.apply(Untie(("part",)))
    assert names_of(host, outcome.changed) == {"part"}
    assert net.whole is whole
    assert torch.equal(net.part, part)
    assert net.part.untyped_storage().nbytes() == 24
    assert "part" not in net.state_dict()
    net.part.zero_()
    assert net.whole.tolist() == list(range(12))
    host.undo()
    assert net.part is part
    host.apply(Untie(("whole", "even", "part")))
    storages = {each.untyped_storage().data_ptr() for each in (net.whole, net.even, net.part)}
    assert len(storages) == 3
    assert_is_listed(host, net)


def test_a_tensor_without_elements_is_untied_like_any_other() -> None:
    net = chain()
    net.one = net.other = nn.Parameter(torch.empty(0, 3))
    host = hosted(net)
    host.apply(Untie(("other",)))
    assert net.one is not net.other
    host.apply(Tie("other", "one"))
    assert net.one is net.other
    with pytest.raises(EditError, match="shares memory with nothing"):
        host.apply(Untie(("whole", "0.bias")))


# Undoing


def test_undoing_brings_the_very_objects_back_and_redoing_too() -> None:
    net = chain()
    net[0].weight.grad, net[2].weight.grad = torch.rand(4, 4), torch.rand(4, 4)
    host = hosted(net)
    edits: list[Edit] = [
        SetCells("2.weight", "0", "=", 5.0),
        Tie("2.weight", "0.weight"),
        SetCells("2.weight", "1", "*=", -2.0),
        Untie(("0.weight",)),
        SetCells("0.weight", "2", "=", 7.0),
        Tie("3.bias", "2.bias"),
    ]
    states, texts = [told_of(net)], []
    for edit in edits:
        outcome = host.apply(edit)
        states.append(told_of(net))
        texts.append(outcome.said)
        assert outcome.digest
    assert net[0].weight[2, 0].item() == 7.0
    assert net[2].weight[2, 0].item() != 7.0
    for _ in range(2):
        for at in range(len(edits) - 1, -1, -1):
            outcome = host.undo()
            assert told_of(net) == states[at]
            assert outcome.said == f"undone: {edit_text(edits[at])}"
            assert_is_listed(host, net)
        with pytest.raises(EditError, match="nothing to undo"):
            host.undo()
        for at in range(len(edits)):
            outcome = host.redo()
            assert told_of(net) == states[at + 1]
            assert (outcome.listing is not None) == isinstance(edits[at], Tie | Untie)
            assert_is_listed(host, net)


def test_undoing_is_refused_where_something_else_was_put_in_its_place() -> None:
    net = chain()
    host = hosted(net)
    host.apply(Tie("2.weight", "0.weight"))
    tied = net[2].weight
    mine = net[2].weight = nn.Parameter(torch.rand(4, 4))
    with pytest.raises(EditError, match="has been replaced since"):
        host.undo()
    assert net[2].weight is mine
    with pytest.raises(EditError, match="has been replaced since it was listed"):
        host.apply(Tie("2.weight", "3.weight"))
    net[2].weight = tied
    old = net[2]
    net[2] = nn.Linear(4, 4)
    with pytest.raises(EditError, match="has been replaced since"):
        host.undo()
    net[2] = old
    host.undo()
    assert net[2].weight is not net[0].weight


def test_without_undo_it_is_done_all_the_same() -> None:
    net = chain()
    host = hosted(net)
    assert host.apply(Tie("2.weight", "0.weight"), without_undo=True).digest
    assert net[2].weight is net[0].weight


def test_what_is_stopped_before_it_counts_leaves_all_as_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    shared = nn.Linear(4, 4)
    net = nn.Sequential(shared, nn.ReLU(), shared, chain())
    host = hosted(net)
    before = told_of(net)

    def stop(*_: object) -> Any:
        raise KeyboardInterrupt

    for place in ("paramtui.models.tying.own_tensor", "paramtui.models.editing.copied"):
        with monkeypatch.context() as patch:
            patch.setattr(place, stop)
            with pytest.raises(RunStoppedError, match="all is as it was"):
                host.apply(Untie(("0.weight", "0.bias")))
        assert told_of(net) == before
        assert_is_listed(host, net)

    def exhausted(*_: object) -> Any:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("paramtui.models.tying.own_tensor", exhausted)
    with pytest.raises(EditError, match=r"0\.weight: there is not enough memory"):
        host.apply(Untie(("0.weight", "0.bias")))
    assert told_of(net) == before


def test_there_is_nothing_to_look_at_before() -> None:
    net = chain()
    host = hosted(net)
    before = told_of(net)
    for edit in (Tie("2.weight", "0.weight"), Untie(("part",))):
        with pytest.raises(EditError, match="is done at once"):
            host.preview(edit, None, ())
    assert told_of(net) == before


# Saving


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_tie_is_saved_and_the_lack_of_one(suffix: str, tmp_path: Path) -> None:
    net = chain()
    del net.whole, net.part, net.even
    net[3].weight = net[0].weight
    host = hosted(net)
    host.apply(Tie("2.weight", "0.weight"))
    host.apply(Untie(("3.weight",)))
    path = tmp_path / f"net{suffix}"
    host.save(str(path), over=False, progress=None)
    if suffix == ".pt":
        state = torch.load(path)
        pointers = [state[f"{at}.weight"].data_ptr() for at in (0, 2, 3)]
        assert pointers[0] == pointers[1] != pointers[2]
    else:
        state = load_file(path)
        assert set(state) == {"0.weight", "0.bias", "2.bias", "3.weight", "3.bias"}
        fresh = chain()
        del fresh.whole, fresh.part, fresh.even
        fresh[2].weight = fresh[0].weight
        # What a name that is left out stands for is the tie of the model that it is loaded into.
        assert fresh.load_state_dict(state, strict=False).missing_keys == ["2.weight"]
        state = fresh.state_dict()
    for name, tensor in net.state_dict().items():
        assert torch.equal(state[name], tensor)
