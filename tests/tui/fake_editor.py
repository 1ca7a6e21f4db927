"""An editor for tests of dialogs: a real file to read, a made-up catalogue, and answers that can wait."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import numpy as np

from paramtui.checkpoints.registry import open_checkpoint
from paramtui.core.catalogue import (
    CHOICE,
    INTEGER,
    LITERAL,
    MODULE,
    NUMBER,
    TENSOR,
    TEXT,
    TRUTH,
    Catalogue,
    Initializer,
    Option,
)
from paramtui.core.edits import RESET, ApplyFunction, Initialise
from paramtui.core.history import History
from paramtui.core.lookup import tensor_id
from paramtui.core.source import Outcome, Preview, Saved, Window
from paramtui.core.summary import histogram, summarise
from paramtui.errors import EditError, ParamtuiError, RunStoppedError, ValuesError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from paramtui.core.edits import Call, Edit
    from paramtui.core.geometry import Shape
    from paramtui.core.listing import Listing
    from paramtui.core.source import Reader

GAIN = Option("gain", NUMBER, False, 1.0)
NONLINEARITIES = ("linear", "relu", "leaky_relu", "tanh")
FAN = (
    Option("a", NUMBER, False, 0),
    Option("mode", CHOICE, False, "fan_in", ("fan_in", "fan_out")),
    Option("nonlinearity", CHOICE, False, "leaky_relu", NONLINEARITIES),
)
NORMAL = (Option("mean", NUMBER, False, 0.0), Option("std", NUMBER, False, 1.0))
CUSTOM = (
    Option("scale", NUMBER, True, None),
    Option("groups", INTEGER, False, 4),
    Option("label", TEXT, False, ""),
    Option("fancy", TRUTH, False, False),
    Option("sizes", LITERAL, False, (1, 2)),
)
INITIALIZERS = (
    Initializer("uniform_", TENSOR, "Fill with values drawn from the uniform distribution.", NORMAL),
    Initializer("normal_", TENSOR, "Fill with values drawn from the normal distribution.", NORMAL),
    Initializer("constant_", TENSOR, "Fill with the value val.", (Option("val", NUMBER, True, None),)),
    Initializer("ones_", TENSOR, "Fill with the scalar value 1.", ()),
    Initializer("zeros_", TENSOR, "Fill with the scalar value 0.", ()),
    Initializer("xavier_uniform_", TENSOR, "Fill with values using a Xavier uniform distribution.", (GAIN,)),
    Initializer("xavier_normal_", TENSOR, "Fill with values using a Xavier normal distribution.", (GAIN,)),
    Initializer("kaiming_uniform_", TENSOR, "Fill with values using a Kaiming uniform distribution.", FAN),
    Initializer("kaiming_normal_", TENSOR, "Fill with values using a Kaiming normal distribution.", FAN),
    Initializer("orthogonal_", TENSOR, "Fill with a (semi) orthogonal matrix.", (GAIN,)),
    Initializer(RESET, MODULE, "what each layer's class gives it when it is built", ()),
    Initializer("spectral_", TENSOR, "Scales by the spectral norm.", CUSTOM, "inits.py", "inits.py:12"),
    Initializer("init_weights", MODULE, "As in the paper.", (), "inits.py", "inits.py:40"),
)
GAINS = {"linear": 1.0, "relu": 2**0.5, "tanh": 5 / 3}
PROBLEMS = ("broken.py: line 3: invalid syntax",)
FANLESS = "Fan in and fan out can not be computed for tensor with fewer than 2 dimensions"


class FakeEditor:
    """Reads a file; changes nothing, and notes what it is asked.

    What it is asked waits while `gate` is clear, and raises `failure` where there is one.
    """

    def __init__(self, path: Path | str) -> None:
        self._reader: Reader = open_checkpoint(str(path))
        self.history = History()
        self.failure: ParamtuiError | None = None
        self.gate = asyncio.Event()
        self.gate.set()
        self.catalogue_gate = asyncio.Event()
        self.catalogue_gate.set()
        self.catalogue_failure: ParamtuiError | None = None
        self.initializers = INITIALIZERS
        self.function_failure: ParamtuiError | None = None
        self.trials: list[Sequence[tuple[Call, Shape, str]]] = []
        self.previews: list[tuple[Edit, int | None, tuple[Sequence[int], ...]]] = []
        self.interrupts = 0
        self._stopped = asyncio.Event()

    @property
    def listing(self) -> Listing:
        return self._reader.listing

    async def window(self, tensor: int, picks: Sequence[Sequence[int]]) -> Window:
        return await self._reader.window(tensor, picks)

    def edit_reason(self, tensor: int) -> str:
        return (
            "its bytes are shared with a quantised tensor" if "locked" in self.listing.names[tensor] else ""
        )

    async def catalogue(self) -> Catalogue:
        await self.catalogue_gate.wait()
        if self.catalogue_failure is not None:
            raise self.catalogue_failure
        return Catalogue(self.initializers, dict(GAINS), PROBLEMS, {"torch": "2"})

    async def trial(self, asked: Sequence[tuple[Call, Shape, str]]) -> list[str]:
        self.trials.append(asked)
        await self._pass()
        fanned = ("xavier", "kaiming", "orthogonal")
        return [
            FANLESS if call.name.startswith(fanned) and len(shape) < 2 else "" for call, shape, _ in asked
        ]

    def function_words(self, block: str) -> str:
        if self.function_failure is not None:
            raise self.function_failure
        return f"classes below {block} are inferred from names and shapes"

    async def _pass(self) -> None:
        waits = [asyncio.ensure_future(event.wait()) for event in (self.gate, self._stopped)]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for wait in waits:
            wait.cancel()
        if not self.gate.is_set():
            self._stopped.clear()
            raise RunStoppedError("stopped")
        if self.failure is not None:
            raise self.failure

    async def preview(self, edit: Edit, tensor: int | None, picks: Sequence[Sequence[int]]) -> Preview:
        self.previews.append((edit, tensor, tuple(picks)))
        await self._pass()
        changed: dict[int, str] = {}
        if isinstance(edit, Initialise):
            changed = {tensor_id(self.listing, step.tensor): step.call.name for step in edit.steps}
        elif isinstance(edit, ApplyFunction):
            changed = dict.fromkeys(range(len(self.listing)), "normal_")
        summaries, histograms, windows = {}, {}, {}
        for each, name in changed.items():
            whole = tuple(range(size or 0) for size in self.listing.shape[each])
            before = (await self.window(each, whole)).values
            if before is None or before.dtype.kind != "f":
                continue
            after = self._after(before, name, edit)
            pieces = before, after
            low, high = float(min(part.min() for part in pieces)), float(max(part.max() for part in pieces))
            summaries[each] = summarise([before]), summarise([after])
            bins = [histogram([part], low, high, 64) for part in pieces]
            histograms[each] = bins[0], bins[1]
            if each == tensor:
                index = np.ix_(*[list(pick) for pick in picks])
                windows = {
                    place: Window(each, tuple(picks), part[index]) for place, part in enumerate(pieces)
                }
        return Preview(summaries, histograms, windows.get(0), windows.get(1))

    @staticmethod
    def _after(before: Any, name: str, edit: Any) -> Any:
        if name in ("zeros_", "ones_"):
            return np.full_like(before, name == "ones_")
        generator = np.random.default_rng(edit.seed)
        return generator.normal(0, 0.01, before.shape).astype(before.dtype)

    async def apply(self, edit: Edit, *, without_undo: bool = False) -> Outcome:
        raise EditError("this editor changes nothing")

    async def undo(self) -> Outcome:
        raise EditError("this editor changes nothing")

    async def redo(self) -> Outcome:
        raise EditError("this editor changes nothing")

    async def script(self) -> str:
        return ""

    def save_name(self) -> str:
        return ""

    async def save(self, path: str, *, over: bool, progress: Callable[[int, int], None]) -> Saved:
        raise ValuesError("this editor saves nothing")

    async def stop_saving(self) -> None:
        pass

    async def interrupt(self) -> bool:
        self.interrupts += 1
        self._stopped.set()
        return True

    def close(self) -> None:
        pass
