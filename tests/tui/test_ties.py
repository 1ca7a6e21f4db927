"""Shared memory on the screen: seen, gone through, listed, tied and untied."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import safetensors.torch
import torch
from textual.widgets import OptionList, Static
from torch import nn

from paramtui.tui.screens.ask import AskScreen
from paramtui.tui.screens.groups import GroupsScreen
from paramtui.tui.widgets.tree_pane import TreePane
from tests.tui.edited import burst, done, editing, line_notes, said, typed
from tests.tui.screens import Looker, lines_of, looking_at
from tests.tui.test_live import on_model

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Save


def tied() -> Any:
    """The tutorial's net: one layer at two places."""
    torch.manual_seed(0)
    shared = nn.Linear(8, 8)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), shared, nn.ReLU(), shared, nn.ReLU(), nn.Linear(8, 1))


def many_kinds() -> dict[str, Any]:
    """Aliases, overlapping views, and views of one storage that do not touch."""
    torch.manual_seed(0)
    weight, fused, halves = torch.randn(6, 4), torch.randn(12, 4), torch.randn(8)
    return {
        "emb": {"weight": weight},
        "head": {"weight": weight},
        "attn": {"qkv": fused, "q": fused[:4], "k": fused[4:8]},
        "left": halves[:4],
        "right": halves[4:],
        "alone": torch.zeros(3),
    }


def marks(looker: Looker) -> dict[str, str]:
    """What stands before each name in the tree."""
    out = {}
    for row in looker.rows():
        out[row[3:].replace("▸", "").replace("▾", "").split()[0]] = row[1:3].strip()
    return out


async def asked(looker: Looker) -> str:
    await looker.until(lambda: isinstance(looker.app.screen, AskScreen))
    screen = looker.app.screen
    return "\n".join(str(widget.content) for widget in screen.query(Static))


# Seen


async def test_three_kinds_of_sharing_look_different_and_closed_blocks_show_what_they_hold(
    save: Save,
) -> None:
    async with looking_at(save(many_kinds())) as looker:
        assert {row[1:2] for row in looker.rows()} == {" "}
        await looker.press("t")
        assert marks(looker) == {
            "emb": "A=",
            "head": "A=",
            "attn": "B~",
            "left": "a/",
            "right": "a/",
            "alone": "",
        }
        await looker.press("+")
        found = marks(looker)
        assert (found["emb"], found["attn"]) == ("", "")
        assert (found["weight"], found["qkv"], found["q"], found["k"]) == ("A=", "B~", "B~", "B~")
        # Without it only the letters of what shares bytes.
        await looker.press("t")
        rows = looker.rows()
        assert [row[1] for row in rows if "weight" in row] == ["A", "A"]
        assert [row[1] for row in rows if "left" in row or "right" in row] == [" ", " "]


async def test_a_closed_block_with_several_groups_says_so(save: Save) -> None:
    first, second = torch.randn(3), torch.randn(3)
    path = save({"all": {"a": first, "b": first, "c": second, "d": second}})
    async with looking_at(path) as looker:
        await looker.press("t")
        assert marks(looker)["all"] == "A+"


async def test_each_group_has_a_colour_of_its_own_and_no_colour_without_colours(save: Save) -> None:
    path = save({"a": (first := torch.randn(3)), "b": first, "c": (other := torch.randn(3)), "d": other})
    async with looking_at(path) as looker:
        await looker.press("t", "end")
        colours = []
        for y in range(3):
            segments = list(looker.tree.render_line(y))
            styles = [seg.style.color for seg in segments if seg.text.strip() in ("A=", "B=") and seg.style]
            colours.append(styles[0])
        assert colours[0] == colours[1] != colours[2]


async def test_keys_go_to_the_next_name_and_to_the_next_group(save: Save) -> None:
    async with looking_at(save(many_kinds())) as looker:
        await looker.press(")")
        # From a block that holds names to the first of these.
        assert "weight" in looker.at()
        await looker.press(")")
        assert looker.values.border_title is not None
        assert "head.weight" in str(looker.values.border_title)
        await looker.press(")")
        assert "emb.weight" in str(looker.values.border_title)
        await looker.press("(")
        assert "head.weight" in str(looker.values.border_title)
        assert "name 2 of 2" in looker.footer()
        await looker.press("}")
        assert "attn.qkv" in str(looker.values.border_title)
        await looker.press("}")
        assert "left" in str(looker.values.border_title)
        await looker.press("}")
        assert "emb.weight" in str(looker.values.border_title)
        await looker.press("{")
        assert "left" in str(looker.values.border_title)
        await looker.press("end", ")")
        assert "this shares memory with nothing" in looker.footer()
        # A jump is a place to go back from.
        await looker.press("<")
        assert "left" in str(looker.values.border_title)


