"""Live models on the screen: what is asked of them, what they answer, and what is said when they cannot."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import torch
from textual.widgets import Input
from torch import nn

from paramtui.core.model_target import ModelOptions
from paramtui.core.source import Outcome
from paramtui.errors import CandidatesError, EngineError, RunStoppedError, UserCodeError
from paramtui.models.host import ModuleHost
from paramtui.models.loading import Loaded
from paramtui.models.module_source import ModuleSource
from paramtui.opening import TargetOpener
from paramtui.samples import samples_directory
from paramtui.tui.screens.candidates import CandidatesScreen
from paramtui.tui.screens.inputs import InputsScreen
from paramtui.tui.screens.output import OutputLines
from paramtui.tui.screens.picture import PictureScreen
from paramtui.tui.widgets.distribution_pane import DistributionPane
from paramtui.tui.widgets.overview_picture import OverviewPicture
from tests.tui.screens import WIDE, Looker, lines_of, looking_at

if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from pathlib import Path

    from paramtui.core.source import Reader, Watch
    from tests.conftest import Save


def tied() -> Any:
    torch.manual_seed(0)
    shared = nn.Linear(8, 8)
    return nn.Sequential(nn.Linear(4, 8), nn.ReLU(), shared, shared, nn.Linear(8, 1))


def source_of(model: nn.Module, **options: Any) -> ModuleSource:
    host = ModuleHost(Loaded(model, None, "given", "", called=False), "model", ModelOptions(**options))
    host.load_weights()
    return ModuleSource(host)


@asynccontextmanager
async def on_model(
    model: nn.Module | Reader, size: tuple[int, int] = WIDE, **options: Any
) -> AsyncIterator[Looker]:
    source = source_of(model, **options) if isinstance(model, nn.Module) else model

    async def opener(_target: str, _watch: Watch) -> Reader:
        return source

    async with looking_at("model", size, opener=opener) as looker:
        yield looker


async def pressed_until_said(looker: Looker, key: str, words: str) -> None:
    await looker.press(key)
    await looker.until(lambda: words in looker.footer())
    await looker.settle()


async def test_the_tree_shows_classes_and_layers_without_parameters() -> None:
    async with on_model(tied()) as looker:
        rows = looker.rows()
        assert [row.split()[-4] for row in rows if "▸" in row] == ["Linear"] * 4
        assert "ReLU" in rows[1]
        await looker.press("+", "down")
        assert "torch.nn.parameter.Parameter  requires_grad True  is_leaf True  cpu" in " ".join(
            looker.page()
        )
        assert "model[0].weight" in "\n".join(looker.page())
        assert looker.title().split()[-2:] == ["cpu", "train"]


async def test_a_block_says_its_configuration_its_mode_and_what_is_trained() -> None:
    model = tied()
    model[0].requires_grad_(requires_grad=False)
    model[2].eval()
    async with on_model(model) as looker:
        await looker.press("a")
        page = "\n".join(looker.page())
        assert "81 trainable  40 frozen" in page
        await looker.press("escape", "down", "down")
        page = "\n".join(looker.page())
        assert "in evaluation mode" in page
        assert "Linear(in_features=8, out_features=8, bias=True)" in page
        await looker.press("down")
        assert "the same module as 2" in "\n".join(looker.page())


async def test_memory_of_parameters_is_not_counted_again_as_buffers() -> None:
    model = tied()
    model.register_buffer("view", model[0].weight.detach()[:2])
    async with on_model(model) as looker:
        await looker.press("a")
        page = "\n".join(looker.page())
        assert "121 trainable" in page
        assert "in buffers" not in page
    model.register_buffer("own", torch.zeros(7))
    model[0].weight.requires_grad_(requires_grad=False)
    async with on_model(model) as looker:
        await looker.press("a")
        assert "89 trainable  32 frozen  7 in buffers" in "\n".join(looker.page())


async def test_backward_fills_the_panel_and_the_column() -> None:
    model = tied()
    async with on_model(model) as looker:
        await looker.press("+", "down")
        assert "No gradient yet" in lines_of(looker.gradient)[0]
        await pressed_until_said(looker, "g", "backward: loss")
        assert "inputs 2x4 (derived from the layer Linear)" in looker.footer()
        gradient = model[0].weight.grad
        assert gradient is not None
        assert f"norm {gradient.norm():.4g}" in lines_of(looker.gradient)[0]
        assert "model[0].weight.grad" in lines_of(looker.gradient)[1]
        shown = [line.split()[1:] for line in lines_of(looker.gradient)[3:]]
        for row, numbers in zip(shown, gradient.tolist(), strict=False):
            assert [float(text) for text in row] == pytest.approx(numbers, abs=5e-5)
        assert f"{gradient.norm():.1e}" in looker.at()
        assert looker.at()[1] == " " and looker.at()[2] == "g"
        block = sum(parameter.grad.norm() ** 2 for parameter in model[0].parameters()) ** 0.5
        assert f"{block:.1e}" in looker.rows()[0]


async def test_a_shared_parameter_s_gradient_is_called_a_sum() -> None:
    async with on_model(tied()) as looker:
        await looker.press("+", *["down"] * 5)
        await pressed_until_said(looker, "g", "backward")
        assert "the sum over its 2 places" in " ".join(lines_of(looker.gradient)[:2])


async def test_no_gradient_yet_frozen_and_unreached_are_three_messages() -> None:
    model = nn.ModuleDict({"used": nn.Linear(4, 2), "frozen": nn.Linear(4, 2), "unused": nn.Linear(3, 2)})
    model["frozen"].requires_grad_(requires_grad=False)
    model.forward = lambda x: model["used"](x) + model["frozen"](x)
    async with on_model(model) as looker:
        await looker.press("+", "down")
        assert "No gradient yet" in lines_of(looker.gradient)[0]
        await looker.press(*["down"] * 3)
        assert "Frozen" in lines_of(looker.gradient)[0]
        await pressed_until_said(looker, "g", "backward")
        assert "Frozen" in lines_of(looker.gradient)[0]
        assert "frozen" in looker.at()
        await looker.press(*["down"] * 3)
        assert "Not reached" in lines_of(looker.gradient)[0]
        assert "None" in looker.at() and looker.at()[1] == "-"


async def test_nan_and_exact_zero_are_marked() -> None:
    for name, mark, words in (("exploding", "!", "NaN 32"), ("branches", "0", "exactly zero")):
        path = samples_directory() / f"{name}.py"
        opener = TargetOpener()
        async with looking_at(path, opener=opener) as looker:
            await looker.press("+", *["down"] * (1 if name == "exploding" else 7))
            await pressed_until_said(looker, "g", "backward")
            assert looker.at()[1] == mark
            assert words in " ".join(lines_of(looker.gradient)[:2])
            if name == "exploding":
                # The block around it says so too.
                assert looker.rows()[0][1] == "!"


async def test_gradients_accumulate_and_are_set_to_none() -> None:
    model = tied()
    async with on_model(model) as looker:
        await looker.press("+", "down")
        await pressed_until_said(looker, "g", "backward")
        first = model[4].bias.grad.clone()
        await pressed_until_said(looker, "A", "backward")
        await looker.press("a", "2")
        assert "2 passes accumulated" in " ".join(lines_of(looker.gradient))
        assert torch.equal(model[4].bias.grad, 2 * first)  # its gradient does not depend on the input
        await pressed_until_said(looker, "z", "None")
        assert all(parameter.grad is None for parameter in model.parameters())


async def test_gradients_that_are_there_already_are_shown() -> None:
    model = tied()
    model(torch.ones(1, 4)).sum().backward()
    async with on_model(model) as looker:
        await looker.press("+", "down")
        assert f"norm {model[0].weight.grad.norm():.4g}" in lines_of(looker.gradient)[0]


async def test_train_and_eval_change_the_whole_model_and_the_cursor_stays() -> None:
    model = tied()
    async with on_model(model) as looker:
        await looker.press("right", "down")
        await pressed_until_said(looker, "T", "eval()")
        assert not any(module.training for module in model.modules())
        assert looker.title().split()[-1] == "eval"
        assert "weight" in looker.at()
        await pressed_until_said(looker, "T", "train()")
        assert all(module.training for module in model.modules())


async def test_a_lazy_layer_is_listed_anew_once_it_has_a_shape() -> None:
    async with on_model(nn.Sequential(nn.LazyLinear(3))) as looker:
        await looker.press("+", "down")
        assert "[*]" in looker.at()
        assert "not initialised" in "\n".join(looker.page())
        await pressed_until_said(looker, "g", "backward")
        assert "[3, 4]" in looker.at()
        assert looker.numbers()


async def test_values_and_gradient_show_the_same_window() -> None:
    model = nn.Linear(60, 50)
    async with on_model(model) as looker:
        await pressed_until_said(looker, "g", "backward")
        await looker.press("tab", *["down"] * 5, "right")
        assert looker.gradient.aim is not None and looker.values.aim is not None
        assert (looker.gradient.aim.top, looker.gradient.aim.left) == (5, 1)
        await looker.press("tab", "end")
        assert looker.gradient.has_focus
        assert looker.values.aim.top == looker.gradient.aim.top > 5
        await looker.press("tab", "tab")
        assert looker.at()
        assert looker.tree.has_focus


async def test_at_80_columns_the_gradient_is_a_tab() -> None:
    async with on_model(tied(), (80, 24)) as looker:
        await looker.press("+", "down")
        await pressed_until_said(looker, "g", "backward")
        await looker.press("2")
        assert "[2 Gradient]" in "\n".join(looker.screen())
        assert "norm" in lines_of(looker.gradient)[0]
        await looker.press("q")
        assert looker.app.screen.focused is looker.tree


class Picky(nn.Linear):
    """Takes three dimensions only, of sizes nobody guesses."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if x.shape != (3, 7, 4):
            raise AssertionError
        return super().forward(x)


