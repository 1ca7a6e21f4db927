"""Tensors that cannot be changed, or hardly, and files that claim more than they hold."""

from __future__ import annotations

import asyncio
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from paramtui.core.edits import Call, Initialise, SetCells, Step
from paramtui.errors import EditError, ParamtuiError, SavingError
from tests.editing.checkpoints import SharedComputer, all_bits, all_shown, loaded, opened, shown
from tests.support import rewrite_zip

if TYPE_CHECKING:
    from paramtui.checkpoints.editing import CheckpointEditor
    from paramtui.core.source import Outcome


def put(editor: CheckpointEditor, name: str, cells: str, number: complex = 1, operator: str = "=") -> Outcome:
    return asyncio.run(editor.apply(SetCells(name, cells, operator, number)))


def fill(editor: CheckpointEditor, name: str) -> Outcome:
    return asyncio.run(editor.apply(Initialise((Step(name, Call("ones_")),), 0)))


UNCHANGEABLE = {
    "sparse": (lambda: torch.eye(3).to_sparse(), "layout sparse_coo"),
    "rows": (lambda: torch.eye(3).to_sparse_csr(), "layout sparse_csr"),
    "meta": (lambda: torch.empty(3, device="meta"), "no values"),
    "quantised": (lambda: torch.quantize_per_tensor(torch.randn(3), 0.1, 0, torch.qint8), "quantised"),
    "conjugated": (lambda: torch.ones(2, dtype=torch.complex64).conj(), "conjugated"),
    "nested": (lambda: torch.nested.nested_tensor([torch.ones(2), torch.ones(3)]), "layout nested"),
    "array": (lambda: np.arange(5.0), "packed inside the file"),
}


@pytest.mark.parametrize("what", UNCHANGEABLE)
def test_what_cannot_be_changed_says_why(what: str, tmp_path: Path, computer: SharedComputer) -> None:
    make, words = UNCHANGEABLE[what]
    torch.save({"w": make(), "plain": torch.ones(2)}, tmp_path / "x.pt")
    editor = opened(tmp_path / "x.pt", computer)
    tensor = editor.listing.names.index("w")
    assert words in editor.edit_reason(tensor)
    for attempt in (lambda: put(editor, "w", "0"), lambda: fill(editor, "w")):
        with pytest.raises(EditError, match=words):
            attempt()
    put(editor, "plain", "0", 7)
    asyncio.run(editor.save(str(tmp_path / "out.pt"), over=False, progress=lambda *_: None))
    assert torch.load(tmp_path / "out.pt", weights_only=False)["plain"].tolist() == [7, 1]


def test_elements_that_are_one_memory_can_be_set_one_by_one(tmp_path: Path, computer: SharedComputer) -> None:
    made = {"rows": torch.arange(4.0).expand(3, 4), "huge": torch.zeros(1).expand(10**6, 10**6)}
    torch.save(made, tmp_path / "x.pt")
    editor = opened(tmp_path / "x.pt", computer)
    for name, cells in (("rows", ""), ("rows", ":, 1"), ("huge", "0"), ("huge", ""), ("huge", "::2, 1")):
        with pytest.raises(EditError, match="same memory"):
            put(editor, name, cells)
    for name in made:
        with pytest.raises(EditError, match="same memory"):
            fill(editor, name)
    put(editor, "rows", "2, 1", 9)
    # A million million of one number: its digest and its preview are those of the number.
    first = put(editor, "huge", "999999, 999999", 5).digest
    edit = SetCells("huge", "7, 7", "=", 6)
    after = asyncio.run(editor.preview(edit, 1, [range(2), range(2)])).after
    assert after is not None
    assert after.values is not None
    assert after.values.tolist() == [[6, 6], [6, 6]]
    assert put(editor, "huge", "7, 7", 5).digest == first != put(editor, "huge", "0, 0", 6).digest
    asyncio.run(editor.save(str(tmp_path / "out.pt"), over=False, progress=lambda *_: None))
    saved = torch.load(tmp_path / "out.pt")
    assert saved["rows"].tolist() == [[0, 9, 2, 3]] * 3
    assert saved["huge"][123, 456] == 6
    assert saved["huge"].stride() == (0, 0)


def test_a_tensor_past_its_storage_is_refused_and_its_neighbour_is_not(
    tmp_path: Path, computer: SharedComputer
) -> None:
    whole = torch.ones(4)
    torch.save({"w": whole, "big": whole.view(2, 2)}, tmp_path / "x.pt")
    # Sizes of 2 and 2 become 2**30 and 2**10.
    wrong = b"J\x00\x00\x00\x40M\x00\x04\x86"
    rewrite_zip(
        tmp_path / "x.pt",
        tmp_path / "y.pt",
        lambda name, content: (
            content.replace(b"K\x02K\x02\x86", wrong, 1) if name.endswith("pkl") else content
        ),
    )
    editor = opened(tmp_path / "y.pt", computer)
    assert editor.listing.shape[1] == (1 << 30, 1 << 10)
    for attempt in (lambda: put(editor, "big", "0, 0"), lambda: fill(editor, "big")):
        with pytest.raises(EditError, match="storage that has 16 bytes"):
            attempt()
    assert put(editor, "w", "", 3).changed == (0,)
    assert fill(editor, "w").changed == (0,)


