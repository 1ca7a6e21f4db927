"""A person's own initialisers: functions of a module or of a tensor, in files and in installed packages."""

from __future__ import annotations

import inspect
import os
import sys
import typing
from contextlib import suppress
from importlib.metadata import EntryPoint, entry_points
from importlib.util import cache_from_source
from typing import TYPE_CHECKING, Final, NamedTuple

import torch
from torch import nn

from paramtui.core import catalogue as kinds
from paramtui.core.catalogue import Initializer, Option
from paramtui.errors import EditError, ParamtuiError, RunStoppedError
from paramtui.models.loading import import_file
from paramtui.models.user_code import place_of, user_code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from types import ModuleType

GROUP: Final = "paramtui.initializers"
# What people call the first argument of a function that `apply` calls, and of one that changes a tensor.
_MODULES: Final = frozenset(["m", "module", "layer", "block", "net", "model", "mod", "submodule", "self"])
_TENSORS: Final = frozenset(["t", "tensor", "w", "weight", "weights", "x", "p", "param", "parameter", "data"])


class Custom(NamedTuple):
    """One of them."""

    initializer: Initializer
    function: Callable[..., object]


class _Known(NamedTuple):
    """What a file gave when it was imported.

    Attributes:
        stamp: Of the file then.
        customs: What it defines.
        problem: What went wrong, in words; empty for nothing.
    """

    stamp: tuple[int, ...]
    customs: tuple[Custom, ...]
    problem: str


class Customs:
    """All custom initialisers.

    Args:
        files: Python files, besides those in the configuration directory.

    Attributes:
        found: Those that can be used.
        problems: In words what went wrong with others.
    """

    def __init__(self, files: Sequence[str]) -> None:
        self._files = list(dict.fromkeys(map(os.path.realpath, files)))
        self._known: dict[str, _Known] = {}
        self._entries: tuple[list[Custom], list[str]] | None = None
        self.found: list[Custom] = []
        self.problems: list[str] = []

    def refresh(self) -> bool:
        """Imports files that are new, and anew those that are not as they were; whether there were such.

        Raises:
            RunStoppedError: The person stopped it; what was imported before is kept.
        """
        known: dict[str, _Known] = {}
        for path in dict.fromkeys([*_configured(), *self._files]):
            stamp = _stamp(path)
            before = self._known.get(path)
            if before is None or before.stamp != stamp:
                known[path] = _imported(path, stamp, anew=before is not None)
            else:
                known[path] = before
        if self._entries is not None and known == self._known:
            return False
        if self._entries is None:
            self._entries = _installed()
        self._known = known
        self.found = [custom for each in known.values() for custom in each.customs] + self._entries[0]
        self.problems = [each.problem for each in known.values() if each.problem] + self._entries[1]
        return True


def _stamp(path: str) -> tuple[int, ...]:
    """Changes when a file does; empty where there is none."""
    try:
        found = os.stat(path)  # noqa: PTH116
    except OSError:
        return ()
    return found.st_mtime_ns, found.st_size, found.st_ino


def _imported(path: str, stamp: tuple[int, ...], *, anew: bool) -> _Known:
    if anew:
        _forget(path)
    try:
        customs = tuple(_of_file(path))
    except RunStoppedError:
        raise
    except ParamtuiError as error:
        return _Known(stamp, (), str(error))
    problem = "" if customs else f"{path}: has no function that could initialise something"
    return _Known(stamp, customs, problem)


def _forget(path: str) -> None:
    """Lets Python import a file as if it had not yet."""
    real = os.path.realpath(path)
    for name, module in list(sys.modules.items()):
        if getattr(module, "__file__", None) == real:
            del sys.modules[name]
    # What is compiled is told by size and whole seconds: a quick correction of equal length looks the same.
    with suppress(OSError, NotImplementedError):
        os.unlink(cache_from_source(real))  # noqa: PTH108


def _installed() -> tuple[list[Custom], list[str]]:
    """Those of installed packages, and what went wrong."""
    customs: list[Custom] = []
    problems: list[str] = []
    for entry in entry_points(group=GROUP):
        try:
            customs.append(_of_entry(entry))
        except RunStoppedError:
            raise
        except ParamtuiError as error:
            problems.append(f"entry point {entry.name}: {error}")
    return customs, problems