async def test_a_tensor_names_its_partners_and_what_they_have_in_common(save: Save) -> None:
    async with looking_at(save(many_kinds()), at="attn.q") as looker:
        page = "\n".join(looker.page())
        assert "B~  overlaps attn.qkv (this is its [0:4])" in page
        assert "touches only through others attn.k" in page
        await looker.press(")")
        assert "in one storage, without a byte in common, with" not in "\n".join(looker.page())
    async with looking_at(save(many_kinds()), at="left") as looker:
        assert "a/  in one storage, without a byte in common, with right" in "\n".join(looker.page())


async def test_a_name_that_is_declared_is_a_ghost_row_that_leads_to_its_tensor(tmp_path: Path) -> None:
    class Language(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.emb = nn.Embedding(20, 4)
            self.out = nn.Linear(4, 20, bias=False)
            self.out.weight = self.emb.weight

    path = tmp_path / "lm.safetensors"
    safetensors.torch.save_model(Language(), str(path))
    (kept,) = safetensors.torch.load_file(path)
    (left,) = {"emb.weight", "out.weight"} - {kept}
    async with editing(path) as looker:
        await looker.press("+", "t")
        ghost = next(row for row in looker.rows() if f"= {kept} (d" in row)
        assert ghost[1:3] == "A:"
        await looker.press("}", ")")
        page = "\n".join(looker.page())
        assert "not stored here: declared by the header to be the same tensor as" in page
        assert f"{kept}: ) goes there" in page
        await looker.press("i")
        assert f"it is declared to be {kept}" in looker.footer()
        await looker.press(")")
        assert kept in str(looker.values.border_title)
        assert f"A:  declared by the header to be {left}" in "\n".join(looker.page())


async def test_a_config_that_contradicts_the_file_is_said_at_the_tensor_and_in_the_list(
    tmp_path: Path,
) -> None:
    state = {"model.embed_tokens.weight": torch.randn(50, 8), "lm_head.weight": torch.randn(50, 8)}
    safetensors.torch.save_file(state, str(tmp_path / "model.safetensors"), metadata={"format": "pt"})
    config = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "tie_word_embeddings": True}
    (tmp_path / "config.json").write_text(json.dumps(config))
    async with looking_at(tmp_path, at="lm_head.weight") as looker:
        assert "1 warning" in looker.title()
        assert "config.json ties lm_head.weight to" in " ".join(looker.page())
        await looker.press("P")
        await looker.until(lambda: isinstance(looker.app.screen, GroupsScreen))
        assert any("config.json ties lm_head.weight" in line for line in looker.screen())


# Counted


async def test_totals_say_unique_and_listed_and_blocks_count_once(save: Save) -> None:
    weight = torch.randn(100, 50)
    async with looking_at(save({"m": {"a": weight, "b": weight}, "c": torch.zeros(10)})) as looker:
        assert "5,010 elements (10.0 K listed)   20.0 kB (40.0 kB listed)" in looker.title()
        assert looker.at().split()[-3:] == ["5,000", "20.0", "kB"]
        assert "2 tensors  5,000 elements (10.0 K listed)  20.0 kB (40.0 kB listed)" in "\n".join(
            looker.page()
        )


async def test_a_view_that_keeps_a_large_storage_is_flagged(save: Save) -> None:
    async with looking_at(save({"tiny": torch.randn(1_000_000)[:3], "fine": torch.randn(4)})) as looker:
        tiny, fine = looker.rows()
        assert tiny[1] == "?"
        assert fine[1] == " "
        assert "tiny uses 12 B of a storage of 4.0 MB" in " ".join(looker.page())
        assert "28 B (4.0 MB stored)" in looker.title()
        await looker.press("a")
        assert "4.0 MB are stored that no tensor uses" in " ".join(looker.page())


# Listed


