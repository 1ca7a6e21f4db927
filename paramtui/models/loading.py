"""Builds the model that a target names: imports its code, finds the factory, calls it."""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from paramtui.errors import CandidatesError, TargetError, UsageError
from paramtui.models.user_code import place_of, user_code

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

    import torch
    from torch import nn

    from paramtui.core.model_target import ModelTarget

BUILDERS: Final = ("build", "build_model", "make_model", "get_model")
MAX_CANDIDATES: Final = 50


class Loaded(NamedTuple):
    """A model and where it came from.

    Attributes:
        model: The model.
        code: The Python module that defines it; None where it was given.
        words: ``build() of net.py``.
        factory: Name of what was called or taken, within `code`.
        called: Whether it was called, rather than a module instance.
    """

    model: nn.Module
    code: ModuleType | None
    words: str
    factory: str
    called: bool


def load_model(
    target: ModelTarget, device: str, seed: int, stage: Callable[[str], None] = lambda _: None
) -> Loaded:
    """Builds the model of a target.

    Python, NumPy and torch are seeded before its code is imported and again before the factory is called,
    so that the same code builds the same weights.

    Args:
        target: What the person named.
        device: ``cpu``, ``cuda``, ``cuda:1``, ``meta``.
        seed: For all random numbers.
        stage: Is told what is being done.

    Raises:
        TargetError: There is no such file, module or factory.
        UserCodeError: Its code failed.
        RunStoppedError: A person stopped it.
        UsageError: There is no such device.
    """
    stage("importing torch")
    with user_code("importing torch"):
        import torch

    from paramtui.models.state_guard import seed_all

    place = check_device(device)
    name = target.file or target.module
    stage(f"importing {os.path.basename(name)}")  # noqa: PTH119
    seed_all(seed)
    code = _import_file(target.file) if target.file else _import_module(target.module)
    factory = target.factory or _only_candidate(target, code)
    found = _find(target, code, factory)
    if isinstance(found, torch.nn.Module):
        model, words = found, f"{factory} of {name}"
        with user_code(f"moving {factory} to {device}"):
            model = model if device == "cpu" else model.to(place)
        return Loaded(model, code, words, factory, called=False)
    if not callable(found):
        raise TargetError(
            f"{factory} is a {type(found).__name__}, neither a function nor an nn.Module", where=name
        )
    _check_arguments(found, factory, name)
    stage(f"calling {factory}()")
    seed_all(seed)
    with user_code(f"{factory}()"), place if place.type == "meta" else nullcontext():
        model = found()
    if not isinstance(model, torch.nn.Module):
        raise TargetError(
            f"{factory}() returned {_what(model)}, not an nn.Module", where=place_of(found) or name
        )
    if device != "cpu":
        stage(f"moving the model to {device}")
        with user_code(f"moving the model to {device}"):
            model = model.to(place)
    return Loaded(model, code, f"{factory}() of {name}", factory, called=True)


def check_device(device: str) -> torch.device:
    """The device of that name, if this machine has it.

    Raises:
        UsageError: It has not, or torch knows no such name.
    """
    import torch

    try:
        place = torch.device(device)
    except RuntimeError:
        raise UsageError(f"there is no device {device!r}", hint="cpu, cuda, cuda:1, meta") from None
    if place.type == "cuda":
        if not torch.cuda.is_available():
            raise UsageError("there is no CUDA device that this PyTorch can use", hint="--device cpu")
        count = torch.cuda.device_count()
        number: int | None = place.index
        if number is not None and number >= count:
            raise UsageError(f"there is no {device}: this machine has cuda:0 to cuda:{count - 1}")
    return place


def _what(value: object) -> str:
    name = type(value).__name__
    if value is None:
        return "None (is a return missing?)"
    article = "an" if name[:1].lower() in "aeiou" else "a"
    if isinstance(value, tuple):
        return f"a tuple of {len(value)} ({', '.join(type(item).__name__ for item in value[:4])})"
    return f"{article} {name}"


def import_file(path: str) -> ModuleType:
    """The module of a Python file, imported once, as if its directory were the current one.

    Raises:
        TargetError: There is no such file.
        UserCodeError: Its code failed.
    """
    return _import_file(path)


