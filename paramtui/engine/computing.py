"""An engine without a model: it knows the initialisers, and computes new numbers for files."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

from paramtui.core.catalogue import catalogue_from
from paramtui.core.edits import plain_call
from paramtui.core.plain_edits import plain_work
from paramtui.engine.process import Engine
from paramtui.errors import ParamtuiError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paramtui.core.catalogue import Catalogue
    from paramtui.core.computing import Work
    from paramtui.core.edits import Call
    from paramtui.core.geometry import Shape
    from paramtui.engine.protocol import Message


class EngineComputer:
    """The `Computer` that asks an engine; starts it when it is first asked, and anew when it has ended.

    Args:
        files: Python files of custom initialisers.
        told: Called from a thread with ``output``, ``stage`` or ``ended``, and words.
    """

    def __init__(self, files: Sequence[str], told: Callable[[str, str], None] = lambda *_: None) -> None:
        self._files = list(files)
        self._told = told
        self._engine: Engine | None = None
        self._lock = threading.Lock()

    def listen(self, told: Callable[[str, str], None]) -> None:
        """See `Computer.listen`."""
        self._told = told

    def _tell(self, kind: str, words: str) -> None:
        self._told(kind, words)

    def _started(self) -> Engine:
        with self._lock:
            if self._engine is None or self._engine.ended:
                self.close()
                self._engine = Engine(self._tell)
            return self._engine

    @property
    def folder(self) -> str:
        """See `Computer.folder`."""
        return self._started().folder

    def _ask(self, name: str, **arguments: Any) -> Message:  # noqa: ANN401  whatever the call takes
        return self._started().call(name, **arguments).result()

    def catalogue(self) -> Catalogue:
        """See `Computer.catalogue`."""
        head, _ = self._ask("catalogue", files=self._files)
        return catalogue_from(head["result"])

    def trial(self, asked: Sequence[tuple[Call, Shape, str]]) -> list[str]:
        """See `Computer.trial`."""
        plain = [[plain_call(call), list(shape), dtype] for call, shape, dtype in asked]
        head, _ = self._ask("trial", asked=plain, files=self._files)
        return list(head["result"])

    def compute(self, work: Work) -> list[str]:
        """See `Computer.compute`."""
        engine = self._started()
        engine.doing = "computing new numbers"
        head, _ = engine.call("compute", work=plain_work(work), files=self._files).result()
        return list(head["result"])

    def interrupt(self) -> bool:
        """See `Computer.interrupt`."""
        engine = self._engine
        if engine is None or engine.ended:
            return False
        try:
            head, _ = engine.call("interrupt").result(2)
        except (TimeoutError, ParamtuiError):
            return False
        return bool(head["result"])

    def close(self) -> None:
        """See `Computer.close`."""
        if self._engine is not None:
            with contextlib.suppress(OSError):
                self._engine.close()
