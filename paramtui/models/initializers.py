"""The initialisers there are: those of torch.nn.init, a layer's own, and a person's."""

from __future__ import annotations

import inspect
import platform
import re
import typing
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import torch
from torch import nn

from paramtui.core import catalogue as kinds
from paramtui.core.catalogue import Catalogue, Initializer, Option
from paramtui.core.edits import RESET, literal_text
from paramtui.errors import EditError
from paramtui.models.custom_initializers import Custom, Customs
from paramtui.models.shield import stoppable, whole
from paramtui.models.state_guard import kept_random_state
from paramtui.models.user_code import user_code

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from paramtui.core.edits import Call
    from paramtui.core.geometry import Shape

_MODES: Final = ("fan_in", "fan_out")
_NONLINEARITIES: Final[tuple[Any, ...]] = (
    "linear", "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d",
    "sigmoid", "tanh", "relu", "leaky_relu", "selu",
)  # fmt: skip
# A dimension of the small tensor that an initialiser is tried on.
SMALL: Final = 4


class Available(NamedTuple):
    """The initialisers of a process.

    Attributes:
        catalogue: As plain data.
        customs: A person's own functions, by name and source.
    """

    catalogue: Catalogue
    customs: Mapping[tuple[str, str], Custom]

    def function(self, call: Call) -> Callable[..., object]:
        """What a call calls.

        Raises:
            EditError: There is none of that name any more.
        """
        if call.source:
            # In a journal of another machine the file may lie elsewhere.
            own = self.customs.get((call.name, call.source))
            same = [custom for (name, _), custom in self.customs.items() if name == call.name]
            if own is None and len(same) != 1:
                hint = f"it came from {call.source}: --init FILE.py gives it"
                raise EditError(f"there is no initialiser {call.name}", hint=hint)
            return (own or same[0]).function
        self.catalogue.named(call.name, "")
        if call.name == RESET:
            return reset_parameters
        found: Callable[..., object] = getattr(nn.init, call.name)
        return found


class Initializers:
    """The initialisers of a process, a person's own as their files are now.

    Args:
        files: Python files of custom ones, besides those of the configuration directory.
        device: Where tensors will be.
    """

    def __init__(self, files: Sequence[str], device: str) -> None:
        self._customs = Customs(files)
        self._device = device
        self._found: Available | None = None

    def current(self) -> Available:
        """All of them; imports a person's files, and those anew that have changed since."""
        if self._customs.refresh() or self._found is None:
            self._found = self._available()
        return self._found

    def _available(self) -> Available:
        customs = self._customs.found
        gains: dict[str, float] = {name: float(nn.init.calculate_gain(name)) for name in _NONLINEARITIES}
        catalogue = Catalogue(
            (*_builtin(), _framework_default(), *(custom.initializer for custom in customs)),
            gains,
            tuple(self._customs.problems),
            environment(self._device),
        )
        return Available(
            catalogue, {(custom.initializer.name, custom.initializer.source): custom for custom in customs}
        )


def environment(device: str) -> dict[str, str]:
    """What the same seed needs to give the same bits."""
    words = {
        "torch": torch.__version__,
        "device": device,
        "capability": str(torch.backends.cpu.get_cpu_capability()),
        "threads": str(torch.get_num_threads()),
        "machine": platform.machine(),
    }
    if device.startswith("cuda") and torch.cuda.is_available():
        words["gpu"] = torch.cuda.get_device_name(device)
    return words


def _builtin() -> Iterator[Initializer]:
    """The in-place functions of torch.nn.init; the deprecated names are those without the last letter."""
    for name in dir(nn.init):
        function = getattr(nn.init, name)
        if name.startswith("_") or not name.endswith("_") or not inspect.isfunction(function):
            continue
        options = _options(function)
        if options is not None:
            yield Initializer(name, kinds.TENSOR, first_sentence(function), options)


def _framework_default() -> Initializer:
    return Initializer(RESET, kinds.MODULE, "What each layer's class gives it when it is built.", ())


def reset_parameters(module: nn.Module) -> None:
    """Gives a layer the values that its class gives it; for ``block.apply``."""
    own = getattr(module, RESET, None)
    if callable(own):
        own()