async def test_a_form_asks_for_inputs_when_none_fits() -> None:
    model = Picky(4, 2)
    async with on_model(model) as looker:
        await looker.press("g")
        await looker.until(lambda: isinstance(looker.app.screen, InputsScreen) and looker.app.focused)
        await looker.until(lambda: "Tried" in "\n".join(looker.screen()))
        text = "\n".join(looker.screen())
        assert "forward(x), and none of those tried fits" in text
        assert "2x4: AssertionError at" in text
        await looker.pilot.press(*"3xx", "enter")
        await looker.until(lambda: "is no shape" in "\n".join(looker.screen()))
        looker.app.screen.query_one(Input).value = "3x7x4"
        await looker.pilot.press("enter")
        await looker.until(lambda: "inputs 3x7x4" in looker.footer())
        assert model.weight.grad is not None


async def test_a_failure_in_the_model_s_code_is_said_with_its_line() -> None:
    class Fails(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            raise OSError("disk on fire")

    async with on_model(Fails(4, 2), inputs="2x4") as looker:
        await pressed_until_said(looker, "g", "OSError: disk on fire")
        assert "test_live.py:" in looker.footer()


async def test_weights_that_do_not_fit_are_marked_and_what_would_fit_is_one_key_away(save: Save) -> None:
    model = tied()
    state = tied().state_dict()
    del state["0.bias"]
    state |= {"4.weight": torch.ones(1, 9), "old.scale": torch.ones(3)}
    saved = save({"net": {f"module.{name}": tensor + 1 for name, tensor in state.items()}})
    async with on_model(model, weights=str(saved), size=(200, 50)) as looker:
        assert "W loads the entry net without the prefix module." in looker.footer()
        before = model[0].weight.clone()
        await pressed_until_said(looker, "W", "1 missing, 1 unexpected, 1 of another shape")
        assert torch.equal(model[0].weight, before + 1)
        await looker.press("+")
        rows = looker.rows()
        missing = next(row for row in rows if row.split()[:2] == ["?", "bias"])
        assert "[8]" in missing
        assert any("only in" in row and "[3]" in row for row in rows)
        await looker.press("slash", *"4.weight", "enter")
        assert "[1, 8] here, [1, 9] in" in "\n".join(looker.page())
        await looker.press("a")
        assert "1 missing" in "\n".join(looker.page())


class Stub(ModuleSource):
    """A source whose pass waits until it is told how to end."""

    def __init__(self) -> None:
        host = ModuleHost(Loaded(tied(), None, "given", "", called=False), "model", ModelOptions())
        super().__init__(host)
        self.answer: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self.interrupts = 0
        self.restarts = 0

    async def backward(self, inputs: str | None, *, accumulate: bool) -> Outcome:  # noqa: ARG002
        return await asyncio.shield(self.answer)

    async def interrupt(self) -> bool:
        self.interrupts += 1
        return True

    async def restart(self, *, replay: bool) -> Outcome:
        assert replay
        self.restarts += 1
        self.ended = ""
        return Outcome(self.gradients, self.listing, "the model was built anew")


async def test_a_running_pass_is_shown_and_stopped_politely_and_then_by_force() -> None:
    stub = Stub()
    async with on_model(stub) as looker:
        await looker.press("g")
        await looker.until(lambda: "backward…" in looker.title() and "esc stops" in looker.title())
        await pressed_until_said(looker, "g", "backward is still running")
        await looker.press("down")
        assert looker.at().split()[1] == "1"  # the tree answers meanwhile
        await looker.press("escape")
        await looker.until(lambda: stub.interrupts == 1 and "stopping" in looker.title())
        await looker.until(lambda: "esc again ends the engine" in looker.footer())
        await looker.press("escape")
        await looker.until(lambda: "built anew" in looker.footer())
        assert stub.restarts == 1
        assert "train" in looker.title()


async def test_a_stopped_pass_is_said() -> None:
    stub = Stub()
    async with on_model(stub) as looker:
        await looker.press("g")
        await looker.until(lambda: "backward…" in looker.title())
        stub.answer.set_exception(RunStoppedError("the forward pass was stopped"))
        await looker.until(lambda: "was stopped" in looker.footer())


async def test_an_engine_that_dies_is_said_and_started_again_at_a_key() -> None:
    stub = Stub()
    async with on_model(stub) as looker:
        await looker.press("g")
        await looker.until(lambda: "backward…" in looker.title())
        stub.ended = "the engine was ended by SIGKILL"
        stub.answer.set_exception(EngineError(stub.ended))
        await looker.until(lambda: "SIGKILL" in looker.footer() and "ctrl+r" in looker.footer())
        assert "engine ended" in looker.title()
        assert looker.rows()[0].split()[1] == "▸"
        await pressed_until_said(looker, "T", "ctrl+r starts it again")
        await pressed_until_said(looker, "ctrl+r", "built anew")
        assert "engine ended" not in looker.title()


async def test_the_command_that_reopens_a_view_has_the_model_s_options() -> None:
    path = samples_directory() / "tied_layers.py"
    opener = TargetOpener(str(path), ModelOptions(seed=3, inputs="5x4"))
    async with looking_at(path, opener=opener, size=(200, 40)) as looker:
        await pressed_until_said(looker, "Y", f"{path} --seed 3 --inputs 5x4")
    async with on_model(tied()) as looker:
        await pressed_until_said(looker, "Y", "no command opens")


async def test_keys_for_models_say_so_at_a_checkpoint(example: Path) -> None:
    async with looking_at(example) as looker:
        for key in ("g", "A", "z", "T", "b"):
            await pressed_until_said(looker, key, "a checkpoint has no model to run")
        assert "A checkpoint stores no gradients" in lines_of(looker.gradient)[0]


async def test_moments_of_a_checkpoint_stand_in_the_gradient_panel(save: Save) -> None:
    net: Any = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.randn(5, 3)).sum().backward()
    optimizer.step()
    path = save({"model": net.state_dict(), "optimizer": optimizer.state_dict()})
    async with looking_at(path, at="model.0.weight") as looker:
        await looker.until(lambda: "exp_avg" in lines_of(looker.gradient)[0])
        head = lines_of(looker.gradient)[0]
        assert "[exp_avg]" in head and "step 1" in head
        moments = optimizer.state[net[0].weight]
        for key in ("exp_avg", "exp_avg_sq"):
            shown = [line.split()[1:] for line in lines_of(looker.gradient) if line.split()[0] in ("0", "1")][
                -2:
            ]
            numbers = [[float(text) for text in row] for row in shown]
            assert numbers == [pytest.approx(row, rel=1e-3, abs=1e-4) for row in moments[key].tolist()]
            await looker.press("M")


