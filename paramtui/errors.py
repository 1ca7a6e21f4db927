"""Errors meant for people: what went wrong, where, and what to do about it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


class ParamtuiError(Exception):
    """Something a person can act on; printed as one line, never as a traceback.

    Args:
        what: What went wrong, in plain words.
        where: The file, tensor name or byte it is about.
        hint: What the person can do.
    """

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        text = f"{self.where}: {self.what}" if self.where else self.what
        return f"{text} ({self.hint})" if self.hint else text


class UsageError(ParamtuiError):
    """A command line that cannot be understood."""


class TargetError(ParamtuiError):
    """A target that cannot be opened: missing, not readable, of an unknown kind."""


class CandidatesError(TargetError):
    """A Python file that defines several models.

    Attributes:
        candidates: Targets that name one each.
    """

    def __init__(self, where: str, candidates: list[str]) -> None:
        shown = ", ".join(candidates[:6]) + (", …" if len(candidates) > 6 else "")
        super().__init__("defines several models", where=where, hint=f"name one: {shown}")
        self.candidates = candidates


class FormatError(ParamtuiError):
    """A file whose bytes are not what its format demands.

    Attributes:
        named: Full names of the classes and functions that its pickles named before what is wrong: a program
            that loads the file calls these first. None where no pickle was looked at.
    """

    def __init__(
        self,
        what: str,
        *,
        where: str | None = None,
        hint: str | None = None,
        named: Iterable[str] | None = None,
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.named = None if named is None else sorted(set(named))


class NameLookupError(ParamtuiError):
    """A name that no tensor has, or that several tensors have."""


class IndexSyntaxError(ParamtuiError):
    """An index expression that is not one, or does not fit the tensor's shape."""


class EditSyntaxError(ParamtuiError):
    """A typed change of numbers that cannot be understood."""


class ValuesError(ParamtuiError):
    """Values that cannot be read: damaged, not stored, of a layout without cells."""


class SavingError(ParamtuiError):
    """A file that could not be saved; the message says what lies where the old one was."""


class SavingStoppedError(ParamtuiError):
    """A person does not want a file saved that is being written; nothing was changed."""


class OpeningStoppedError(ParamtuiError):
    """A person does not want to wait any longer."""


class UserCodeError(ParamtuiError):
    """Code of the person's own failed: a factory, a forward pass, an input or loss function.

    Attributes:
        traceback: The whole traceback as text, for a log; empty where there is none.
    """

    def __init__(
        self, what: str, *, where: str | None = None, hint: str | None = None, traceback: str = ""
    ) -> None:
        super().__init__(what, where=where, hint=hint)
        self.traceback = traceback


class InputsError(ParamtuiError):
    """Nothing is known that the model could be run with.

    Attributes:
        tried: What was tried, and what came of it.
    """

    def __init__(
        self, what: str, *, hint: str | None = None, tried: list[tuple[str, str]] | None = None
    ) -> None:
        super().__init__(what, hint=hint)
        self.tried = tried or []


class RunStoppedError(ParamtuiError):
    """A person stopped what the model's code was doing."""


class EngineError(ParamtuiError):
    """The process that holds the model has ended, or does not answer."""


class EditError(ParamtuiError):
    """A change that cannot be made: nothing was changed."""


class NoRoomError(EditError):
    """There is no room on disk to keep what a change would overwrite.

    Attributes:
        needed, free: Bytes.
        undo: Whether the change could be made if what it overwrites were not kept.
    """

    def __init__(
        self, what: str, *, hint: str | None = None, needed: int = 0, free: int = 0, undo: bool = True
    ) -> None:
        super().__init__(what, hint=hint)
        self.needed = needed
        self.free = free
        self.undo = undo
