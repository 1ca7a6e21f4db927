"""Makes modules of ``torch.nn`` that hold given tensors, so that functions of modules can be applied.

The modules are made on the ``meta`` device: nothing is initialised and no random number is drawn. Then their
parameters become views of the tensors, so whatever changes a parameter changes the tensor.
"""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import nn

from paramtui.core.layer_table import BLOCK, CONTAINERS, KNOWN, LAYERS, NESTS, OUT_PROJECTION
from paramtui.core.literals import is_name, literal_text
from paramtui.core.text import safe_text
from paramtui.errors import ValuesError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from paramtui.core.recipe import LayerBlock, Recipe

_COUNTER: Final = "num_batches_tracked"
_MISSING: Final = object()
# The constructors of RNNs take anything, so their defaults cannot be asked for.
_RECURRENT_DEFAULTS: Final = {
    "num_layers": 1,
    "bias": True,
    "bidirectional": False,
    "proj_size": 0,
    "nonlinearity": "tanh",
}
_BARE: Final = "def bare(kind): made = kind.__new__(kind); nn.Module.__init__(made); return made"


def build_skeleton(recipe: Recipe, tensors: Mapping[int, torch.Tensor]) -> nn.Module:
    """The modules of a recipe, holding the tensors themselves.

    Args:
        recipe: What to make.
        tensors: By the ids of ``recipe.tensors()``.

    Returns:
        The block. ``p.data_ptr()`` of each parameter is that of its tensor; parameters need gradients where
        the type allows it and the file does not say otherwise. An attribute that the file does not tell is
        absent, so that code which asks for it fails rather than computing with a made-up value.

    Raises:
        ValuesError: A layer cannot be made; the message names it. Random state is as before either way.
    """
    recipe = with_padding(recipe, tensors)
    modules: list[nn.Module] = []
    by_path: dict[tuple[str, ...], nn.Module] = {}
    parameters: dict[int, nn.Parameter] = {}
    for block in recipe.blocks:
        if block.same_as >= 0:
            module = modules[block.same_as]
        else:
            module = _made(recipe, block)
            _fill(module, block, tensors, parameters)
        modules.append(module)
        by_path[block.path] = module
        if block.path:
            around = by_path[block.path[:-1]]
            vars(around)["_modules"][_checked(recipe, block, block.path[-1])] = module
    return modules[0]


def with_padding(recipe: Recipe, tensors: Mapping[int, torch.Tensor]) -> Recipe:
    """A recipe in which every inferred Embedding has its ``padding_idx``, told from its numbers.

    ``nn.Embedding`` sets the row of ``padding_idx`` to zero and gives it no gradient: the only row that is
    zero throughout is taken for it, and where there is none, or more than one, there is no padding.
    """
    blocks: list[LayerBlock] = []
    for block in recipe.blocks:
        weight = block.parameters.get("weight")
        if (
            block.class_name == "Embedding"
            and block.how == "inferred"
            and "padding_idx" not in block.arguments
            and weight is not None
        ):
            arguments = {**block.arguments, "padding_idx": _zero_row(tensors[weight])}
            blocks.append(block._replace(arguments=arguments))
        else:
            blocks.append(block)
    return recipe._replace(blocks=blocks)


def _zero_row(weight: torch.Tensor) -> int | None:
    with torch.no_grad():
        weight = weight.detach()
        weight = weight.float() if weight.element_size() == 1 else weight  # 8-bit floats cannot be compared
        # Most rows differ from zero in their first number, so few are looked at whole.
        rows = (weight[:, 0] == 0).nonzero()[:, 0].tolist()
        zero = [row for row in rows if not bool((weight[row] != 0).any())] if len(rows) < len(weight) else []
    return zero[0] if len(zero) == 1 else None


def _checked(recipe: Recipe, block: LayerBlock, name: str) -> str:
    if not name or "." in name or hasattr(nn.Module, name):
        raise ValuesError("has a name that torch.nn.Module uses itself", where=_where(recipe, block))
    return name


def _where(recipe: Recipe, block: LayerBlock) -> str:
    return ".".join(filter(None, (recipe.name, safe_text(block.name)))) or "the whole file"