def _configured() -> list[str]:
    """Files of the configuration directory, ``~/.config/paramtui/initializers``."""
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")  # noqa: PTH111
    folder = os.path.join(base, "paramtui", "initializers")  # noqa: PTH118
    try:
        names = sorted(os.listdir(folder))  # noqa: PTH208
    except OSError:
        return []
    return [os.path.join(folder, name) for name in names if name.endswith(".py") and name[0] not in "._"]  # noqa: PTH118


def _of_file(path: str) -> Iterator[Custom]:
    module = import_file(path)
    for name, function in _functions(module):
        try:
            yield Custom(describe(name, function, path), function)
        except EditError:
            # A helper that needs other arguments; it stands there for those that can be used.
            continue


def _functions(module: ModuleType) -> Iterator[tuple[str, Callable[..., object]]]:
    """Functions that a file defines, or that it says are its public ones."""
    public = getattr(module, "__all__", None)
    for name, value in list(vars(module).items()):
        named = name in public if isinstance(public, list | tuple) else not name.startswith("_")
        own = getattr(value, "__module__", None) == module.__name__ or isinstance(public, list | tuple)
        if named and own and inspect.isroutine(value):
            yield name, value


def _of_entry(entry: EntryPoint) -> Custom:
    with user_code(f"importing {entry.value}"):
        function = entry.load()
    if not callable(function):
        raise EditError(f"{entry.value} cannot be called")
    return Custom(describe(entry.name, function, f"entry point {entry.name}"), function)


def describe(name: str, function: Callable[..., object], source: str) -> Initializer:
    """What a function of a module or tensor takes.

    Raises:
        EditError: It takes nothing that it could initialise, or an argument that cannot be given.
    """
    from paramtui.models.initializers import first_sentence

    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (ValueError, TypeError):
        raise EditError(f"what {name} takes cannot be told") from None
    try:
        hints = typing.get_type_hints(function)
    except Exception:  # noqa: BLE001  annotations can be any code
        hints = {}
    plain = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    if not parameters or parameters[0].kind not in plain:
        raise EditError(f"{name} takes nothing that it could initialise")
    takes = _takes(parameters[0], hints.get(parameters[0].name))
    if takes is None:
        raise EditError(f"{name} takes neither a module nor a tensor")
    return Initializer(
        name,
        takes,
        first_sentence(function),
        tuple(_options(name, parameters[1:], hints)),
        source,
        place_of(function) or "",
    )


def _takes(first: inspect.Parameter, hint: object) -> str | None:
    """Whether the first argument is a module or a tensor: told by annotation, else by its name."""
    for each in (hint, *typing.get_args(hint)):
        if inspect.isclass(each) and issubclass(each, nn.Module):
            return kinds.MODULE
        if inspect.isclass(each) and issubclass(each, torch.Tensor):
            return kinds.TENSOR
    if hint is not None and first.name not in _MODULES | _TENSORS:
        return None
    kind = typing.get_origin(hint) or hint
    if inspect.isclass(kind) and kind.__module__ == "builtins" and kind is not object:
        # A helper that calculates with numbers or lists, whatever it calls them.
        return None
    # `apply` is what most people write functions for.
    return kinds.TENSOR if first.name in _TENSORS else kinds.MODULE


def _options(name: str, parameters: list[inspect.Parameter], hints: dict[str, object]) -> Iterator[Option]:
    from paramtui.models.initializers import option_of

    for parameter in parameters:
        if parameter.kind in (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD):
            continue
        if parameter.kind is inspect.Parameter.POSITIONAL_ONLY:
            raise EditError(f"{name} takes {parameter.name} by its position only")
        option = option_of(parameter, hints.get(parameter.name))
        if not _plain(option.default):
            # Given as it is in the function; there is no way to write it.
            continue
        yield option


def _plain(value: object) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_plain, value))
    return value is None or isinstance(value, bool | int | float | complex | str)
