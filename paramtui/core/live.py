"""What a listing of a live model says beyond names and shapes."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from paramtui.core.geometry import Shape


class WeightsReport(NamedTuple):
    """What came of loading a checkpoint into a model.

    Attributes:
        path: The checkpoint.
        words: Summed up in a sentence.
        proposal: What would fit better, in words; empty if nothing would.
        missing: Names in the model that the checkpoint lacks.
        unexpected: Name, dtype and shape of what the model lacks.
        mismatched: Name, shape in the model, and shape in the checkpoint.
    """

    path: str
    words: str
    proposal: str
    missing: list[str]
    unexpected: list[tuple[str, str, Shape]]
    mismatched: list[tuple[str, Shape, Shape]]


class LiveFacts:
    """Facts of a model in memory.

    Attributes:
        type_name: Python type of each tensor, with its module, by id.
        device: Device of each tensor, by id.
        is_leaf: Whether autograd sees it as a leaf, by id.
        persistent: Whether the state dict holds it, by id; parameters always are.
        same: Smallest id of those that are the very same tensor object, by id: other objects may lie in the
            same memory.
        text: What ``extra_repr()`` of a module says, by node.
        training: Whether a module is in training mode, by node.
        repeats: Modules that are listed elsewhere too, or hold themselves, in words, by node.
        same_module: The first node of the very same module, by node, for each later one.
        replaced: Nodes at which another module stands than when the model was listed first.
        notes: What did not go as asked with a tensor, by id.
        built: How the model was made, in words.
        command: Words of the command line besides the target that give the same model; None where no
            command does.
        setup: Lines of Python that make ``model``, for copying; empty where the person has it.
        weights: What came of loading a checkpoint into it; None where none was.
        seed: What random numbers were seeded with before it was built; None where it was given.
    """

    __slots__ = (
        "built",
        "command",
        "device",
        "is_leaf",
        "notes",
        "persistent",
        "repeats",
        "replaced",
        "same",
        "same_module",
        "seed",
        "setup",
        "text",
        "training",
        "type_name",
        "weights",
    )

    def __init__(self, built: str = "", setup: str = "", seed: int | None = None) -> None:
        self.type_name: list[str] = []
        self.device: list[str] = []
        self.is_leaf: list[bool] = []
        self.persistent: list[bool] = []
        self.same: list[int] = []
        self.text: dict[int, str] = {}
        self.training: dict[int, bool] = {}
        self.repeats: dict[int, str] = {}
        self.same_module: dict[int, int] = {}
        self.replaced: list[int] = []
        self.notes: dict[int, str] = {}
        self.weights: WeightsReport | None = None
        self.command: list[str] | None = None
        self.built = built
        self.setup = setup
        self.seed = seed

    def places(self, node: int) -> list[int]:
        """All nodes at which the module of a node is listed, ascending."""
        first = self.same_module.get(node, node)
        return [first, *(later for later, known in self.same_module.items() if known == first)]

    def mode(self) -> str:
        """``train``, ``eval``, ``mixed``, or nothing without modules."""
        modes = set(self.training.values())
        if len(modes) > 1:
            return "mixed"
        return ("train" if modes.pop() else "eval") if modes else ""