def _class(recipe: Recipe, block: LayerBlock) -> type[nn.Module]:
    name = block.class_name
    found = (
        getattr(nn.modules.linear if name == OUT_PROJECTION else nn, name, None) if name in KNOWN else None
    )
    if not isinstance(found, type) or not issubclass(found, nn.Module):
        raise ValuesError(
            f"is a {safe_text(name, 60)}, which torch.nn of PyTorch {torch.__version__} has not",
            where=_where(recipe, block),
        )
    return found


def _has_all_defaults(kind: type[nn.Module]) -> bool:
    if kind.__name__ in NESTS:
        return False
    own = list(inspect.signature(kind.__init__).parameters.values())[1:]
    return all(
        entry.default is not entry.empty or entry.kind in (entry.VAR_POSITIONAL, entry.VAR_KEYWORD)
        for entry in own
    )


def _made(recipe: Recipe, block: LayerBlock) -> nn.Module:
    """A module with its facts and without its tensors."""
    kind = _class(recipe, block)
    name = block.class_name
    try:
        if name in LAYERS:
            made = kind(**_constructor_arguments(block), device="meta")
            vars(made)["_modules"].clear()  # those of the file come instead
        elif name == BLOCK:
            made = (type(block.called, (nn.Module,), {}) if is_name(block.called) else nn.Module)()
        elif _has_all_defaults(kind):
            made = kind()
        else:
            made = kind.__new__(kind)
            nn.Module.__init__(made)
    except Exception as error:  # noqa: BLE001  constructors raise what they like about damaged facts
        first = str(error).strip().splitlines()[:1]
        raise ValuesError(
            f"torch.nn.{name} cannot be made as the file says: {safe_text(first[0] if first else '', 120)}",
            where=_where(recipe, block),
        ) from None
    for key, value in _other_attributes(made, block).items():
        vars(made)[key] = value
    if block.untold:
        for key in block.untold:
            vars(made).pop(key, None)
        text = ", ".join(f"{key}={value}" for key, value in block.arguments.items())
        # extra_repr() of the class would ask for what is untold.
        vars(made)["extra_repr"] = lambda: text
    return made


def _constructor_arguments(block: LayerBlock) -> dict[str, Any]:
    arguments = dict(block.arguments)
    if block.class_name == "MultiheadAttention":
        arguments.setdefault("num_heads", 1)  # no shape depends on it, and as untold it is taken out again
    return arguments


def _other_attributes(made: nn.Module, block: LayerBlock) -> dict[str, object]:
    """Attributes of the file that the constructor has not set so; never one that hides a method."""
    own = vars(made)
    out: dict[str, object] = {}
    for key, value in block.attributes.items():
        taken = getattr(type(made), key, None)
        if callable(taken) or isinstance(taken, property) or key.startswith("__"):
            continue
        current = own.get(key, _MISSING)
        if current is _MISSING or (tuple(current) if isinstance(current, list) else current) != value:
            out[key] = value
    return out


def _fill(
    module: nn.Module,
    block: LayerBlock,
    tensors: Mapping[int, torch.Tensor],
    parameters: dict[int, nn.Parameter],
) -> None:
    for name, tensor in block.parameters.items():
        parameter = parameters.get(tensor)
        if parameter is None:
            found = tensors[tensor].detach()
            grad = name not in block.frozen and (found.is_floating_point() or found.is_complex())
            parameter = parameters[tensor] = nn.Parameter(found, requires_grad=grad)
        if name in module._parameters:  # noqa: SLF001  torch's own unpickling does the same
            setattr(module, name, parameter)  # an RNN keeps a list of its weights besides
        else:
            module._parameters[name] = parameter  # noqa: SLF001
    for name, tensor in block.buffers.items():
        module._buffers[name] = tensors[tensor].detach()  # noqa: SLF001
    for name, left in module._parameters.items():  # noqa: SLF001
        if left is not None and name not in block.parameters:
            module._parameters[name] = None  # noqa: SLF001
    for name, kept in module._buffers.items():  # noqa: SLF001
        if kept is not None and name not in block.buffers:
            # Files of PyTorch 0.4 and before have no counter.
            module._buffers[name] = torch.tensor(0) if name == _COUNTER else None  # noqa: SLF001