# Opening


async def test_a_factory_that_fails_is_shown_with_its_line_and_its_output(tmp_path: Path) -> None:
    path = tmp_path / "fails_to_build.py"
    path.write_text("def build():\n    print('so far')\n    raise ValueError('no luck')")
    async with looking_at(path, opener=TargetOpener(), size=(160, 30)) as looker:
        text = "\n".join(looker.screen())
        assert "fails_to_build.py:3: build() failed: ValueError: no luck" in text
        assert "ctrl+r tries again" in text and "p shows" in text
        await looker.press("p")
        await looker.until(lambda: looker.app.screen.query(OutputLines))
        await looker.until(lambda: "so far" in "\n".join(looker.screen()))
        await looker.press("p")
        path.write_text("from torch import nn\ndef build(): return nn.Linear(2, 1)")
        await looker.press("ctrl+r")
        await looker.until(lambda: looker.app.browser.has_class("-open"))
        assert "weight" in looker.rows()[0]


async def test_one_of_several_models_is_chosen_from_a_list() -> None:
    asked: list[str] = []

    async def opener(target: str, _watch: Watch) -> Reader:
        asked.append(target)
        if ":" not in target:
            raise CandidatesError(target, [f"{target}:A", f"{target}:B"])
        return source_of(nn.Linear(1, 1))

    async with looking_at("net.py", opener=opener) as looker:
        await looker.until(lambda: isinstance(looker.app.screen, CandidatesScreen) and looker.app.focused)
        await looker.pilot.press("down", "enter")
        await looker.until(lambda: looker.app.browser.has_class("-open"))
        assert asked == ["net.py", "net.py:B"]


