"""What a checkpoint can say of its numbers; what that takes is imported when it is asked."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, NamedTuple

from paramtui.core.background import in_thread
from paramtui.errors import ValuesError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paramtui.checkpoints.scanning import Scanner
    from paramtui.core.overlay import State
    from paramtui.core.overview import Overview
    from paramtui.core.runs import ByteRuns
    from paramtui.core.statistics import Measured, Statistics


class Measuring(NamedTuple):
    """What measures, and the bytes as they are now.

    Attributes:
        scanner: Has the processes that count.
        runs: The bytes.
        state: Which of them were changed.
    """

    scanner: Scanner
    runs: ByteRuns
    state: State


class MeasuringMixin(ABC):
    """A `Measurable` of what `measuring` gives."""

    @abstractmethod
    def measuring(self) -> Measuring:
        """What measures, and what there is now."""

    async def measure(
        self,
        tensor: int,
        *,
        gradient: bool = False,
        exact: bool = False,
        sample: int = 0,
        progress: Callable[[int, int], None] | None = None,
    ) -> Measured:
        """See `Measurable.measure`."""
        if gradient:
            raise ValuesError("a checkpoint stores no gradients")
        scanner, runs, state = self.measuring()
        from paramtui.checkpoints.scan_crew import Stop

        return await in_thread(
            lambda stop: scanner.measure(
                tensor, runs, state, exact=exact, sample=sample, progress=progress, stop=stop
            ),
            Stop(),
        )

    async def overview(
        self,
        tensor: int,
        rows: int,
        columns: int,
        *,
        gradient: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Overview:
        """See `Measurable.overview`."""
        if gradient:
            raise ValuesError("a checkpoint stores no gradients")
        scanner, runs, state = self.measuring()
        from paramtui.checkpoints.scan_crew import Stop

        return await in_thread(
            lambda stop: scanner.overview(tensor, (rows, columns), runs, state, progress=progress, stop=stop),
            Stop(),
        )

    async def scan(
        self,
        tensors: Sequence[int],
        found: Callable[[int, Statistics | ValuesError], None],
        *,
        exact: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        """See `Measurable.scan`."""
        scanner, _, state = self.measuring()
        from paramtui.checkpoints.scan_crew import Stop

        await in_thread(
            lambda stop: scanner.scan(tensors, state, found, exact=exact, progress=progress, stop=stop),
            Stop(),
        )
