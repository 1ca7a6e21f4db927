"""Holds a live model and does what is asked of it, in whichever process it is."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from paramtui.core.edits import ApplyFunction
from paramtui.core.gradients import Gradients
from paramtui.core.input_spec import is_function_reference, parse_inputs
from paramtui.core.live import LiveFacts
from paramtui.core.source import Outcome, Window
from paramtui.errors import ValuesError
from paramtui.models.editing import ModelEditor
from paramtui.models.gradients import gradient_figures, held_gradient, run_backward
from paramtui.models.inputs import Inputs, as_inputs, derive_inputs, make_inputs
from paramtui.models.loading import import_file
from paramtui.models.module_listing import list_module, parameter_owners, signature
from paramtui.models.pace import Gate, Pace
from paramtui.models.pass_history import PassHistory, stands
from paramtui.models.shield import stoppable, whole
from paramtui.models.state_guard import preserved, seed_all
from paramtui.models.tensor_cells import read_window
from paramtui.models.user_code import user_code
from paramtui.models.weights_state import WeightsState

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from threading import Event

    import torch
    from torch import nn

    from paramtui.core.copies import CopySearch
    from paramtui.core.edits import Edit
    from paramtui.core.gradients import Figures
    from paramtui.core.listing import Listing
    from paramtui.core.model_target import ModelOptions
    from paramtui.core.overview import OverviewTally
    from paramtui.core.source import Preview, Saved
    from paramtui.core.statistics import Measured, Statistics
    from paramtui.models.editing import Applied
    from paramtui.models.loading import Loaded

NO_EDIT = "the model is on the meta device: it has no numbers to change"


class ModuleHost:
    """A model with its listing, its inputs, and what its gradients came from.

    Args:
        loaded: The model and its code.
        target: How the person calls it.
        options: What else was asked for.
        setup: Lines of Python that make ``model``.
    """

    def __init__(self, loaded: Loaded, target: str, options: ModelOptions, setup: str = "") -> None:
        self.model: nn.Module = loaded.model
        self._code = loaded.code
        self._target = target
        self._options = options
        self._setup = setup
        self._built = loaded.words
        self._derived: Inputs | None = None
        self._passes = 0
        self._last: tuple[float | None, str, str, int | None] = (None, "", "", None)
        self._weights: WeightsState | None = None
        self._figures: dict[int, Figures] = {}
        self._first: dict[int, nn.Module] = {}
        # Who measures waits while numbers are changed, perhaps only to see what a change would do. A pass
        # changes no parameters.
        self._numbers, self._others = Gate(), Gate()
        self.editor = ModelEditor(lambda: self.listed, self._list, options.device, options.init_files)
        self._list()
        self._history = PassHistory(stands(self.listed, self._owners))

    def _list(self) -> None:
        facts = LiveFacts(self._built, self._setup, self._options.seed if self._code else None)
        facts.command = self._options.words() if self._code else None
        self.listed = list_module(self.model, self._target, facts)
        self._owners = parameter_owners(self.listed)
        self._first = self._first or self.listed.modules
        facts.replaced = [
            node for node, module in self.listed.modules.items() if self._first.get(node) is not module
        ]
        listing = self.listed.listing
        if self._weights is not None:
            self._weights.annotate(self.listed)
        if listing.kind and all(device == "meta" for device in facts.device):
            listing.reasons["edit"] = NO_EDIT
            listing.reasons["gradients"] = "the model is on the meta device: it has no numbers to run with"
        self._signature = signature(self.listed)

    @property
    def listing(self) -> Listing:
        """What there is."""
        return self.listed.listing

    def _tensor(self, tensor: int) -> torch.Tensor:
        if not 0 <= tensor < len(self.listed.tensors):
            raise ValuesError(f"there is no tensor {tensor}")
        return self.listed.tensors[tensor]

    def window(self, tensor: int, picks: Sequence[Sequence[int]]) -> Window:
        """Cells of a tensor; see `Reader.window`."""
        return read_window(tensor, self._tensor(tensor), picks)

    def gradient_window(self, tensor: int, picks: Sequence[Sequence[int]]) -> Window:
        """Cells of a tensor's gradient; see `Differentiable.gradient_window`."""
        return read_window(tensor, self._gradient(tensor), picks)

    def _gradient(self, tensor: int) -> torch.Tensor:
        gradient = held_gradient(self._tensor(tensor))
        if gradient is None:
            raise ValuesError("there is no gradient: .grad is None")
        return gradient

    def measure(
        self,
        tensor: int,
        *,
        gradient: bool = False,
        exact: bool = False,
        sample: int = 0,
        progress: Callable[[int, int], None] | None = None,
        stop: Event | None = None,
    ) -> Measured:
        """See `Measurable.measure`; from any thread."""
        from paramtui.models.statistics import measure

        found, gate = self._measured(tensor, gradient=gradient)
        return measure(found, exact=exact, sample=sample, pace=Pace(gate, stop, progress))

    def overview(
        self,
        tensor: int,
        rows: int,
        columns: int,
        *,
        gradient: bool = False,
        progress: Callable[[int, int], None] | None = None,
        stop: Event | None = None,
    ) -> OverviewTally:
        """What `Measurable.overview` gives once it is finished; from any thread."""
        from paramtui.models.overviews import drawn

        found, gate = self._measured(tensor, gradient=gradient)
        return drawn(found, rows, columns, Pace(gate, stop, progress))

    def scan(
        self,
        tensors: Sequence[int],
        found: Callable[[int, Statistics | ValuesError], None],
        *,
        exact: bool = False,
        progress: Callable[[int, int], None] | None = None,
        stop: Event | None = None,
    ) -> None:
        """See `Measurable.scan`; from any thread."""
        from paramtui.models.statistics import scan

        pace = Pace(None, stop, progress)
        scan(self.listed, tensors, found, exact=exact, pace=pace, gate_of=self._gate)

    def _measured(self, tensor: int, *, gradient: bool) -> tuple[torch.Tensor, Gate]:
        """A tensor or its gradient, and what is held while it is read."""
        if gradient:
            return self._gradient(tensor), self._others
        return self._tensor(tensor), self._gate(tensor)

    def _gate(self, tensor: int) -> Gate:
        return self._numbers if self.listing.kind[tensor] == "parameter" else self._others

    @contextmanager
    def _changing(self) -> Iterator[None]:
        with self._numbers.changing(), self._others.changing():
            yield

    def gradients(self) -> Gradients:
        """What is known of the gradients now; computed from what ``.grad`` holds."""
        self._measure(None)
        return self._known_gradients()

    def _known_gradients(self) -> Gradients:
        loss, loss_from, inputs, seed = self._last
        return Gradients(self._passes, loss, loss_from, inputs, seed, dict(self._figures))

    def _measure(self, touched: set[int] | None) -> None:
        """Works out the figures of gradients anew, all or those of some parameters with their aliases."""
        owners = self._owners
        if touched is not None:
            meant = {owners[tensor] for tensor in touched if tensor in owners}
            owners = {tensor: owner for tensor, owner in owners.items() if owner in meant}
        found = self._history.noted(gradient_figures(self.listed, owners), stands(self.listed, self._owners))
        self._figures = {**self._figures, **found} if touched is not None else found

    def _outcome(self, said: str = "", *, relist: bool = False, added: bool | None = None) -> Outcome:
        """What to tell; `added` says, where gradients were computed anew, whether those of before count."""
        fresh = list_module(self.model, self._target)
        changed = relist or signature(fresh) != self._signature
        if changed:
            self._list()
        if added is not None:
            self._history.ran(stands(self.listed, self._owners), added=added)
        return Outcome(self.gradients(), self.listing if changed else None, said)

    def backward(self, inputs: str | None, *, accumulate: bool) -> Outcome:
        """One forward and backward pass; see `Differentiable.backward`."""
        reason = self.listing.reasons.get("gradients")
        if reason:
            raise ValuesError(reason, hint="--device cpu")
        passes = self._passes if accumulate else 0
        seed = self._options.seed + passes

        def passed() -> tuple[Inputs, float, str]:
            with self._others.changing():
                return stoppable(lambda: self._pass(inputs, seed, accumulate=accumulate))

        chosen, loss, words = whole(passed)
        self._passes = passes + 1
        self._last = (loss, words, chosen.words, seed)
        said = f"backward: loss {loss:.4g} ({words}), inputs {chosen.words}"
        return self._outcome(said, added=accumulate)

    def _pass(self, inputs: str | None, seed: int, *, accumulate: bool) -> tuple[Inputs, float, str]:
        with preserved(self.model):
            seed_all(seed)
            chosen = self._inputs(inputs if inputs is not None else self._options.inputs)
            seed_all(seed)
            return chosen, *run_backward(self.model, chosen, *self._loss_function(), accumulate=accumulate)

    def _file_name(self) -> str:
        path = getattr(self._code, "__file__", None) or getattr(self._code, "__name__", "")
        return os.path.basename(str(path))  # noqa: PTH119

    def _loss_function(self) -> tuple[Callable[..., object] | None, str]:
        function = getattr(self._code, "loss", None)
        if callable(function):
            return function, f"loss() of {self._file_name()}"
        return None, ""

    def _inputs(self, text: str | None) -> Inputs:
        if text:
            reference = is_function_reference(text)
            if reference is None:
                return make_inputs(parse_inputs(text), self.model)
            path, name = reference
            return self._called(getattr(import_file(path), name, None), name, os.path.basename(path))  # noqa: PTH119
        function = getattr(self._code, "example_inputs", None)
        if function is not None:
            return self._called(function, "example_inputs", self._file_name())
        if self._derived is None:
            self._derived = derive_inputs(self.model, self._try)
        return self._derived

    def _called(self, function: Any, name: str, file: str) -> Inputs:  # noqa: ANN401  the person's own
        if not callable(function):
            raise ValuesError(f"{file} has no function {name}")
        with user_code(f"{name}()"):
            value = function()
        return as_inputs(value, self.model, f"{name}() of {file}")

    def _try(self, inputs: Inputs) -> None:
        import torch

        with torch.no_grad(), preserved(self.model):
            self.model(*inputs.args, **inputs.kwargs)

    def zero_gradients(self) -> Outcome:
        """Sets all gradients to None."""
        from paramtui.models.gradients import unique_parameters

        for parameter in unique_parameters(self.model):
            parameter.grad = None
        self._passes = 0
        self._last = (None, "", "", None)
        return self._outcome("gradients set to None", added=False)

    # Changing

    def apply(self, edit: Edit, *, without_undo: bool = False) -> Outcome:
        """See `Editor.apply`."""
        return self._changed(lambda: self.editor.apply(edit, without_undo=without_undo))

    def undo(self) -> Outcome:
        """See `Editor.undo`."""
        return self._changed(self.editor.undo)

    def redo(self) -> Outcome:
        """See `Editor.redo`."""
        return self._changed(self.editor.redo)

    def _changed(self, change: Callable[[], Applied]) -> Outcome:
        def changed() -> Outcome:
            with self._changing():
                applied = change()
            return self._edited(applied)

        # Once it counts, whoever asked must hear of it.
        return whole(changed)

    def _edited(self, applied: Applied) -> Outcome:
        """What to tell of an edit; the listing is as it was where it changes numbers alone."""
        every = applied.rewired or isinstance(applied.edit, ApplyFunction)
        touched = None if every else set(applied.tensors)
        # The change counts, whatever becomes of its figures.
        with suppress(Exception):
            self._measure(touched)
        listing = self.listing if applied.rewired else None
        return Outcome(self._known_gradients(), listing, applied.said, applied.tensors, applied.digest)

    def preview(self, edit: Edit, tensor: int | None, picks: Sequence[Sequence[int]]) -> Preview:
        """See `Editor.preview`."""

        def previewed() -> Preview:
            with self._changing():
                return self.editor.preview(edit, tensor, picks, self.window)

        return whole(previewed)

    def save(self, path: str, *, over: bool, progress: Callable[[int, int], None] | None) -> Saved:
        """See `Editor.save`."""
        from paramtui.models.saving import save_model

        return save_model(self.model, path, over=over, progress=progress)

    def copies(self, progress: Callable[[int, int], None] | None, stop: Event | None = None) -> CopySearch:
        """See `Searchable.copies`."""
        from paramtui.models.copies import find_copies

        return find_copies(self.listed, progress, stop)

    def set_training(self, *, training: bool) -> Outcome:
        """Puts the model in training or evaluation mode."""
        with user_code("train()" if training else "eval()"):
            self.model.train(training)
        return self._outcome("train()" if training else "eval()", relist=True)

    def load_weights(self, progress: Callable[[int, int], None] | None = None) -> None:
        """Loads the checkpoint that was asked for, and lists what did not fit."""
        if self._options.weights is not None:
            self._weights = WeightsState(
                self.model, self._options.weights, fix=self._options.fix_weights, progress=progress
            )
            self._list()

    def apply_proposal(self, progress: Callable[[int, int], None] | None = None) -> Outcome:
        """Loads the weights in the way that was proposed."""
        if self._weights is None or self._weights.proposal is None:
            raise ValuesError("nothing is proposed: --weights CKPT loads a checkpoint into the model")
        weights = self._weights

        def applied() -> None:
            with self._changing():
                stoppable(lambda: weights.apply(self.model, progress))

        whole(applied)
        outcome = self._outcome(weights.report().words, relist=True)
        return outcome._replace(changed=tuple(range(len(self.listing))))