def skeleton_lines(recipe: Recipe, expression: Callable[[int], str]) -> list[str]:
    """Lines of Python that make the same block and leave it in the variable ``block``.

    They need ``torch`` and ``from torch import nn``, and nothing else. What the file does not tell has the
    default of torch there.

    Args:
        recipe: What to make; that of `with_padding`, where Embeddings are inferred.
        expression: Python for the tensor of an id, such as ``state["0.weight"]``.

    Raises:
        ValuesError: A layer cannot be made; the message names it.
    """
    lines: list[str] = []
    seen: dict[int, str] = {}
    for block in recipe.blocks:
        at = _reach(block.path)
        if block.path:
            _checked(recipe, block, block.path[-1])
        if block.same_as >= 0:
            lines.append(_added(block, _reach(recipe.blocks[block.same_as].path)))
            continue
        made = _made(recipe, block._replace(untold=()))
        text = _constructor_text(made, block)
        if text.startswith("bare(") and _BARE not in lines:
            lines.insert(0, _BARE)
        lines.append(_added(block, text) if block.path else f"block = {text}")
        others = _other_attributes(_made(recipe, block._replace(untold=(), attributes={})), block)
        if others:
            lines.append(f"vars({at}).update({_python(others)})")
        registered = dict(made._parameters)  # noqa: SLF001
        for name, tensor in block.parameters.items():
            if tensor in seen:
                value = seen[tensor]
            else:
                frozen = ", requires_grad=False" if name in block.frozen else ""
                value = f"nn.Parameter({expression(tensor)}{frozen})"
                seen[tensor] = f"{at}.{name}" if is_name(name) else f"getattr({at}, {literal_text(name)})"
            if name in registered and is_name(name):
                lines.append(f"{at}.{name} = {value}")
            else:
                lines.append(f"{at}.register_parameter({literal_text(name)}, {value})")
        lines += [f"{at}.{name} = None" for name in registered if name not in block.parameters]
        for name, tensor in block.buffers.items():
            lines.append(f"{at}.register_buffer({literal_text(name)}, {expression(tensor)})")
        if _COUNTER in made._buffers and _COUNTER not in block.buffers:  # noqa: SLF001
            lines.append(f"{at}.{_COUNTER} = torch.tensor(0)")
    return lines


def _reach(path: tuple[str, ...]) -> str:
    return f"block.get_submodule({literal_text('.'.join(path))})" if path else "block"


def _added(block: LayerBlock, text: str) -> str:
    return f"{_reach(block.path[:-1])}.add_module({literal_text(block.path[-1])}, {text})"


def _constructor_text(made: nn.Module, block: LayerBlock) -> str:
    """The call that makes a module, arguments with their default values left out."""
    name = block.class_name
    if name == BLOCK:
        if not is_name(block.called):
            return "nn.Module()"
        return f"type({literal_text(block.called)}, (nn.Module,), {{}})()"
    if name not in LAYERS:
        plain = name in CONTAINERS or _has_all_defaults(type(made))
        return f"nn.{name}()" if plain else f"bare(nn.{name})"
    form = LAYERS[name]
    arguments = _constructor_arguments(block)
    defaults: dict[str, object] = dict(_RECURRENT_DEFAULTS)
    signature = inspect.signature(type(made).__init__).parameters.values()
    defaults.update({entry.name: entry.default for entry in signature if entry.default is not entry.empty})
    needed = [_python(arguments.pop(key)) for key in form.needed]
    named = [
        f"{key}={_python(value)}"
        for key, value in arguments.items()
        if not _is_default(value, defaults.get(key, _MISSING))
    ]
    place = f"nn.modules.linear.{name}" if name == OUT_PROJECTION else f"nn.{name}"
    inside = ", ".join([*needed, *named, 'device="meta"'])
    return f"{place}({inside})"


def _is_default(value: object, default: object) -> bool:
    if isinstance(value, tuple) and value:
        return all(item == default and type(item) is type(default) for item in value)
    return value == default and type(value) is type(default)


def _python(value: object) -> str:
    """A plain value as Python writes it; JSON's and pickle's odd numbers too."""
    if type(value) is str:
        return literal_text(value)
    if type(value) is float:
        return repr(value) if value - value == 0 else f'float("{value}")'
    if isinstance(value, tuple):
        return f"({', '.join(map(_python, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, dict):
        return (
            "{" + ", ".join(f"{literal_text(str(key))}: {_python(item)}" for key, item in value.items()) + "}"
        )
    return repr(value)