async def test_the_list_shows_groups_by_what_they_save_and_leads_to_them(save: Save) -> None:
    async with looking_at(save(many_kinds()), (100, 30)) as looker:
        await looker.press("P")
        await looker.until(lambda: isinstance(looker.app.screen, GroupsScreen))
        listed = looker.app.screen.query_one(OptionList)
        lines = [str(option.prompt) for option in listed.options]
        assert lines[0] == "names of one tensor: 2 groups, sharing saves 224 B"
        assert " ".join(lines[1].split()) == "B~ 3 names 192 B saves 128 B attn.qkv, attn.q, attn.k"
        assert "A=" in lines[2]
        assert "saves 96 B" in lines[2]
        assert "a/" in lines[4]
        await looker.pilot.press("down", "enter")
        await looker.settle()
        assert "emb.weight" in str(looker.values.border_title)


async def test_equal_copies_are_searched_for_on_demand_and_never_called_shared(save: Save) -> None:
    weight = torch.randn(6, 4)
    path = save(
        {"a": weight, "b": weight.clone(), "x": torch.ones(5), "y": torch.ones(5), "z": torch.randn(5)}
    )
    async with looking_at(path) as looker:
        await looker.press("P")
        await looker.until(lambda: isinstance(looker.app.screen, GroupsScreen))
        await looker.pilot.press("c")
        words = looker.app.screen.query_one("#entries-said", Static)
        await looker.until(lambda: "2 groups of equal copies" in str(words.content))
        assert "could be shared" in str(words.content)
        lines = [str(option.prompt) for option in looker.app.screen.query_one(OptionList).options]
        assert lines[0] == "no names share memory here"
        assert lines[1].startswith("equal copies: the same bits in memory of their own, not shared")
        assert "2 copies" in lines[2]
        assert lines[2].endswith("a, b")
        assert "all 1" in lines[3]
        assert lines[3].endswith("x, y")


async def test_a_list_longer_than_the_screen_keeps_what_is_said_of_it_in_sight(save: Save) -> None:
    tensors = [torch.randn(3) for _ in range(60)]
    path = save({f"{name}{place}": tensor for place, tensor in enumerate(tensors) for name in ("a", "b")})
    async with looking_at(path, (80, 24)) as looker:
        await looker.press("P")
        await looker.until(lambda: isinstance(looker.app.screen, GroupsScreen))
        await looker.pilot.press("c")
        await looker.until(lambda: any("no two tensors are equal" in line for line in looker.screen()))
        await looker.pilot.press("end")
        lines = looker.screen()
        assert any("a59, b59" in line and "BH=" in line for line in lines)
        assert any("the same memory" in line for line in lines)
        assert any("enter goes there" in line for line in lines)


@pytest.mark.parametrize("keys", [("enter", "enter"), ("escape", "enter"), ("n", "n"), ("y", "y")])
async def test_two_keys_at_once_answer_a_question_once(keys: tuple[str, str]) -> None:
    net: Any = nn.Sequential(layer := nn.Linear(4, 4), layer)
    async with on_model(net) as looker:
        looker.app.browser.go_to_name("1.weight")
        await looker.press("D")
        await asked(looker)
        await burst(looker, *keys)
        await looker.until(lambda: looker.app.screen is looker.app.browser)
        await looker.settle()
        if keys[0] in ("enter", "y"):
            await done(looker, 1)
            assert net[1].weight is not layer.weight
        else:
            assert net[1].weight is layer.weight
        await looker.press("P")
        await looker.until(lambda: isinstance(looker.app.screen, GroupsScreen))
        await burst(looker, "enter", "enter")
        await looker.until(lambda: looker.app.screen is looker.app.browser)


# Respected


async def test_the_tutorials_tied_net_an_edit_is_seen_at_the_twin_one_jump_away() -> None:
    net = tied()
    async with on_model(net) as looker:
        looker.app.browser.go_to_name("2.weight")
        await looker.settle()
        await looker.press("e")
        await typed(looker, "[0] = 100")
        await looker.press("enter")
        await done(looker, 1)
        changed = [row for row in looker.rows() if "*" in row[:4]]
        assert [row.split()[-4] if "weight" in row else row.split("▾")[-1].split()[0] for row in changed]
        await looker.press(")")
        assert "4.weight" in str(looker.values.border_title)
        assert {float(number) for number in looker.numbers()[0]} == {100.0}
        assert (net[4].weight[0] == 100).all()