def _import_file(path: str) -> ModuleType:
    file = Path(path)
    try:
        real = file.resolve()
        if not real.is_file():
            raise TargetError("is a directory" if real.is_dir() else "no such file", where=path)
    except (OSError, ValueError, RuntimeError) as error:
        words = error.strerror if isinstance(error, OSError) else None
        raise TargetError(words or "is no file name", where=repr(path)) from None
    # Within a package relative imports must work; otherwise it is as `python net.py` would have it.
    names, folder = [real.stem], real.parent
    while (folder / "__init__.py").is_file() and folder.name.isidentifier():
        names.insert(0, folder.name)
        folder = folder.parent
    _on_path(str(Path.cwd()))
    _on_path(str(folder))
    doing = f"importing {file.name}"
    if len(names) > 1 and all(name.isidentifier() for name in names):
        with user_code(doing):
            return importlib.import_module(".".join(names))
    name = real.stem
    known = sys.modules.get(name)
    if known is not None:
        if getattr(known, "__file__", None) == str(real):
            return known
        name = f"paramtui_target_{name}"
    spec = importlib.util.spec_from_file_location(name, real)
    if spec is None or spec.loader is None:
        raise TargetError("is no Python file", where=path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        with user_code(doing):
            spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _import_module(name: str) -> ModuleType:
    _on_path(str(Path.cwd()))
    try:
        found = importlib.util.find_spec(name.split(".", maxsplit=1)[0])
    except (ImportError, ValueError):
        found = None
    if found is None:
        raise TargetError(
            f"there is no module {name}", hint="run it from the directory that holds the package"
        )
    with user_code(f"importing {name}"):
        return importlib.import_module(name)


def _on_path(folder: str) -> None:
    if folder not in sys.path:
        sys.path.insert(0, folder)


def _find(target: ModelTarget, code: ModuleType, factory: str) -> object:
    found: object = code
    for part in factory.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            known = candidates(code)
            from difflib import get_close_matches

            near = get_close_matches(factory, known, 1)
            hint = f"did you mean {near[0]}?" if near else None
            if hint is None and known:
                hint = f"it defines {', '.join(known[:6])}"
            raise TargetError(f"has no {factory}", where=target.file or target.module, hint=hint) from None
    return found


def _check_arguments(found: Callable[..., object], factory: str, name: str) -> None:
    wanted = required_arguments(found)
    if wanted:
        raise TargetError(
            f"{factory}() asks for arguments: {', '.join(wanted)}",
            where=place_of(found) or name,
            hint="write a function without arguments that calls it, and name that",
        )


def required_arguments(found: Callable[..., object]) -> list[str]:
    """Names of the arguments that a callable cannot be called without."""
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return []
    return [
        entry.name
        for entry in parameters
        if entry.default is entry.empty and entry.kind not in (entry.VAR_POSITIONAL, entry.VAR_KEYWORD)
    ]


def _tiers(code: ModuleType) -> list[list[str]]:
    """Names that could be meant, from what is most to what is least surely meant."""
    import torch

    own = vars(code)
    builders = [name for name in BUILDERS if inspect.isroutine(own.get(name))]
    instances = [name for name, value in own.items() if isinstance(value, torch.nn.Module)]
    classes = [
        name
        for name, value in own.items()
        if isinstance(value, type)
        and issubclass(value, torch.nn.Module)
        and value.__module__ == code.__name__
        and not required_arguments(value)
    ]
    return [builders, instances, classes]


def candidates(code: ModuleType) -> list[str]:
    """Names in a module that give a model without arguments."""
    return [name for tier in _tiers(code) for name in tier][:MAX_CANDIDATES]


def _only_candidate(target: ModelTarget, code: ModuleType) -> str:
    """The one function, else the one instance, else the one class that builds a model."""
    for tier in _tiers(code):
        if len(tier) == 1:
            return tier[0]
        if tier:
            break
    found = candidates(code)
    if found:
        raise CandidatesError(target.text, [f"{target.text}:{name}" for name in found])
    raise TargetError(
        "defines no model",
        where=target.text,
        hint=f"a function {' or '.join(BUILDERS)} without arguments, an nn.Module instance,"
        " or an nn.Module class without arguments",
    )
