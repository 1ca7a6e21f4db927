"""A figure as a column of the tree: what it says, how long its bar is, and what makes room for it."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest
import torch
from rich.cells import cell_len
from rich.style import Style

from paramtui.checkpoints.registry import open_checkpoint
from paramtui.core.flat_view import FlatView
from paramtui.core.folding import Folds
from paramtui.core.gradients import Figures, Gradients
from paramtui.errors import ValuesError
from paramtui.tui.figure_column import (
    FIGURE_WORDS,
    SIGNED_WIDTH,
    WIDTH,
    FigureCell,
    FigureColumn,
    bar,
    figure_text,
    next_figure,
    tone,
)
from paramtui.tui.opened import Opened, prepare
from paramtui.tui.ramps import EIGHT_BIT, MONO, STANDARD, TRUECOLOR
from paramtui.tui.tree_rows import MIN_NAME, FigureLook, RowLook, pieces
from tests.tui.measuring import measured

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.conftest import Save

NAN = float("nan")
PLAIN = Style.null()


def state() -> dict[str, torch.Tensor]:
    """Five layers, each with numbers twice as far apart as those before; NaN in the third."""
    torch.manual_seed(1)
    out = {"embed.weight": torch.randn(6, 4), "head.bias": torch.tensor([-3.0, -1.0])}
    for layer in range(5):
        out[f"layers.{layer}.weight"] = torch.randn(8, 4) * 2**layer
        out[f"layers.{layer}.norm"] = torch.zeros(4) if layer == 4 else torch.ones(4)
    out["layers.2.weight"][0, 0] = NAN
    out["spoilt"] = torch.full((3,), NAN)
    out["endless"] = torch.full((3,), math.inf)
    out["one"] = torch.tensor(2.0)
    out["unknown"] = torch.ones(2)
    out["unreadable"] = torch.ones(2)
    return out


@pytest.fixture
def opened(save: Save) -> Opened:
    """A file of these tensors; all figures are known but two, and the layers are folded."""
    tensors = state()
    found = prepare(open_checkpoint(str(save(tensors))))
    for tensor, name in enumerate(found.listing.names):
        if name == "unreadable":
            found.figures.add(tensor, ValuesError("its bytes are missing"))
        elif name != "unknown":
            found.figures.add(tensor, measured(tensors[name].double().numpy()).statistics)
    found.view.take_folds(Folds(found.tree))
    found.view.expand(row_of(found, "layers"))
    return found


def row_of(opened: Opened, name: str) -> int:
    (row,) = opened.tree.find(name)
    return row


def joined(tensors: Sequence[torch.Tensor]) -> torch.Tensor:
    whole = torch.cat([tensor.reshape(-1) for tensor in tensors]).double()
    return whole[whole.isfinite()]


@pytest.mark.parametrize(
    ("name", "found", "text"),
    [
        ("std", 0.0621, "6.2e-02"),
        ("std", 0.0, "0"),
        ("l2", 1.5e-300, "2e-300"),
        ("mean", -7.8e-5, "-7.8e-05"),
        ("mean", -1.5e-300, "-2e-300"),
        ("abs_max", NAN, "NaN"),
        ("abs_max", math.inf, "Inf"),
        ("mean", -math.inf, "-Inf"),
        ("nan", 999_999.0, "999,999"),
        ("inf", 12_345_678.0, "12.3 M"),
        ("zero", 0.0, "0"),
        ("zero", 1e-9, "<0.1 %"),
        ("zero", 0.125, "12.5 %"),
        ("zero", 1 - 1e-9, ">99.9 %"),
        ("zero", 1.0, "100 %"),
        ("size", 1_500_000.0, "1.5 MB"),
    ],
)
def test_a_figure_is_written_as_people_read_it_and_fits_its_column(
    name: str, found: float, text: str
) -> None:
    assert figure_text(name, found) == text
    assert len(text) <= (SIGNED_WIDTH if name == "mean" else WIDTH)


def test_bars_are_as_long_as_what_they_show_and_what_is_not_zero_is_seen() -> None:
    assert bar(1.0, 4, plain=False) == "████"
    assert bar(0.5, 4, plain=False) == "██  "
    assert bar(0.28125, 4, plain=False) == "█▏  "
    assert bar(1e-9, 4, plain=False) == "▏   "
    assert bar(0.0, 4, plain=False) == "    "
    assert bar(0.5, 8, plain=True) == "####    "
    assert bar(1e-9, 8, plain=True) == "#       "
    for share in range(101):
        for plain in (True, False):
            assert cell_len(bar(share / 100, 8, plain=plain)) == 8
            assert bar(share / 100, 8, plain=plain).isascii() >= plain


def test_bars_have_the_ends_of_the_heatmap_where_there_are_colours_and_none_elsewhere() -> None:
    most, least = (tone(1.0, TRUECOLOR, negative=sign, light=False).color for sign in (False, True))
    assert most is not None
    assert least is not None
    assert (tuple(most.triplet or ()), tuple(least.triplet or ())) == ((255, 150, 40), (70, 150, 255))
    assert tone(1.0, EIGHT_BIT, negative=False, light=True).color is not None
    for depth in (STANDARD, MONO):
        assert tone(1.0, depth, negative=False, light=False) == PLAIN


def test_a_block_has_the_figure_over_all_below_and_a_fold_over_all_that_it_stands_for(opened: Opened) -> None:
    tensors = state()
    layers, folded = row_of(opened, "layers"), row_of(opened, "layers.1")
    first = row_of(opened, "layers.0")
    assert opened.view.stands_for(folded) is not None
    each = [joined([tensors[f"layers.{layer}.{part}"] for part in ("weight", "norm")]) for layer in range(5)]
    column = FigureColumn(opened, "std")
    found = column.values([layers, folded, first])
    wanted = [torch.cat(each).std(), torch.cat(each[1:]).std(), each[0].std()]
    assert found == pytest.approx([value.item() for value in wanted], rel=1e-9)
    assert column.cell(layers, None).bad
    assert column.cell(folded, None).bad
    assert not column.cell(first, None).bad
    assert FigureColumn(opened, "zero").values([folded]) == pytest.approx([4 / 144])
    assert FigureColumn(opened, "size").values([layers, folded]) == [5 * 144, 4 * 144]
    # What stood in for others stands for itself once they are shown.
    opened.view.unfold(folded)
    column.rows_changed()
    assert column.values([folded]) == pytest.approx([each[1].std().item()], rel=1e-9)


def test_bars_are_relative_to_the_largest_beside_sizes_to_the_block_around_and_shares_to_all(
    opened: Opened,
) -> None:
    first, folded = row_of(opened, "layers.0"), row_of(opened, "layers.1")
    column = FigureColumn(opened, "l2")
    one, many = column.values([first, folded])
    assert one is not None
    assert many is not None
    assert column.cell(folded, None).share == 1.0
    assert column.cell(first, None).share == pytest.approx(one / many)
    assert FigureColumn(opened, "size").cell(first, None).share == pytest.approx(1 / 5)
    zeros = FigureColumn(opened, "zero")
    assert zeros.cell(folded, None)._replace(share=0.0) == FigureCell("2.8 %", bad=True)
    assert zeros.cell(folded, None).share == pytest.approx(4 / 144)
    # In a list all are beside each other.
    flat = FlatView(opened.tree)
    bias = row_of(opened, "head.bias")
    means = FigureColumn(opened, "mean")
    weight = state()["layers.4.weight"].double().mean().item()
    assert max(abs(weight), 2.0) == 2.0
    assert means.cell(bias, flat) == FigureCell("-2.0e+00", 1.0, negative=True)
    share = means.cell(row_of(opened, "layers.4.weight"), flat).share
    assert share == pytest.approx(abs(weight) / 2, rel=1e-6)
    assert FigureColumn(opened, "size").cell(bias, flat).share == pytest.approx(8 / 128)


def test_a_row_without_a_figure_says_why(opened: Opened) -> None:
    cells = {
        name: FigureColumn(opened, "std").cell(row_of(opened, name), None)
        for name in ("spoilt", "endless", "one", "unknown", "unreadable")
    }
    assert cells == {
        "spoilt": FigureCell("NaN", bad=True),
        "endless": FigureCell("Inf", bad=True),
        "one": FigureCell("-"),
        "unknown": FigureCell(""),
        "unreadable": FigureCell("?"),
    }
    counts = FigureColumn(opened, "nan")
    assert counts.cell(row_of(opened, "spoilt"), None) == FigureCell("3", 1.0, bad=True)
    assert counts.cell(row_of(opened, "embed"), None) == FigureCell("0")


def test_what_comes_to_be_known_is_shown_from_then_on(opened: Opened) -> None:
    column, row = FigureColumn(opened, "std"), row_of(opened, "unknown")
    assert column.cell(row, None) == FigureCell("")
    before = column.stamp
    tensor = opened.tree.tensor[row]
    opened.figures.add(tensor, measured([0.0, 20.0]).statistics)
    assert column.stamp != before
    text, share, *_ = column.cell(row, None)
    assert (text, share) == ("1.4e+01", 1.0)
    opened.figures.forget([tensor])
    assert column.cell(row, None) == FigureCell("")


def test_figures_are_gone_through_and_those_that_there_are_none_of_are_left_out(opened: Opened) -> None:
    def walk() -> list[str]:
        out: list[str] = []
        while not out or opened.figure_shown:
            opened.figure_shown = next_figure(opened)
            out.append(opened.figure_shown)
        return out

    assert walk() == [*(name for name in FIGURE_WORDS if name != "gradient"), ""]
    gradient = Figures(True, 3.0, 3.0, 0, 0, 0, 24, 1.0, 0)
    opened.take_gradients(Gradients(1, 0.0, "loss", "inputs", 0, {0: gradient}))
    assert walk() == [*FIGURE_WORDS, ""]
    # Gone again while it was shown: the next one comes after it all the same.
    opened.figure_shown = "gradient"
    opened.take_gradients(Gradients(0, None, "", "", None, {}))
    assert next_figure(opened) == "size"
    assert FigureColumn(opened, "gradient").values([0]) == [None]


def row_text(opened: Opened, row: int, width: int, name: str = "", order: str | None = None) -> str:
    figure = FigureLook(name, "6.2e-02", WIDTH, PLAIN, lambda length: ("#" * length, PLAIN)) if name else None
    look = RowLook(width, False, order, False, None, PLAIN, lambda _: PLAIN, lambda _: None, figure)
    return "".join(text for text, _ in pieces(opened, row, look))


def test_a_figure_takes_its_room_from_facts_and_bars_before_it_takes_it_from_names(opened: Opened) -> None:
    row = row_of(opened, "embed.weight")

    def words(width: int) -> str:
        return " ".join(row_text(opened, row, width, "std").split())

    assert words(77) == "weight [6, 4] f32 96 B ######## 6.2e-02"
    assert words(47) == "weight [6, 4] f32 #### 6.2e-02"
    assert words(38) == "weight [6, 4] #### 6.2e-02"
    assert words(34) == "weight [6, 4] 6.2e-02"
    assert words(28) == "weight 6.2e-02"
    labels = ["embed", "layers x5", "0", "1 ... 4  x4 as 0", "head", "spoilt", "unreadable"]
    for width in range(2 + MIN_NAME + WIDTH, 140):
        lines = [row_text(opened, other, width, "std") for other in opened.view.rows]
        # The last cell stays free.
        assert {cell_len(line) for line in lines} == {width - 1}
        assert all(line.endswith(" 6.2e-02") for line in lines)
        if width >= 40:
            assert all(any(label in line for line in lines) for label in labels)


def test_what_the_figure_says_is_not_said_twice(opened: Opened) -> None:
    tensor, block = row_of(opened, "embed.weight"), row_of(opened, "embed")
    assert "96 B" in row_text(opened, tensor, 77)
    assert "96 B" not in row_text(opened, tensor, 77, "size")
    assert row_text(opened, block, 77, "size").split() == ["▸", "embed", "24", "#" * 8, "6.2e-02"]