async def test_a_jump_keeps_the_window_and_the_cell(save: Save) -> None:
    weight = torch.arange(4000.0).reshape(100, 40)
    async with editing(save({"a": weight, "b": weight, "c": torch.zeros(2, 2)}), at="a") as looker:
        looker.values.go_to("70, 3")
        await looker.settle()
        await looker.press("tab", "e", "down")
        index = looker.values.cell_index
        top = looker.values.aim.top if looker.values.aim is not None else -1
        await looker.press(")")
        assert "b" in str(looker.values.border_title)
        assert looker.values.cell_index == index
        assert looker.values.aim is not None
        assert looker.values.aim.top == top
        assert looker.values.has_focus


async def test_the_gradient_of_a_tied_parameter_says_that_it_is_the_sum() -> None:
    async with on_model(tied()) as looker:
        looker.app.browser.go_to_name("4.weight")
        await looker.press("g")
        await looker.until(lambda: "backward" in looker.footer())
        await looker.settle()
        assert "the sum over its 2 places" in " ".join(lines_of(looker.gradient))


async def test_parameters_over_one_storage_have_gradients_of_their_own_and_the_screen_says_so() -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Linear(4, 4, bias=False)
            self.two = nn.Linear(4, 4, bias=False)
            self.two.weight = nn.Parameter(self.one.weight.data)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.two(self.one(x))  # type: ignore[no-any-return]

    async with on_model(Twice()) as looker:
        looker.app.browser.go_to_name("one.weight")
        await looker.settle()
        assert "2 Parameters over one storage: each has a gradient of its own" in " ".join(looker.page())
        await looker.press("g")
        await looker.until(lambda: "backward" in looker.footer())
        await looker.settle()
        assert "of this Parameter alone" in " ".join(lines_of(looker.gradient))


# Changed


async def test_two_parameters_are_tied_and_untied_with_undo() -> None:
    net: Any = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4))
    first, second = net[0].weight, net[1].weight
    before = second.detach().clone()
    async with on_model(net) as looker:
        await looker.press("+", "t")
        looker.app.browser.go_to_name("1.weight")
        await looker.press("B")
        assert "mark the parameter to tie it to first" in looker.footer()
        looker.app.browser.go_to_name("0.weight")
        await looker.press("m")
        looker.app.browser.go_to_name("1.weight")
        await looker.press("B")
        words = await asked(looker)
        assert "model[1].weight = model[0].weight" in words
        assert "1.weight becomes the very parameter that 0.weight is" in words
        await looker.pilot.press("enter")
        await done(looker, 1)
        assert net[1].weight is net[0].weight is first
        assert said(looker) == "1.weight tied to 0.weight"
        assert [row[1:3] for row in looker.rows() if "weight" in row] == ["A=", "A="]
        # Still where it was, and what was marked and shown is so still.
        assert "1.weight" in str(looker.values.border_title)
        assert looker.app.browser.opened is not None
        assert looker.app.browser.opened.ties_shown
        await looker.press("D")
        assert "nn.Parameter(model[1].weight.detach().clone())" in await asked(looker)
        await looker.pilot.press("enter")
        await done(looker, 2)
        assert net[1].weight is not first
        assert torch.equal(net[1].weight, first)
        assert not [row for row in looker.rows() if "A=" in row]
        await looker.press("u")
        await done(looker, 1)
        assert net[1].weight is first
        await looker.press("u")
        await done(looker, 0)
        assert net[1].weight is second
        assert torch.equal(second, before)
        assert "shares memory with nothing" not in looker.footer()
        await looker.press("D")
        assert "1.weight shares memory with nothing" in looker.footer()


async def test_all_names_of_a_group_are_untied_from_each_other_at_once() -> None:
    shared = nn.Linear(4, 4)
    net: Any = nn.Sequential(shared, shared, shared)
    async with on_model(net) as looker:
        looker.app.browser.go_to_name("1.weight")
        await looker.press("D")
        assert "unties all 3 names" in await asked(looker)
        await looker.pilot.press("a")
        await done(looker, 1)
        assert len({net[at].weight.data_ptr() for at in range(3)}) == 3
        # The other parameter of the layer stays tied.
        assert net[0].bias is net[1].bias is net[2].bias
        await looker.press("u")
        await done(looker, 0)
        assert net[0] is net[1] is net[2] is shared