async def test_stages_of_building_are_shown_and_esc_gives_up() -> None:
    closed = asyncio.Event()

    async def opener(_target: str, watch: Watch) -> Reader:
        watch.told("stage", "calling build()")
        watch.told("output", "hello\n")
        try:
            await asyncio.Event().wait()
        finally:
            closed.set()
        raise UserCodeError("never")

    from paramtui.tui.app import ParamtuiApp

    app = ParamtuiApp("net.py", opener)
    async with app.run_test(size=WIDE) as pilot:
        looker = Looker(app, pilot)
        await looker.until(lambda: "calling build()…" in looker.title())
        await looker.until(lambda: " 1 s  esc stops" in looker.title())
        await pilot.press("escape")
        await closed.wait()
        await looker.until(lambda: "ctrl+r tries again" in "\n".join(looker.screen()))


async def test_what_a_model_of_this_process_prints_is_kept_for_its_panel() -> None:
    class Speaks(nn.Linear):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            print("hello from forward")
            return super().forward(x)

    source = source_of(Speaks(2, 1))

    async def opener(_target: str, _watch: Watch) -> Reader:
        return source

    async with looking_at("model", opener=opener, guest=True) as looker:
        await pressed_until_said(looker, "g", "backward")
        assert "hello from forward" in looker.app.output.lines
        await pressed_until_said(looker, "o", "the program that called it")


