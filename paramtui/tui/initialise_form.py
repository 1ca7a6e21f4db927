"""What a person has filled in to initialise tensors, and the change that it amounts to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from paramtui.core.catalogue import MODULE, TENSOR
from paramtui.core.edits import RESET
from paramtui.core.planning import ALL, BIASES, WEIGHTS, Scope, is_bias, layer_types
from paramtui.core.text import safe_text
from paramtui.errors import EditError
from paramtui.tui.initialise_outlook import Filled, Outlooks
from paramtui.tui.opened import label
from paramtui.tui.option_texts import default_text, read_call

if TYPE_CHECKING:
    from paramtui.core.catalogue import Catalogue, Initializer
    from paramtui.core.edits import Call
    from paramtui.core.source import Editor
    from paramtui.tui.opened import Opened

SAME: Final = "the same"
LEAVE: Final = "leave"
ANY: Final = "any"
PARTS: Final = (ALL, WEIGHTS, BIASES)
FRAMEWORK_DEFAULT: Final = "framework default"
ROOT_WORDS: Final = "whole network"
# torch.manual_seed takes what fits 64 bits with or without a sign.
SEEDS: Final = range(-(2**63), 2**64)
# What torch.nn.init refuses for tensors of fewer dimensions.
_LEAST_DIMENSIONS: Final = {"eye_": 2, "dirac_": 3, "orthogonal_": 2, "sparse_": 2}
_FANNED: Final = ("xavier_", "kaiming_")


class Remembered(NamedTuple):
    """What the next dialog starts with.

    Attributes:
        initialiser: Name.
        arguments: What was typed, by the names of its options.
        biases: What is done to biases: `SAME`, `LEAVE`, or an initialiser.
        seed: For random numbers.
        source: Of the initialiser, as in `Call.source`.
        bias_arguments: As `arguments`, of what is done to biases.
    """

    initialiser: str
    arguments: tuple[tuple[str, str], ...]
    biases: str
    seed: int
    source: str = ""
    bias_arguments: tuple[tuple[str, str], ...] = ()


class Place(NamedTuple):
    """A row that can be initialised, and what it is called in the dialog."""

    row: int
    words: str


class Form:
    """The state of the dialog.

    Args:
        opened: The target.
        editor: Says what can be changed.
        row: Under the cursor: a tensor or a block.
        remembered: What the last dialog ended with.

    Attributes:
        places: What can be initialised: the row, and the blocks around it up to the whole.
        place: Which of them.
        layer: Class of the layers that are meant; `ANY` for all.
        only: Glob over names.
        part: One of `PARTS`.
        chosen: The initialiser; None before there is a catalogue, or where none matches.
        biases: What is done to biases: `SAME`, `LEAVE`, or the name of an initialiser.
        seed: As typed.
        outlooks: Works out what the form amounts to.
        known_std: Standard deviations that tensors have now, by id, as far as they are known.
    """

    def __init__(self, opened: Opened, editor: Editor, row: int, remembered: Remembered | None) -> None:
        self.opened = opened
        self.places = _places(opened, row)
        self.place = 0
        self.layer, self.only, self.part = ANY, "", ALL
        self.chosen: Initializer | None = None
        live = opened.listing.live
        self.biases = "zeros_"
        self.seed = str(live.seed or 0 if live is not None else 0)
        self.known_std: dict[int, float] = {}
        self.outlooks = Outlooks(opened, editor)
        self._remembered = remembered
        self._catalogue: Catalogue | None = None
        self._texts: dict[tuple[str, str, str], dict[str, str]] = {}
        if remembered is not None:
            self.seed = str(remembered.seed)
            self.biases = remembered.biases

    # What there is to choose from

    @property
    def row(self) -> int:
        """The row that is meant."""
        return self.places[self.place].row

    @property
    def alone(self) -> bool:
        """Whether one tensor is meant, not a block."""
        return not self.opened.tree.is_block(self.row)

    @property
    def splits(self) -> bool:
        """Whether something else may be done to biases than to the rest."""
        takes_tensors = self.chosen is None or self.chosen.takes == TENSOR
        return not self.alone and self.part == ALL and takes_tensors

    def types(self) -> list[str]:
        """Classes of the layers at and below the row."""
        return layer_types(self.opened.tree, self.row)

    def take_catalogue(self, catalogue: Catalogue) -> None:
        """Notes which initialisers there are, and chooses one."""
        self._catalogue = catalogue
        remembered = self._remembered
        names = [each.name for each in self.tensor_functions()]
        if self.biases not in (SAME, LEAVE, *names):
            self.biases = SAME
        if remembered is None:
            self.chosen = self._fitting(None)
            return
        try:
            found = catalogue.named(remembered.initialiser, remembered.source)
        except EditError:
            self.chosen = self._fitting(None)
            return
        self._texts["weights", found.name, found.source] = dict(remembered.arguments)
        self.chosen = self._fitting(found)
        biases = self.bias_initialiser()
        if biases is not None and self.biases == remembered.biases:
            self._texts["biases", biases.name, biases.source] = dict(remembered.bias_arguments)

    def _fitting(self, wanted: Initializer | None) -> Initializer | None:
        """What to begin with: what is wanted, unless the tensor could not take it."""
        if self._catalogue is None or not self._catalogue.initializers:
            return None
        first = "xavier_uniform_"
        tensor = self.opened.tree.tensor[self.row]
        if self.alone and tensor >= 0:
            dimensions = len(self.opened.listing.shape[tensor])
            if wanted is not None and (
                wanted.takes == MODULE or dimensions < least_dimensions(wanted.name, wanted.source)
            ):
                wanted = None
            if dimensions < 2:
                first = "zeros_" if is_bias(self.opened.listing.names[tensor]) else "ones_"
        if wanted is not None:
            return wanted
        initializers = self._catalogue.initializers
        return next((each for each in initializers if each.name == first), initializers[0])

    @property
    def catalogue(self) -> Catalogue | None:
        """Which initialisers there are, once that is known."""
        return self._catalogue

    def tensor_functions(self) -> list[Initializer]:
        """The initialisers of a tensor; of several with one name, the one that the name stands for."""
        if self._catalogue is None:
            return []
        found = {each.name: each for each in self._catalogue.initializers if each.takes == TENSOR}
        return list(found.values())

    def bias_choices(self) -> list[str]:
        """What can be done to biases: the usual ones first."""
        names = [each.name for each in self.tensor_functions()]
        return [name for name in ("zeros_",) if name in names] + [
            SAME,
            LEAVE,
            *(name for name in names if name != "zeros_"),
        ]

    def bias_initialiser(self) -> Initializer | None:
        """What is done to biases, where it is an initialiser of its own."""
        if self.biases in (SAME, LEAVE):
            return None
        return next((each for each in self.tensor_functions() if each.name == self.biases), None)

    def matching(self, typed: str) -> list[Initializer]:
        """The initialisers that a typed text is about: that of this name, those that have it, the others."""
        if self._catalogue is None:
            return []
        words = typed.lower().split()
        by_name, by_words = [], []
        for each in self._catalogue.initializers:
            name = each.name.lower()
            told = f"{name} {summary(each).lower()} {each.where.lower()}"
            if all(word in name for word in words):
                by_name.append(each)
            elif all(word in told for word in words):
                by_words.append(each)
        return sorted(by_name, key=lambda each: not self.is_named(each, typed)) + by_words

    @staticmethod
    def is_named(initializer: Initializer, typed: str) -> bool:
        """Whether a typed text is the very name of an initialiser; PyTorch's end with an underscore."""
        text = typed.strip().lower()
        return bool(text) and initializer.name.lower() in (text, f"{text}_")

    # Arguments

    def texts(self, role: str, initializer: Initializer) -> dict[str, str]:
        """What is typed for the options of an initialiser, to be changed in place.

        Args:
            role: ``weights`` or ``biases``.
            initializer: Which.
        """
        key = role, initializer.name, initializer.source
        found = self._texts.setdefault(key, {})
        for option in initializer.options:
            found.setdefault(option.name, default_text(option))
        return found

    def remembered(self) -> Remembered | None:
        """What the next dialog is to start with."""
        before = self._remembered
        try:
            seed = int(self.seed.strip() or "0")
        except ValueError:
            return before
        if self.chosen is None:
            return before
        apart = self.bias_initialiser()
        return Remembered(
            self.chosen.name,
            tuple(self.texts("weights", self.chosen).items()),
            self.biases,
            seed,
            self.chosen.source,
            tuple(self.texts("biases", apart).items()) if apart is not None else (),
        )

    # What it amounts to

    def fill(self) -> Filled | str:
        """What is filled in, or what is wrong with it in words."""
        chosen, catalogue = self.chosen, self._catalogue
        if catalogue is None:
            return ""
        if chosen is None:
            return "no initialiser matches: type less of its name"
        try:
            seed = int(self.seed.strip() or "0") if len(self.seed) < 40 else SEEDS.stop
        except ValueError:
            seed = SEEDS.stop
        if seed not in SEEDS:
            return "the seed is a whole number of up to 64 bits"
        try:
            call = read_call(chosen, self.texts("weights", chosen), catalogue.gains)
            biases: Call | None = call
            if self.splits:
                apart = self.bias_initialiser()
                if self.biases == LEAVE:
                    biases = None
                elif apart is not None:
                    biases = read_call(apart, self.texts("biases", apart), catalogue.gains)
        except EditError as error:
            return str(error)
        # What cannot be typed while one tensor is meant does not narrow it either.
        scope = (
            Scope(self.row)
            if self.alone
            else Scope(self.row, self.only.strip(), "" if self.layer == ANY else self.layer, self.part)
        )
        return Filled(scope, chosen, call, biases, seed)


def _places(opened: Opened, row: int) -> list[Place]:
    tree = opened.tree
    places = []
    for at in [row, *tree.ancestors(row)]:
        name = safe_text(tree.name(at)) if at else label(opened, at)
        if at == 0 and tree.is_block(at):
            places.append(Place(at, ROOT_WORDS))
        elif tree.is_block(at):
            places.append(Place(at, f"{name} and below"))
        else:
            places.append(Place(at, f"only {name}"))
    return places


def least_dimensions(name: str, source: str = "") -> int:
    """How many dimensions a tensor needs for one of PyTorch's initialisers; 0 where that is not known."""
    if source:
        return 0
    return _LEAST_DIMENSIONS.get(name, 2 if name.startswith(_FANNED) else 0)


def summary(initializer: Initializer) -> str:
    """What an initialiser does, in a line."""
    words = safe_text(initializer.summary)
    if initializer.name == RESET and not initializer.source:
        return f"{FRAMEWORK_DEFAULT}: {words}" if words else FRAMEWORK_DEFAULT
    return words