async def test_what_cannot_be_tied_is_said(save: Save) -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 8))
    async with on_model(net) as looker:
        looker.app.browser.go_to_name("0.weight")
        await looker.press("m", "B")
        assert "this is the marked parameter itself" in looker.footer()
        looker.app.browser.go_to_name("2.weight")
        await looker.press("B")
        assert "their shapes differ: [8, 4] here, [4, 4] marked" in looker.footer()
        looker.app.browser.go_to_name("1.running_mean")
        await looker.press("B")
        assert "1.running_mean is no parameter" in looker.footer()
    async with editing(save({"a": torch.zeros(3), "b": torch.zeros(3)})) as looker:
        await looker.press("m", "down", "B")
        assert "only the parameters of a live model are tied" in looker.footer()


# Names that are declared and not stored


def saved_once(path: Path) -> Any:
    """A net with one layer at two places, saved as safetensors saves models: one of the names is declared."""
    net = tied()
    safetensors.torch.save_model(net, str(path))
    assert "4.weight" not in safetensors.torch.load_file(path)
    return net


async def test_a_line_that_names_a_declared_name_changes_its_tensor(tmp_path: Path) -> None:
    path = tmp_path / "tied.safetensors"
    saved_once(path)
    for line in ("net[4].weight.data[0] = 100", "4.weight[0] = 100", "4.weight[0][2] *= 2"):
        async with editing(path) as looker:
            looker.app.browser.go_to_name("0.weight")
            await looker.settle()
            await looker.press("e")
            await typed(looker, line)
            note = line_notes(looker)[0]
            assert note.startswith("4.weight is declared to be 2.weight: 2.weight changes; ")
            assert "(declared)" not in note
            await looker.press("enter")
            await done(looker, 1)
            assert said(looker).startswith("2.weight[0")
            opened = looker.app.browser.opened
            assert opened is not None and opened.editor is not None
            names = {opened.listing.names[tensor] for tensor in opened.editor.history.changed}
            assert names == {"2.weight"}
            # Both names carry the mark, and both are lit for a moment.
            await looker.press("+")
            changed = [row for row in looker.rows() if "*" in row[:4] and ("weight" in row or "bias" in row)]
            assert len(changed) == 2
            assert any("= 2.weight (d" in row for row in changed)
            rows = [opened.tree.find(name)[0] for name in ("2.weight", "4.weight")]
            assert opened.rows_showing(opened.editor.history.changed) == sorted(rows)
            await looker.press("u")
            await done(looker, 0)


async def test_a_change_lights_the_names_that_are_declared_to_be_its_tensor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "tied.safetensors"
    saved_once(path)
    lit: list[list[int]] = []
    monkeypatch.setattr(TreePane, "flash", lambda self, rows: lit.append(list(rows)))
    async with editing(path) as looker:
        looker.app.browser.go_to_name("2.weight")
        await looker.settle()
        await looker.press("e")
        await typed(looker, "[0] = 100")
        assert line_notes(looker)[0] == "8 cells; also 4.weight (declared)"
        await looker.press("enter")
        await done(looker, 1)
        opened = looker.app.browser.opened
        assert opened is not None
        assert lit == [sorted(opened.tree.find(name)[0] for name in ("2.weight", "4.weight"))]


async def test_a_number_typed_at_a_declared_name_is_of_its_tensor(tmp_path: Path) -> None:
    path = tmp_path / "tied.safetensors"
    saved_once(path)
    async with editing(path) as looker:
        looker.app.browser.go_to_name("4.weight")
        await looker.settle()
        await looker.press("e")
        await typed(looker, "9")
        note = line_notes(looker)[0]
        assert note == "4.weight is declared to be 2.weight: 2.weight changes; 64 cells, all of [8, 8]"
        await looker.press("enter")
        await done(looker, 1)
        looker.app.browser.go_to_name("2.weight")
        await looker.settle()
        assert {float(number) for line in looker.numbers() for number in line} == {9.0}
        # There are no cells of its own to stand on.
        looker.app.browser.go_to_name("4.weight")
        await looker.settle()
        await looker.press("tab", "e")
        assert said(looker) == "it is not stored here: it is declared to be 2.weight, ) goes there"


async def test_copying_at_a_declared_name_copies_what_reaches_its_tensor(tmp_path: Path) -> None:
    path = tmp_path / "tied.safetensors"
    net = saved_once(path)
    async with looking_at(path, at="4.weight") as looker:
        await looker.press("y")
        assert said(looker).endswith("which 4.weight is declared to be")
        copied = eval(looker.app.clipboard, {"safetensors": safetensors})
        assert torch.equal(copied, net[4].weight)
