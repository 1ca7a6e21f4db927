"""What is known of a model's gradients: one line of figures per parameter, and sums over blocks."""

from __future__ import annotations

from math import inf, isinf, isnan, sqrt
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

# States of a gradient. The first four have no `.grad`: nothing was run yet, nothing since the parameter
# was tied or untied, it does not require one, or no backward pass has reached it.
NOT_YET: Final = "not yet"
NEWER: Final = "newer"
FROZEN: Final = "frozen"
UNREACHED: Final = "unreached"
ZERO: Final = "zero"
NAN: Final = "nan"
INF: Final = "inf"
FINITE: Final = "finite"

# What was changed of a parameter since the pass that gave its gradient: it was tied to more names, the
# names that it has are others in another way, both came in between several passes whose gradients were
# added up, or it was not in the model when the last pass was run.
TIED: Final = "tied"
RETIED: Final = "retied"
BETWEEN: Final = "between"
AWAY: Final = "away"


class Figures(NamedTuple):
    """Figures of one parameter's gradient; all but the first are None or 0 where ``.grad`` is None.

    Attributes:
        requires_grad: Whether the parameter asks for a gradient.
        norm: Euclidean norm of ``.grad``, as ``grad.double().norm()``.
        max_abs: Largest magnitude, as ``grad.abs().max()``.
        nan, inf, zero, numel: Numbers of elements that are NaN, infinite, zero; of all elements.
        weight_norm: Euclidean norm of the parameter; None where it has no numbers.
        owner: Smallest id of the tensors that are this same parameter: blocks count it once.
        places: Names that the parameter had when its gradient was computed; 0 where that is not known.
        since: What was changed of these since then: one of the words above, empty for nothing.
    """

    requires_grad: bool
    norm: float | None
    max_abs: float | None
    nan: int
    inf: int
    zero: int
    numel: int
    weight_norm: float | None
    owner: int
    places: int = 0
    since: str = ""

    @property
    def ratio(self) -> float | None:
        """Norm of the gradient by norm of the parameter; None where one of them is missing."""
        if self.norm is None or self.weight_norm is None:
            return None
        if not self.weight_norm:
            return inf if self.norm else 0.0
        return self.norm / self.weight_norm


class Gradients(NamedTuple):
    """What one or more backward passes have left in ``.grad``.

    Attributes:
        passes: Backward passes run by this program since gradients were set to None.
        loss: Of the last pass; None where none was run.
        loss_from: Where the loss came from, in words: ``loss() of net.py``, ``sum of the outputs``.
        inputs: What the model was run with, in words.
        seed: With which the last pass was seeded; None where none was run.
        figures: By tensor id, for every parameter, aliases included.
    """

    passes: int
    loss: float | None
    loss_from: str
    inputs: str
    seed: int | None
    figures: dict[int, Figures]

    @property
    def any(self) -> bool:
        """Whether a pass was run here, or gradients were there before."""
        return self.passes > 0 or any(figure.norm is not None for figure in self.figures.values())

    def state(self, tensor: int) -> str | None:
        """One of the states above; None for what is no parameter."""
        figure = self.figures.get(tensor)
        if figure is None:
            return None
        if figure.norm is None:
            if not figure.requires_grad:
                return FROZEN
            if not self.any:
                return NOT_YET
            return NEWER if figure.since in (AWAY, TIED, RETIED) else UNREACHED
        if figure.nan:
            return NAN
        if figure.inf:
            return INF
        return ZERO if figure.zero == figure.numel else FINITE

    def block_norm(self, tensors: Iterable[int]) -> float | None:
        """Euclidean norm over the gradients of some tensors, each parameter once; None without any."""
        total: float | None = None
        seen: set[int] = set()
        for tensor in tensors:
            figure = self.figures.get(tensor)
            if figure is None or figure.norm is None or figure.owner in seen:
                continue
            seen.add(figure.owner)
            total = (total or 0.0) + figure.norm * figure.norm
        return None if total is None else sqrt(total) if not (isnan(total) or isinf(total)) else total


NO_GRADIENTS: Final = Gradients(0, None, "", "", None, {})