def test_packed_records_are_refused_and_copied_as_they_are(tmp_path: Path, computer: SharedComputer) -> None:
    torch.save({"w": torch.ones(4)}, tmp_path / "x.pt")
    packed = rewrite_zip(
        tmp_path / "x.pt", tmp_path / "y.pt", lambda _, content: content, method=zipfile.ZIP_DEFLATED
    )
    editor = opened(packed, computer)
    for attempt in (lambda: put(editor, "w", "0"), lambda: fill(editor, "w")):
        with pytest.raises(EditError, match="packed inside the file"):
            attempt()
    asyncio.run(editor.save(str(tmp_path / "z.pt"), over=False, progress=lambda *_: None))
    assert (tmp_path / "z.pt").read_bytes() == packed.read_bytes()


def test_big_endian_numbers_are_set_as_torch_reads_them(tmp_path: Path, computer: SharedComputer) -> None:
    made = {
        "f": torch.arange(6.0).view(2, 3),
        "c": torch.tensor([1 + 2j, 3 - 4j]),
        "h": torch.arange(4).to(torch.int16),
    }
    torch.save(made, tmp_path / "little.pt")
    kinds = {"data/0": "f4", "data/1": "f4", "data/2": "i2"}

    def turned(name: str, content: bytes) -> bytes:
        if name.endswith("byteorder"):
            return b"big"
        kind = next((kind for end, kind in kinds.items() if name.endswith(end)), None)
        return content if kind is None else np.frombuffer(content, f"<{kind}").astype(f">{kind}").tobytes()

    rewrite_zip(tmp_path / "little.pt", tmp_path / "big.pt", turned)
    little, big = opened(tmp_path / "little.pt", computer), opened(tmp_path / "big.pt", computer)
    for name, cells, operator, number in (
        ("f", "0", "=", 1.5),
        ("f", "1, ::2", "*=", 3),
        ("c", "0", "+=", 2j),
        ("c", "1", "=", 1 - 1j),
        ("h", "1:", "-=", 300),
    ):
        digests = {put(editor, name, cells, number, operator).digest for editor in (little, big)}
        assert len(digests) == 1, "equal for equal numbers, whatever their order of bytes"
    asyncio.run(big.save(str(tmp_path / "out.pt"), over=False, progress=lambda *_: None))
    assert all_bits(loaded(tmp_path / "out.pt")) == all_shown(little)
    with pytest.raises(EditError, match="big-endian; only single numbers"):
        fill(big, "f")
    with pytest.raises(SavingError, match="big-endian"):
        asyncio.run(big.save(str(tmp_path / "out.safetensors"), over=False, progress=lambda *_: None))


def test_a_function_of_modules_is_none_of_tensors(tmp_path: Path, computer: SharedComputer) -> None:
    torch.save({"w": torch.ones(4)}, tmp_path / "x.pt")
    editor = opened(tmp_path / "x.pt", computer)
    before = shown(editor, 0)
    with pytest.raises(EditError, match="function of modules"):
        asyncio.run(editor.apply(Initialise((Step("w", Call("reset_parameters")),), 0)))
    for call in (Call("no_such_thing"), Call("normal_", (("speed", 1),)), Call("normal_", (), "/gone.py")):
        with pytest.raises(ParamtuiError):
            asyncio.run(editor.apply(Initialise((Step("w", call),), 0)))
    assert shown(editor, 0) == before
    assert editor.history.done == []


def test_ten_thousand_tensors_and_their_ties_are_initialised_at_once(
    tmp_path: Path, computer: SharedComputer
) -> None:
    made = {f"{place}.weight": torch.full((2,), float(place)) for place in range(8000)}
    made |= {f"tied.{place}": made[f"{place}.weight"] for place in range(0, 8000, 4)}
    torch.save(made, tmp_path / "x.pt")
    editor = opened(tmp_path / "x.pt", computer)
    steps = tuple(Step(name, Call("normal_")) for name in list(made)[:8000])
    outcome = asyncio.run(editor.apply(Initialise(steps, 1)))
    assert len(outcome.changed) == 10_000
    torch.manual_seed(1)
    for name in list(made)[:8000]:
        torch.nn.init.normal_(made[name])
    assert all_shown(editor) == all_bits(made)
