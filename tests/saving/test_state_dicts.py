"""New files made of tensors, against what torch and safetensors write and read."""

from __future__ import annotations

import json
import struct
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, load_model, save_model
from torch import nn

from paramtui.checkpoints.safetensors_writing import safetensors_file_job
from paramtui.checkpoints.state_dict import StateEntry, StateStorage
from paramtui.checkpoints.torch_zip_writing import torch_file_job
from paramtui.checkpoints.writing import write_files
from paramtui.errors import SavingError
from tests.saving.entries import described, held, raw_bytes
from tests.support import PLAIN_DTYPES, opened, random_tensor

UNKNOWN_TO_SAFETENSORS = (torch.complex128, torch.complex32)


class Tied(nn.Module):
    """A transformer whose head is its embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(20, 8)
        self.layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
        self.head = nn.Linear(8, 20, bias=False)
        self.head.weight = self.embed.weight


def save_torch(path: Path, state: Mapping[str, torch.Tensor]) -> Path:
    entries, storages = described(state)
    write_files([torch_file_job(str(path), entries, storages, metadata=getattr(state, "_metadata", None))])
    return path


def save_safe(
    path: Path, state: Mapping[str, torch.Tensor], metadata: dict[str, str] | None = None
) -> list[str]:
    entries, storages = described(state)
    job, notes = safetensors_file_job(str(path), entries, storages, user_metadata=metadata)
    write_files([job])
    return notes


def metadata_of(path: Path) -> dict[str, str]:
    with safe_open(path, framework="pt") as file:
        return dict(file.metadata() or {})


def without_id(path: Path) -> bytes:
    """A file with zeros for the forty digits that tell it from others, and for their checksum."""
    raw = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        digits = archive.read(f"{archive.namelist()[0].split('/')[0]}/.data/serialization_id")
    at = raw.index(digits)
    assert len(digits) == 40
    assert digits.isdigit()
    raw[at : at + 40] = bytes(40)
    checksum = struct.pack("<L", zlib.crc32(digits))
    assert raw[at + 44 : at + 48] == checksum
    raw[at + 44 : at + 48] = bytes(4)
    at = raw.rindex(checksum)
    raw[at : at + 4] = bytes(4)
    return bytes(raw)


def views() -> dict[str, torch.Tensor]:
    whole = torch.arange(48.0)
    image = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    return {
        "whole": whole,
        "same": whole.view(48),
        "matrix": whole.view(6, 8).t(),
        "part": whole[3:30:4],
        "expanded": torch.arange(3.0)[:, None].expand(3, 4),
        "image": image,
        "scalar": torch.tensor(3.5),
        "empty": torch.empty(0),
        "hollow": torch.empty(4, 0, 3, dtype=torch.int8),
        "deep": torch.zeros(1, 2, 1, 3, 1, 2, dtype=torch.int16),
        "needs": torch.ones(3, requires_grad=True),
        "parameter": nn.Parameter(torch.ones(300, 70000 // 300)),
        "frozen": nn.Parameter(torch.ones(2, dtype=torch.float8_e5m2), requires_grad=False),
    }


def batch_norm() -> Mapping[str, torch.Tensor]:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Sequential(nn.BatchNorm1d(2))).state_dict()


STATES: dict[str, Any] = {
    "every dtype": lambda: {str(d): random_tensor(d, (3, 5), 1) for d in PLAIN_DTYPES},
    "views": views,
    "batch norm": batch_norm,
    "tied": lambda: Tied().state_dict(),
    "tied parameters": lambda: Tied().state_dict(keep_vars=False),
    "nothing": dict,
    "one": lambda: {"only": torch.ones(2)},
    "many": lambda: {f"layer.{number}": torch.tensor(number) for number in range(2345)},
    "named oddly": lambda: {"": torch.ones(1), "ü.weight": torch.ones(2), "a b\n": torch.ones(3)},
    "module without tensors": lambda: nn.ReLU().state_dict(),
}


@pytest.mark.parametrize("which", STATES)
@pytest.mark.parametrize("name", ["x.pt", "a b.c.pth", "plain", "ü.pt", ".pt"])
def test_a_pt_file_is_byte_for_byte_that_of_torch(tmp_path: Path, which: str, name: str) -> None:
    state = STATES[which]()
    (tmp_path / "theirs").mkdir()
    theirs, ours = tmp_path / "theirs" / name, tmp_path / name
    if name == ".pt":
        # torch.save refuses this name; what it calls the folder elsewhere is "archive".
        theirs = tmp_path / "theirs" / "ü.pt"
    torch.save(state, theirs)
    save_torch(ours, state)
    assert without_id(ours) == without_id(theirs)
    with zipfile.ZipFile(ours) as archive:
        assert archive.testzip() is None


@pytest.mark.parametrize("which", STATES)
@pytest.mark.parametrize("mmap", [False, True])
def test_a_pt_file_is_loaded_by_torch(tmp_path: Path, which: str, mmap: bool) -> None:
    state = STATES[which]()
    loaded = torch.load(save_torch(tmp_path / "x.pt", state), weights_only=True, mmap=mmap)
    assert list(loaded) == list(state)
    assert type(loaded) is type(state)
    assert getattr(loaded, "_metadata", None) == getattr(state, "_metadata", None)
    for key, tensor in state.items():
        found = loaded[key]
        assert (found.dtype, found.shape, found.stride()) == (tensor.dtype, tensor.shape, tensor.stride())
        assert (found.storage_offset(), found.requires_grad) == (
            tensor.storage_offset(),
            tensor.requires_grad,
        )
        assert isinstance(found, nn.Parameter) is isinstance(tensor, nn.Parameter)
        assert raw_bytes(found) == raw_bytes(tensor)
    if which == "views":
        assert loaded["whole"].data_ptr() == loaded["same"].data_ptr() == loaded["matrix"].data_ptr()
        loaded["whole"][3] = 99
        assert loaded["part"][0] == 99


def test_a_loaded_module_is_the_one_that_was_saved_and_its_head_stays_tied(tmp_path: Path) -> None:
    model, other = Tied(), Tied()
    loaded = torch.load(save_torch(tmp_path / "x.pt", model.state_dict()))
    assert loaded["head.weight"].data_ptr() == loaded["embed.weight"].data_ptr()
    other.load_state_dict(loaded, strict=True)
    for mine, theirs in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(mine, theirs)
    assert opened(tmp_path / "x.pt").listing.sharing.groups[0].kind == "alias"


def test_one_storage_looked_at_in_several_types_stays_one(tmp_path: Path) -> None:
    whole = torch.arange(6, dtype=torch.int32)
    state = {"ints": whole, "floats": whole.view(torch.float32), "halves": whole.view(torch.uint16)[4:]}
    with pytest.raises(RuntimeError, match="different types"):
        torch.save(state, tmp_path / "theirs.pt")
    loaded = torch.load(save_torch(tmp_path / "x.pt", state))
    for key, tensor in state.items():
        assert torch.equal(loaded[key].view(torch.uint8), tensor.view(torch.uint8))
    assert len({tensor.untyped_storage().data_ptr() for tensor in loaded.values()}) == 1


def test_a_file_of_more_than_4_gb_is_laid_out_as_torch_does_it(tmp_path: Path) -> None:
    nbytes = (1 << 32) + 100
    hole = tmp_path / "hole"
    with hole.open("wb") as file:
        file.truncate(nbytes)
    large = torch.from_file(str(hole), shared=False, size=nbytes, dtype=torch.uint8)
    state = {"a": torch.ones(3), "large": large, "b": torch.ones(5), "e": torch.empty(0)}
    (tmp_path / "theirs").mkdir()
    theirs, ours = tmp_path / "theirs" / "x.pt", tmp_path / "x.pt"
    with torch.serialization.skip_data():
        torch.save(state, theirs)

    zeros = bytes(4 << 20)
    storages = [held(raw_bytes(state["a"])), StateStorage(nbytes, lambda _, n: zeros[:n])]
    storages += [held(raw_bytes(state["b"])), held(b"")]
    entries = [
        StateEntry(name, str(tensor.dtype)[6:], tuple(tensor.shape), tensor.stride(), 0, index)
        for index, (name, tensor) in enumerate(state.items())
    ]
    job = torch_file_job(str(ours), entries, storages)

    class HollowSink:
        """Leaves holes where zeros were given, so that nothing much is written."""

        def __init__(self) -> None:
            self.file = ours.open("wb")

        def append(self, data: bytes) -> None:
            if data == zeros[: len(data)]:
                self.file.seek(len(data), 1)
            else:
                self.file.write(data)

    sink = HollowSink()
    job.write(sink)  # type: ignore[arg-type]
    sink.file.close()
    assert ours.stat().st_size == job.nbytes == theirs.stat().st_size
    loaded = torch.load(ours, mmap=True)
    assert loaded["large"].shape == (nbytes,)
    assert torch.equal(loaded["b"], state["b"])
    assert torch.equal(loaded["a"], state["a"])
    with zipfile.ZipFile(ours) as mine, zipfile.ZipFile(theirs) as other:
        for info, expected in zip(mine.infolist(), other.infolist(), strict=True):
            for field in ("filename", "header_offset", "file_size", "compress_size", "flag_bits", "extra"):
                assert getattr(info, field) == getattr(expected, field)
        with ours.open("rb") as our_file, theirs.open("rb") as expected_file:
            for info in mine.infolist():
                our_file.seek(info.header_offset)
                expected_file.seek(info.header_offset)
                head = our_file.read(200)
                length = 30 + sum(struct.unpack_from("<HH", head, 26))
                assert head[:length] == expected_file.read(200)[:length]
                assert (info.header_offset + length) % 64 == 0
        crc = 0
        for at in range(0, nbytes, len(zeros)):
            crc = zlib.crc32(zeros[: nbytes - at], crc)
        assert crc == mine.getinfo("x/data/1").CRC


def test_tensors_that_no_pt_file_can_hold_are_named(tmp_path: Path) -> None:
    storage = [held(bytes(16))]
    for entry, words in (
        (StateEntry("w", "float32", (5,), (1,), 0, 0), "w reaches past its storage"),
        (StateEntry("w", "float32", (2, 2), (3, 1), 0, 0), "w reaches past its storage"),
        (StateEntry("w", "float32", (2,), (1,), 3, 0), "w reaches past its storage"),
        (StateEntry("w", "quint8", (2,), (1,), 0, 0), "w is quint8, which cannot be written"),
        (StateEntry("w", "strange", (2,), (1,), 0, 0), "w is strange, which cannot be written"),
    ):
        with pytest.raises(SavingError, match=words):
            torch_file_job(str(tmp_path / "x.pt"), [entry], storage)
    entry = StateEntry("w", "int8", (2,), (1,), 0, 0)
    with pytest.raises(SavingError, match="two tensors are named w"):
        torch_file_job(str(tmp_path / "x.pt"), [entry, entry], storage)


def test_a_safetensors_file_is_read_back_for_every_type(tmp_path: Path) -> None:
    state = {
        str(dtype): random_tensor(dtype, (3, 5), 2)
        for dtype in PLAIN_DTYPES
        if dtype not in UNKNOWN_TO_SAFETENSORS
    }
    assert save_safe(tmp_path / "x.safetensors", state) == []
    loaded = load_file(tmp_path / "x.safetensors")
    assert set(loaded) == set(state)
    for key, tensor in state.items():
        assert loaded[key].dtype == tensor.dtype
        assert loaded[key].shape == tensor.shape
        assert raw_bytes(loaded[key])[: tensor.nbytes] == raw_bytes(tensor)
    listing = opened(tmp_path / "x.safetensors").listing
    assert listing.warnings == []
    assert [begin % torch.empty(0, dtype=state[name].dtype).element_size() for name, begin in zip(
        listing.names, listing.begin, strict=True)] == [0] * len(state)  # fmt: skip
    sizes = [state[name].element_size() for name in listing.names]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("dtype", UNKNOWN_TO_SAFETENSORS)
def test_a_type_that_safetensors_lacks_is_refused_with_the_tensors_name(
    tmp_path: Path, dtype: torch.dtype
) -> None:
    state = {"fine": torch.ones(2), "signal.weight": torch.ones(2, dtype=dtype)}
    with pytest.raises(SavingError, match=f"signal.weight is {str(dtype)[6:]}, for which safetensors"):
        save_safe(tmp_path / "x.safetensors", state)
    assert list(tmp_path.iterdir()) == []


def test_views_are_written_whole_in_row_major_order_and_lost_ties_are_told(tmp_path: Path) -> None:
    state = views()
    notes = save_safe(tmp_path / "x.safetensors", state, {"format": "pt"})
    loaded = load_file(tmp_path / "x.safetensors")
    assert metadata_of(tmp_path / "x.safetensors") == {"format": "pt", "whole": "same"}
    assert set(loaded) == set(state) - {"whole"}
    for key, tensor in loaded.items():
        assert tensor.is_contiguous()
        assert tensor.dtype == state[key].dtype
        assert torch.equal(tensor.float(), state[key].detach().float())
    (note,) = notes
    assert note == "exact ties kept, 1 overlapping group not"


@pytest.mark.parametrize("shape", [(700, 900), (3, 500, 70, 9), (2000, 3)])
def test_large_tensors_of_any_strides_are_written_in_pieces(tmp_path: Path, shape: tuple[int, ...]) -> None:
    generator = torch.Generator().manual_seed(1)
    whole = torch.randn(shape, generator=generator)
    state = {
        "turned": whole.permute(*reversed(range(len(shape)))),
        "swapped": whole.clone().transpose(0, 1),
        "every other": torch.randn((2 * shape[0], *shape[1:]), generator=generator)[::2],
        "repeated": torch.randn(shape[1:], generator=generator).expand(shape),
    }
    if len(shape) == 4:
        state["image"] = whole.clone().to(memory_format=torch.channels_last)
    assert save_safe(tmp_path / "x.safetensors", state) == []
    loaded = load_file(tmp_path / "x.safetensors")
    for key, tensor in state.items():
        assert torch.equal(loaded[key], tensor)


def test_reads_of_a_large_tensor_are_a_few_mib_long(tmp_path: Path) -> None:
    raw = torch.arange(6_000_000, dtype=torch.int32).numpy().tobytes()
    asked: list[int] = []

    def read(begin: int, nbytes: int) -> bytes:
        asked.append(nbytes)
        return raw[begin : begin + nbytes]

    storages = [StateStorage(len(raw), read)]
    whole = torch.arange(6_000_000, dtype=torch.int32)
    for entry, expected in (
        (StateEntry("w", "int32", (6_000_000,), (1,), 0, 0), whole),
        (StateEntry("w", "int32", (2000, 3000), (1, 2000), 0, 0), whole.view(3000, 2000).t()),
        (StateEntry("w", "int32", (2, 2_000_000), (3_000_000, 1), 5, 0), whole.view(2, -1)[:, 5:2_000_005]),
    ):
        asked.clear()
        path = tmp_path / "x.safetensors"
        path.unlink(missing_ok=True)
        job, _ = safetensors_file_job(str(path), [entry], storages)
        write_files([job])
        assert torch.equal(load_file(path)["w"], expected)
        assert max(asked) <= 4 << 20


def test_ties_are_declared_as_save_model_declares_them(tmp_path: Path) -> None:
    model = Tied()
    save_model(model, str(tmp_path / "theirs.safetensors"))
    assert save_safe(tmp_path / "ours.safetensors", model.state_dict()) == []
    theirs, ours = load_file(tmp_path / "theirs.safetensors"), load_file(tmp_path / "ours.safetensors")
    assert metadata_of(tmp_path / "ours.safetensors") == metadata_of(tmp_path / "theirs.safetensors")
    assert set(ours) == set(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)
    other = Tied()
    load_model(other, tmp_path / "ours.safetensors", strict=True)
    for mine, found in zip(model.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(mine, found)
    assert other.head.weight is other.embed.weight


def test_a_text_of_the_users_is_not_replaced_by_a_tie(tmp_path: Path) -> None:
    tensor = torch.ones(2)
    notes = save_safe(tmp_path / "x.safetensors", {"a": tensor, "b": tensor}, {"b": "mine", "c": "é"})
    assert metadata_of(tmp_path / "x.safetensors") == {"b": "mine", "c": "é"}
    assert list(load_file(tmp_path / "x.safetensors")) == ["a"]
    assert notes == [
        "b is written as a, and the metadata cannot say so: they hold a text of that name",
    ]


def test_a_safetensors_header_is_padded_and_strict_json(tmp_path: Path) -> None:
    state = OrderedDict([('q"uote', torch.ones(3)), ("ü\n", torch.ones(1, dtype=torch.float64))])
    save_safe(tmp_path / "x.safetensors", state)
    raw = (tmp_path / "x.safetensors").read_bytes()
    length = int.from_bytes(raw[:8], "little")
    assert length % 8 == 0
    assert json.loads(raw[8 : 8 + length]) == {
        "ü\n": {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]},
        'q"uote': {"dtype": "F32", "shape": [3], "data_offsets": [8, 20]},
    }
    assert set(load_file(tmp_path / "x.safetensors")) == set(state)
    for name in ("__metadata__", "\ud800"):
        with pytest.raises(SavingError):
            save_safe(tmp_path / "y.safetensors", {name: torch.ones(1)})


def test_pairs_of_4_bit_numbers_are_counted_as_the_format_counts_them(tmp_path: Path) -> None:
    packed = torch.arange(6, dtype=torch.uint8).view(2, 3).view(torch.float4_e2m1fn_x2)
    save_safe(tmp_path / "x.safetensors", {"w": packed})
    found = load_file(tmp_path / "x.safetensors")["w"]
    assert (found.dtype, found.shape) == (packed.dtype, packed.shape)
    assert raw_bytes(found)[:6] == raw_bytes(packed)
    loaded = torch.load(save_torch(tmp_path / "x.pt", {"w": packed}))["w"]
    assert raw_bytes(loaded) == raw_bytes(packed)
