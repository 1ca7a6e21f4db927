"""Browsing a model of the caller's own, in the caller's process and terminal."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from typing import TYPE_CHECKING

from paramtui.core.model_target import ModelOptions
from paramtui.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import nn

    from paramtui.models.module_source import ModuleSource
    from paramtui.tui.app import ParamtuiApp

NAME = "model"
_OF_TERMINALS = (signal.SIGTSTP, signal.SIGCONT, signal.SIGWINCH, signal.SIGTTIN, signal.SIGTTOU)


def browse(
    model: nn.Module,
    *,
    inputs: str | None = None,
    weights: str | None = None,
    seed: int = 0,
    init: Sequence[str] = (),
) -> None:
    """Browses a model in the terminal; returns when the person quits.

    Shows the gradients that are there. What is done to the model (a backward pass, train or eval, other
    numbers) stays.

    Args:
        model: Any `torch.nn.Module`.
        inputs: What to run it with, as ``--inputs``: ``2x3x224x224``, ``int64:4x16<1000``,
            ``file.py:function``; derived from the model where it is not given.
        weights: Path of a checkpoint to load into it first.
        seed: For inputs and random layers of a backward pass; random state is as before afterwards.
        init: Python files of custom initialisers.

    Raises:
        UsageError: There is no terminal, an event loop is running in this thread, or it is not the main one.
        TargetError, FormatError: `weights` cannot be opened.
    """
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        pass
    else:
        raise UsageError("an event loop is running here", hint="use: await paramtui.browse_async(model)")
    app = _app(model, ModelOptions(seed=seed, inputs=inputs, weights=weights, init_files=tuple(init)))
    with _signals_kept():
        app.run(mouse=app.mouse_wanted)
    _pass_on(app)


async def browse_async(
    model: nn.Module,
    *,
    inputs: str | None = None,
    weights: str | None = None,
    seed: int = 0,
    init: Sequence[str] = (),
) -> None:
    """`browse`, inside a running event loop.

    Raises:
        UsageError: There is no terminal, or this is not the main thread.
        TargetError, FormatError: `weights` cannot be opened.
    """
    options = ModelOptions(seed=seed, inputs=inputs, weights=weights, init_files=tuple(init))
    app = _app(model, options, own_loop=False)
    with _signals_kept():
        await app.run_async(mouse=app.mouse_wanted)
    _pass_on(app)


def _app(model: nn.Module, options: ModelOptions, *, own_loop: bool = True) -> ParamtuiApp:
    import torch

    if not isinstance(model, torch.nn.Module):
        raise UsageError(
            f"browse() takes an nn.Module, not a {type(model).__name__}",
            hint="paramtui FILE in a shell opens a checkpoint",
        )
    if threading.current_thread() is not threading.main_thread():
        raise UsageError("the screen can only be drawn from the main thread", hint="call browse() there")
    # The streams that Python began with: those of a notebook or a test are no terminal.
    if not all(_is_terminal(stream) for stream in (sys.stdin, sys.stdout, sys.stderr)):
        raise UsageError(
            "there is no terminal here to draw in",
            hint="run the script in a terminal without redirection; from a notebook, save the model"
            " and open it in a terminal: paramtui FILE, or paramtui file.py:factory",
        )
    from paramtui.models.host import ModuleHost
    from paramtui.models.loading import Loaded
    from paramtui.models.module_source import ModuleSource
    from paramtui.tui.app import ParamtuiApp
    from paramtui.tui.settings import load_settings

    host = ModuleHost(Loaded(model, None, "given by the caller", "", called=False), NAME, options)
    host.load_weights()
    source = ModuleSource(host)

    async def opener(_target: str, _watch: object) -> ModuleSource:
        return source

    return ParamtuiApp(NAME, opener, settings=load_settings(), guest=True, own_loop=own_loop)


def _is_terminal(stream: object) -> bool:
    isatty = getattr(stream, "isatty", None)
    try:
        return bool(isatty and isatty())
    except ValueError:
        return False


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Gives back the signals of terminals and jobs, which Textual takes and keeps."""
    kept = {number: signal.getsignal(number) for number in _OF_TERMINALS}
    try:
        yield
    finally:
        for number, handler in kept.items():
            if handler is not None:  # one that Python did not set cannot be set again
                signal.signal(number, handler)


def _pass_on(app: ParamtuiApp) -> None:
    """A signal that ended the screen was meant for the caller."""
    status = app.return_code or 0
    if status > 128:
        os.kill(os.getpid(), status - 128)
