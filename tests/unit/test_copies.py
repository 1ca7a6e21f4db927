"""Equal tensors are found exactly: the groups are those of a dict of all their bytes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from paramtui.checkpoints.registry import open_checkpoint
from paramtui.checkpoints.source import CheckpointSource
from paramtui.core import copies, partition
from paramtui.core.copies import find_copies
from tests.support import PLAIN_DTYPES, random_tensor
from tests.unit.copying import Tensors, assert_found, brute_force, groups_of, large, live, raw, saved


@pytest.mark.parametrize("dtype", PLAIN_DTYPES, ids=str)
def test_copies_of_every_dtype_are_those_with_the_same_bytes(dtype: torch.dtype, tmp_path: Path) -> None:
    one, other = random_tensor(dtype, (40, 50), 1), random_tensor(dtype, (40, 50), 2)
    changed = one.clone()
    changed[39, 49] = other[39, 49] if dtype != torch.bool else ~one[39, 49]
    tensors = {
        "one": one,
        "copy": one.clone(),
        "other": other,
        "alias": one,
        "turned": one.t(),
        "turned_copy": one.t().contiguous(),
        "put_apart": one.t().contiguous().t(),
        "changed": changed,
        "reshaped": one.clone().reshape(50, 40),
    }
    (found, _) = assert_found(tmp_path, tensors)
    if raw(one)[-dtype.itemsize :] != raw(changed)[-dtype.itemsize :]:
        names = list(tensors)
        members = [sorted(names[member] for member in group.members) for group in found.groups]
        assert ["copy", "one", "put_apart"] in members
        assert ["turned", "turned_copy"] in members
    assert all(group.nbytes == one.numel() * dtype.itemsize for group in found.groups)
    assert not found.skipped


@pytest.mark.parametrize("place", [0, 5, 20_000, 1_200_000, 1_500_000, 2_999_999])
def test_one_byte_tells_large_tensors_apart_wherever_it_is(place: int, tmp_path: Path) -> None:
    one = large(1)
    other = one.clone()
    other[place] ^= 1
    tensors = {"a": one, "b": other, "c": one.clone(), "d": other.clone(), "e": large(2)}
    for found in assert_found(tmp_path, tensors):
        assert len(found.groups) == 2


def test_a_tensor_without_a_twin_costs_a_probe(tmp_path: Path) -> None:
    source = saved(tmp_path, {str(seed): large(seed) for seed in range(4)})
    told: list[tuple[int, int]] = []
    found = source.find_copies(lambda *numbers: told.append(numbers))
    assert found.groups == ()
    assert found.nbytes_read == 4 * partition.FIRST
    assert found.compared == 4
    head = large(9)
    tails = {str(seed): torch.cat([head[:2_000_000], large(seed, 1_000_000)]) for seed in range(4)}
    assert saved(tmp_path, tails).find_copies().nbytes_read <= 4 * 3 * partition.FIRST


def test_what_is_equal_is_read_once_and_progress_only_grows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copies, "PAUSE", 0)
    one = large(1)
    tensors = {
        "a": one,
        "b": one.clone(),
        "c": large(2),
        "d": torch.cat([one[:2_900_000], large(3, 100_000)]),
    }
    for source in (saved(tmp_path, tensors), live(tensors)):
        told: list[tuple[int, int]] = []
        search = source.find_copies if isinstance(source, CheckpointSource) else source.copies
        found = search(lambda *numbers, told=told: told.append(numbers))
        assert 6_000_000 <= found.nbytes_read <= 6_000_000 + 8 * partition.FIRST
        shares = [done / total for done, total in told]
        assert shares == sorted(shares)
        assert shares[-1] == 1.0
        assert len(told) > 4
        # Before a byte is read, however long that takes.
        assert told[0] == (0, 4 * one.numel())
        assert all(now[1] <= before[1] for before, now in zip(told, told[1:], strict=False))


def test_zeros_of_two_signs_and_nan_of_two_patterns_are_no_copies(tmp_path: Path) -> None:
    nan = torch.tensor([0x7FC00000, 0x7FC00001], dtype=torch.int32).view(torch.float32)
    tensors = {
        "zero": torch.zeros(3),
        "minus": -torch.zeros(3),
        "quiet": nan[:1].clone(),
        "odd": nan[1:].clone(),
        "quiet_again": nan[:1].clone(),
    }
    for found in assert_found(tmp_path, tensors):
        assert [group.constant for group in found.groups] == ["nan"]


def test_constants_are_told_by_their_value_and_what_takes_most_comes_first(tmp_path: Path) -> None:
    kinds: dict[str, torch.Tensor] = {
        "0": torch.zeros(3_000_000),
        "1": torch.ones(7, 3, dtype=torch.bfloat16),
        "-0": -torch.zeros(4),
        "0.1": torch.full((5,), 0.1),
        "-7": torch.full((2, 2), -7),
        "True": torch.ones(9, dtype=torch.bool),
        "(1+2j)": torch.full((6,), 1 + 2j),
        "2": torch.full((1, 1), 2.0, dtype=torch.float8_e4m3fn),
        "18446744073709551615": torch.full((3, 1), 2**64 - 1, dtype=torch.uint64),
        "": torch.arange(11.0),
    }
    tensors: Tensors = {}
    for place, tensor in enumerate(kinds.values()):
        tensors |= {f"one{place}": tensor, f"other{place}": tensor.clone()}
    for found in assert_found(tmp_path, tensors):
        constants = {group.constant for group in found.groups}
        assert constants == set(kinds)
        assert found.groups[0].constant == "0"
        sizes = [group.nbytes for group in found.groups]
        assert sizes == sorted(sizes, reverse=True)


def test_nearly_constant_tensors_are_no_constants(tmp_path: Path) -> None:
    one = torch.zeros(2_000_000)
    one[-1] = 1
    for found in assert_found(tmp_path, {"a": one, "b": one.clone()}):
        assert [group.constant for group in found.groups] == [""]


def test_what_shares_memory_is_no_copy(tmp_path: Path) -> None:
    base = torch.zeros(100)
    tensors = {
        "alias": base[:10],
        "alias_again": base[:10],
        "over": base[5:15],
        "apart": base[20:30],
        "even": base[30:50:2],
        "odd": base[31:51:2],
        "across": base[40:60:2],
        "own": torch.zeros(10),
    }
    for source in (saved(tmp_path, tensors), live(tensors)):
        found = source.find_copies() if isinstance(source, CheckpointSource) else source.copies(None)
        (names,) = groups_of(source, found)
        assert names == {"alias", "apart", "even", "odd", "own"}


def test_expanded_tensors_are_compared_in_logical_order(tmp_path: Path) -> None:
    row = torch.arange(5.0)
    tensors = {
        "wide": row.expand(6, 5),
        "dense": row.repeat(6, 1),
        "wide_again": row.clone().expand(6, 5),
        "other": (row + 1).expand(6, 5),
    }
    assert_found(tmp_path, tensors)


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_any_strides_are_compared_in_logical_order(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    shape = tuple(data.draw(st.lists(st.integers(1, 5), min_size=1, max_size=4)))
    dtype = data.draw(st.sampled_from([torch.float32, torch.bfloat16, torch.uint8, torch.complex128]))
    plain = torch.randint(0, 2, shape, generator=torch.Generator().manual_seed(3)).to(dtype)
    tensors: Tensors = {}
    for number in range(data.draw(st.integers(2, 5))):
        order = data.draw(st.permutations(range(len(shape))))
        steps = data.draw(st.lists(st.integers(1, 2), min_size=len(shape), max_size=len(shape)))
        room = torch.zeros([shape[dim] * steps[dim] for dim in order], dtype=dtype)
        view = room.permute([order.index(dim) for dim in range(len(shape))])
        view = view[tuple(slice(None, None, step) for step in steps)]
        view.copy_(plain)
        if data.draw(st.booleans()):
            view[(-1,) * view.dim()] = 1
        tensors[f"t{number}"] = view
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(partition, "FIRST", 64)
        assert_found(tmp_path_factory.mktemp("strides"), tensors)


def test_big_endian_numbers_can_be_copies_of_little_endian_ones(tmp_path: Path) -> None:
    tensors = {"a": torch.randn(30, 7, dtype=torch.complex64), "b": torch.arange(50)}
    source = saved(tmp_path, {**tensors, "a2": tensors["a"].clone(), "b2": tensors["b"].clone()})
    listing = source.listing
    swapped = {listing.names.index("a2"): 4, listing.names.index("b2"): 8}

    class Runs:
        def read(self, location: int, begin: int, nbytes: int) -> bytes:
            data = source.read(location, begin, nbytes)
            unit = {listing.location[tensor]: unit for tensor, unit in swapped.items()}.get(location, 1)
            return b"".join(data[at : at + unit][::-1] for at in range(0, len(data), unit))

        def big_endian(self, location: int) -> bool:
            return location in {listing.location[tensor] for tensor in swapped}

        def nbytes(self, location: int) -> int:
            return source.nbytes(location)

    assert groups_of(source, find_copies(listing, Runs())) == {frozenset({"a", "a2"}), frozenset({"b", "b2"})}


def test_what_cannot_be_compared_is_named_with_the_reason(tmp_path: Path) -> None:
    ragged = torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])
    quantised = torch.quantize_per_channel(torch.ones(2, 2), torch.ones(2), torch.zeros(2), 0, torch.qint8)
    whole = torch.quantize_per_tensor(torch.ones(4), 0.5, 1, torch.qint8)
    tensors = {
        "sparse": torch.eye(3).to_sparse(),
        "ragged": ragged,
        "quantised": quantised,
        "meta": torch.empty(3, device="meta"),
        "empty": torch.empty(0, 3),
        "empty_too": torch.empty(0, 3),
        "whole": whole,
        "whole_too": whole.clone(),
        "otherwise": torch.quantize_per_tensor(torch.ones(4), 0.25, 1, torch.qint8),
        "conj": torch.full((2,), 1 + 1j).conj(),
        "plain": torch.full((2,), 1 + 1j),
        "conj_too": torch.full((2,), 1 + 1j).conj(),
    }
    source = saved(tmp_path, tensors)
    found = source.find_copies()
    reasons = {source.listing.names[tensor]: reason for tensor, reason in found.skipped}
    assert set(reasons) == {"sparse", "ragged", "quantised", "meta"}
    assert "sparse_coo" in reasons["sparse"]
    assert "meta" in reasons["meta"]
    assert groups_of(source, found) == {frozenset({"whole", "whole_too"}), frozenset({"conj", "conj_too"})}
    assert {group.constant for group in found.groups} == {"1", "(1-1j)"}


def test_thousands_of_small_tensors_are_grouped_in_little_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Room for fewer different heads than there are: what is left over has a turn of its own.
    monkeypatch.setattr(partition, "BUDGET", 20_000)
    kinds = [random_tensor(torch.float32, (250,), seed) for seed in range(700)]
    tensors = {f"t{number:04}": kinds[number * 7919 % 700].clone() for number in range(1500)}
    save_file(tensors, tmp_path / "many.safetensors")
    source = open_checkpoint(str(tmp_path / "many.safetensors"))
    found = source.find_copies()
    assert groups_of(source, found) == brute_force(tensors)
    assert found.compared == 1500