def first_sentence(function: object) -> str:
    """What a function's documentation says first."""
    text = " ".join((inspect.getdoc(function) or "").split("\n\n")[0].split())
    end = text.find(". ")
    sentence = text if end < 0 else text[: end + 1]
    return re.sub(r":math:`?\\text\{(\w+)\}`?", r"\1", sentence).replace("`", "")[:200]


def _options(function: Callable[..., object]) -> tuple[Option, ...] | None:
    """What a built-in takes besides a tensor; None where it takes something else first."""
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters or parameters[0].name != "tensor":
        return None
    try:
        hints = typing.get_type_hints(function)
    except (NameError, TypeError):
        hints = {}
    return tuple(
        option_of(parameter, hints.get(parameter.name))
        for parameter in parameters[1:]
        if parameter.name != "generator"
    )


def option_of(parameter: inspect.Parameter, hint: object) -> Option:
    """One argument, its kind told from annotation, name and default."""
    required = parameter.default is inspect.Parameter.empty
    default = None if required else parameter.default
    choices: tuple[str, ...] = ()
    if typing.get_origin(hint) is typing.Literal and all(
        isinstance(choice, str) for choice in typing.get_args(hint)
    ):
        choices = tuple(typing.get_args(hint))
    elif parameter.name == "mode" and default in _MODES:
        choices = _MODES
    elif parameter.name == "nonlinearity" and default in _NONLINEARITIES:
        choices = _NONLINEARITIES
    if choices:
        kind = kinds.CHOICE
    elif hint is bool or isinstance(default, bool):
        kind = kinds.TRUTH
    elif hint is int and parameter.name in ("groups", "n", "count"):
        kind = kinds.INTEGER
    elif hint in (int, float) or isinstance(default, int | float):
        # A whole default does not mean that only whole numbers are wanted.
        kind = kinds.INTEGER if hint is int else kinds.NUMBER
    elif hint is str or isinstance(default, str):
        kind = kinds.TEXT
    else:
        kind = kinds.LITERAL
    return Option(parameter.name, kind, required, default, choices)


# Doing


@contextmanager
def quiet() -> Iterator[None]:
    """Initialising tensors without elements is warned of, which nobody needs to read here."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def initialise(found: Available, tensor: torch.Tensor, call: Call) -> None:
    """Carries out one initialiser of a tensor.

    Raises:
        UserCodeError: It failed.
    """
    function = found.function(call)
    with user_code(call.name), torch.no_grad():
        if call.source:
            function(tensor, **dict(call.arguments))
        else:
            with quiet():
                function(tensor, **dict(call.arguments))


def module_function(found: Available, call: Call) -> Callable[[nn.Module], object]:
    """The function of a module that ``block.apply`` is to call."""
    function, arguments = found.function(call), dict(call.arguments)
    if not arguments:
        return function
    return lambda module: function(module, **arguments)


def trial(found: Available, asked: Sequence[tuple[Call, Shape, str]], device: str) -> list[str]:
    """Why initialisers cannot do a shape and dtype, tried on small tensors; empty where they can.

    A person's own functions are not tried: they may do anything.
    """

    def tried() -> list[str]:
        return [
            "" if call.source or call.name == RESET else _tried(found, call, shape, dtype, device)
            for call, shape, dtype in asked
        ]

    def undisturbed() -> list[str]:
        with kept_random_state():
            return stoppable(tried)

    return whole(undisturbed)


def _tried(found: Available, call: Call, shape: Shape, dtype: str, device: str) -> str:
    kind = getattr(torch, dtype, None)
    if not isinstance(kind, torch.dtype):
        return f"this version of PyTorch has no {dtype}"
    small = [min(size or 0, SMALL) for size in shape]
    groups = dict(call.arguments).get("groups")
    if small and isinstance(groups, int) and 0 < groups <= 1 << 16:
        small[0] = groups if (shape[0] or 0) % groups == 0 else groups + 1
    try:
        tensor = torch.empty(small, dtype=kind, device=device)
        with torch.no_grad(), quiet():
            tensor.zero_()
            found.function(call)(tensor, **dict(call.arguments))
    except Exception as error:  # noqa: BLE001  whatever it is, it cannot
        words = " ".join(str(error).split("\n")[0].split())[:160]
        arguments = ", ".join(f"{name}={literal_text(value)}" for name, value in call.arguments)
        with_them = f" with {arguments}" if arguments else ""
        return f"{call.name}{with_them} cannot do {dtype} of {len(shape)} dimensions: {words}"
    return ""