async def test_all_tensors_of_a_model_are_looked_at_and_known_until_they_change() -> None:
    model = tied()
    async with on_model(model) as looker:
        browser = looker.app.browser

        def known() -> set[int]:
            opened = browser.opened
            assert opened is not None
            return {tensor for tensor in range(len(opened.listing)) if opened.figures.of(tensor) is not None}

        await pressed_until_said(looker, "I", "6 tensors looked at: all numbers finite")
        assert len(known()) == 8
        # Another mode is another listing of the same numbers.
        await pressed_until_said(looker, "T", "eval()")
        assert len(known()) == 8
        await looker.press("+", "down", "e")
        await looker.press(*"= 2", "enter")
        await looker.until(lambda: _mean(looker, 0) == 2)
        await pressed_until_said(looker, "g", "backward: loss")
        assert len(known()) == 8


def _mean(looker: Looker, tensor: int) -> float | None:
    opened = looker.app.browser.opened
    found = opened.figures.of(tensor) if opened is not None else None
    return found.mean if found is not None else None


async def test_the_distribution_of_a_parameter_has_its_gradient_on_the_same_axis() -> None:
    model = tied()
    async with on_model(model, (160, 60)) as looker:
        await looker.press("+", "down")
        await pressed_until_said(looker, "g", "backward: loss")
        gradient = model[0].weight.grad
        assert gradient is not None
        pane = looker.app.browser.query_one(DistributionPane)
        await looker.until(lambda: len(pane._found) == 2)
        (_, weight), (_, other) = pane._found
        assert weight.statistics.l2 == pytest.approx(float(model[0].weight.detach().norm()), rel=1e-6)
        assert other.statistics.l2 == pytest.approx(float(gradient.norm()), rel=1e-6)


async def test_the_picture_of_a_gradient_is_that_of_the_whole_gradient() -> None:
    model = tied()
    async with on_model(model, (160, 60)) as looker:
        await looker.press("+", "down")
        await pressed_until_said(looker, "g", "backward: loss")
        gradient = model[0].weight.grad
        assert gradient is not None
        await looker.press("2", "V")
        await looker.until(lambda: isinstance(looker.app.screen, PictureScreen))
        picture = looker.app.screen.query_one(OverviewPicture)
        await looker.until(lambda: picture._found is not None)
        found = picture._found
        assert found is not None
        assert found.mean == pytest.approx(gradient.double().numpy())
        await looker.press("escape")
        await looker.until(lambda: not isinstance(looker.app.screen, PictureScreen))
