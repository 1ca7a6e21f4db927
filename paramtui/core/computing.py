"""What an engine computes for tensors that lie in a file, as a protocol of plain data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paramtui.core.catalogue import Catalogue
    from paramtui.core.edits import Call
    from paramtui.core.geometry import Shape


class WorkTensor(NamedTuple):
    """A tensor in a file of bytes to be worked on.

    Attributes:
        begin: Byte of the file where its first element starts.
        dtype: Element type.
        shape: Sizes.
        stride: Steps between neighbours, in elements.
    """

    begin: int
    dtype: str
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class Work(NamedTuple):
    """A file of tensors, and what is to be done to them.

    Attributes:
        path: The file, little-endian; it is changed in place.
        ids: Of what lies in it, in the listing that it comes from.
        tensors: What lies in it, in the same order.
        steps: Id of a tensor, and the initialiser for it, in order; empty with `recipe`.
        recipe: The plain form of the layers to build over the tensors, see `paramtui.core.layers`; `call` is
            then applied to them as ``block.apply`` does. None with `steps`.
        call: A function of a module.
        seed: Of all random numbers.
    """

    path: str
    ids: tuple[int, ...]
    tensors: tuple[WorkTensor, ...]
    steps: tuple[tuple[int, Call], ...]
    recipe: dict[str, Any] | None
    call: Call | None
    seed: int


class Computer(Protocol):
    """Reaches an engine, which is started when it is first asked.

    Every method may raise `EngineError`, `RunStoppedError` and, where code of the person's own is run,
    `UserCodeError`.
    """

    @property
    def folder(self) -> str:
        """A private directory that ends with the engine."""

    def catalogue(self) -> Catalogue:
        """Which initialisers there are."""

    def trial(self, asked: Sequence[tuple[Call, Shape, str]]) -> list[str]:
        """See `paramtui.core.source.Editor.trial`."""

    def compute(self, work: Work) -> list[str]:
        """Does the work in its file; gives lines of Python that make its recipe's ``block``.

        In the lines, ``TENSOR[7]`` stands for the tensor of id 7; without a recipe there are none.
        """

    def interrupt(self) -> bool:
        """Asks what runs to stop; False if it could not be asked."""

    def listen(self, told: Callable[[str, str], None]) -> None:
        """Calls `told` with a kind (``output``, ``stage``, ``ended``) and words, from any thread."""

    def close(self) -> None:
        """Ends the engine."""
