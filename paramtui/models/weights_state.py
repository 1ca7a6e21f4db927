"""A checkpoint that is loaded into a model: what fitted, what did not, and what would."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from paramtui.checkpoints.registry import open_checkpoint
from paramtui.core.key_matching import Choice, match, propose
from paramtui.core.listing import GHOST, ROOT, SUBMODULE, Value
from paramtui.core.live import WeightsReport
from paramtui.core.text import shape_text
from paramtui.models.weights import aliases, load_weights, state_entries

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import nn

    from paramtui.models.module_listing import ModuleListing

# Ghost rows; of more names the summary tells.
MAX_GHOSTS: Final = 2000


class WeightsState:
    """What came of loading; loads when it is made.

    Args:
        model: What to load into.
        path: The checkpoint.
        fix: Whether to take the way that fits best rather than name by name.
        progress: Is told how many tensors of how many are loaded.

    Attributes:
        proposal: A way that fits better than what was done; None where there is none.
    """

    def __init__(
        self,
        model: nn.Module,
        path: str,
        *,
        fix: bool,
        progress: Callable[[int, int], None] | None = None,
    ) -> None:
        self._path = path
        self._source = open_checkpoint(path)
        self._entries = state_entries(model)
        self._aliases = aliases(model)
        self._notes: list[str] = []
        self._choice = Choice()
        listing = self._source.listing
        self._match = match(listing, self._entries, self._choice, self._aliases)
        self.proposal = None if self._match.complete else propose(listing, self._entries, self._aliases)
        if fix and self.proposal is not None:
            self.apply(model, progress)
        else:
            self._load(model, progress)

    def _load(self, model: nn.Module, progress: Callable[[int, int], None] | None) -> None:
        self._notes = load_weights(model, self._source, self._match.pairs, progress)

    def apply(self, model: nn.Module, progress: Callable[[int, int], None] | None = None) -> None:
        """Loads in the way that was proposed."""
        if self.proposal is not None:
            self._choice, self.proposal = self.proposal, None
            self._match = match(self._source.listing, self._entries, self._choice, self._aliases)
            self._load(model, progress)

    def report(self) -> WeightsReport:
        """What fitted and what did not, as plain data."""
        listing = self._source.listing
        shapes = {entry.name: entry.shape for entry in self._entries}
        found = self._match
        words = f"{self._path}: {found.words}"
        if self._choice != Choice():
            words += f" (from {self._choice.words})"
        return WeightsReport(
            self._path,
            "; ".join([words, *self._notes]),
            self.proposal.words if self.proposal is not None else "",
            list(found.missing),
            [
                (self._relative(tensor), listing.dtype[tensor], listing.shape[tensor])
                for tensor in found.unexpected
            ],
            [(name, shapes[name] or (), listing.shape[tensor]) for name, tensor in found.mismatched],
        )

    def _relative(self, tensor: int) -> str:
        """The name that a tensor of the checkpoint would have in the model."""
        listing = self._source.listing
        keys = listing.path(listing.node[tensor])[len(self._choice.entry) :]
        name = ".".join(map(str, keys)).removeprefix(self._choice.remove)
        return f"{self._choice.add}{name}"

    def annotate(self, listed: ModuleListing) -> None:
        """Marks in a model's listing what did not fit."""
        listing, live = listed.listing, listed.live
        report = live.weights = self.report()
        if report.missing or report.unexpected or report.mismatched:
            advice = f"; {report.proposal} would fit better" if report.proposal else ""
            listing.warnings.append(report.words + advice)
        ids = {name: tensor for tensor, name in enumerate(listing.names)}
        for name in report.missing:
            if name in ids:
                live.notes[ids[name]] = f"missing in {self._path}: it has the numbers it was built with"
        for name, here, there in report.mismatched:
            if name in ids:
                live.notes[ids[name]] = (
                    f"{shape_text(here)} here, {shape_text(there)} in {self._path}: not loaded"
                )
        blocks = {listing.node_name(node): node for node in listing.modules}
        for name, dtype, shape in report.unexpected[:MAX_GHOSTS]:
            node = ROOT
            *outer, last = name.split(".")
            path = ""
            for part in outer:
                path = f"{path}.{part}" if path else part
                if path not in blocks:
                    blocks[path] = listing.add_node(node, part, SUBMODULE)
                node = blocks[path]
            words = f"only in {self._path}: {dtype} {shape_text(shape)}"
            listing.values.append(Value(listing.add_node(node, last, SUBMODULE), GHOST, words))
