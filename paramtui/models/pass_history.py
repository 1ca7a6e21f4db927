"""Remembers at which places each parameter stood when its gradient was computed."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from torch.utils.weak import WeakIdKeyDictionary

from paramtui.core.gradients import AWAY, BETWEEN, RETIED, TIED
from paramtui.models.gradients import held_gradient

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch

    from paramtui.core.gradients import Figures
    from paramtui.models.module_listing import ModuleListing


class Stand(NamedTuple):
    """A parameter, and the names under which it is listed."""

    parameter: torch.Tensor
    names: frozenset[str]


class _Record(NamedTuple):
    """What is remembered of a parameter.

    Attributes:
        names: Under which it was listed.
        turn: When that was: 0 at first, and one more with each pass.
        held: Whether it had a gradient afterwards.
        mixed: Whether passes with other names before were added up in it.
    """

    names: frozenset[str]
    turn: int
    held: bool
    mixed: bool


def stands(listed: ModuleListing, owners: Mapping[int, int]) -> dict[int, Stand]:
    """The parameters of a model by the smallest id of each; `owners` gives it for every id."""
    names: dict[int, set[str]] = {}
    for tensor, owner in owners.items():
        names.setdefault(owner, set()).add(listed.listing.names[tensor])
    return {owner: Stand(listed.tensors[owner], frozenset(found)) for owner, found in names.items()}


class PassHistory:
    """What the parameters of one model were when their gradients were computed; it keeps none of them alive.

    Args:
        there: The parameters that there are at first: gradients that they have are from before.
    """

    def __init__(self, there: Mapping[int, Stand]) -> None:
        self._records = WeakIdKeyDictionary()
        self._turn = 0
        self._note(there, added=False)

    def ran(self, there: Mapping[int, Stand], *, added: bool) -> None:
        """Notes that gradients were computed, or set to None.

        Args:
            there: The parameters that there were.
            added: Whether they were added to those of before.
        """
        self._turn += 1
        self._note(there, added=added)

    def _note(self, there: Mapping[int, Stand], *, added: bool) -> None:
        for parameter, names in there.values():
            old = self._record(parameter)
            mixed = (
                added
                and old is not None
                and old.held
                and (old.mixed or old.names != names or old.turn != self._turn - 1)
            )
            held = held_gradient(parameter) is not None
            self._records[parameter] = _Record(names, self._turn, held, mixed)

    def _record(self, parameter: torch.Tensor) -> _Record | None:
        found: _Record | None = self._records.get(parameter)  # type: ignore[no-untyped-call]
        return found

    def noted(self, figures: Mapping[int, Figures], there: Mapping[int, Stand]) -> dict[int, Figures]:
        """Figures with what they leave open: the places of then, and what was changed since.

        Args:
            figures: By tensor id.
            there: The parameters that there are now.
        """
        found = {owner: self._since(stand) for owner, stand in there.items()}
        return {
            tensor: figure._replace(places=found[figure.owner][0], since=found[figure.owner][1])
            for tensor, figure in figures.items()
        }

    def _since(self, stand: Stand) -> tuple[int, str]:
        record = self._record(stand.parameter)
        if record is None:
            # One that has a gradient all the same was given it by someone else.
            return (0, AWAY) if held_gradient(stand.parameter) is None else (len(stand.names), "")
        if record.turn != self._turn:
            since = AWAY
        elif record.mixed:
            since = BETWEEN
        elif record.names == stand.names:
            since = ""
        else:
            since = TIED if record.names < stand.names else RETIED
        return len(record.names), since
