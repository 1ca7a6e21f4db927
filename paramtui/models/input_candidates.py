"""Inputs that a model's first layers and its signature suggest, and what its refusals teach."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from paramtui.core.input_spec import TensorSpec
from paramtui.models.state_guard import modules_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

BATCH: Final = 2
LENGTH: Final = 8
SIDES: Final = (32, 28, 64, 16, 224, 8, 96, 128, 299)
# Of signals, which may have to be as long as a second of sound.
SIGNALS: Final = (*SIDES, 1000, 16000)
MAX_LAYERS: Final = 6
FALLBACK_WORDS: Final = 2
# Names of arguments that stand for whole numbers.
_INDEX_NAMES: Final = re.compile(r"ids?$|^ids|token|index|indices|words|offsets$")
# Of which there is one an example.
_VECTOR_NAMES: Final = re.compile(r"label|target|class|timestep|^t$")
# Whole numbers in a model that has an embedding.
_TEXT_NAMES: Final = re.compile(r"text|sentence|^src|^tgt")
_MASK_NAMES: Final = re.compile(r"mask")


class Candidate(NamedTuple):
    """Something that may fit.

    Attributes:
        specs: Arguments.
        why: What suggested it, to follow "derived from".
        depth: How many refusals led to it.
    """

    specs: tuple[TensorSpec, ...]
    why: str
    depth: int = 0


def _floats(*shape: int, name: str | None = None) -> TensorSpec:
    return TensorSpec(name, None, shape, None)


def _whole(high: int, *shape: int, name: str | None = None) -> TensorSpec:
    return TensorSpec(name, "int64", shape, max(high, 1))


def candidates(model: nn.Module) -> Iterator[Candidate]:
    """What to try, the likeliest first."""
    names = _required(model)
    yield from _by_config(model, names)
    if names is not None and not names and not _signature(model):
        yield Candidate((), "forward(), which takes no arguments")
        return
    by_name = {
        entry.name for entry in _signature(model) or [] if entry.kind is inspect.Parameter.KEYWORD_ONLY
    }
    for candidate in _by_position(model, names or ["input"]):
        specs = candidate.specs
        if by_name and names is not None and len(specs) == len(names):
            named = zip(specs, names, strict=True)
            specs = tuple(spec._replace(name=name) if name in by_name else spec for spec, name in named)
        yield candidate._replace(specs=specs)


def _by_position(model: nn.Module, names: list[str]) -> Iterator[Candidate]:
    """One argument for each name, in their order."""
    yield from _by_class(model)
    layers = list(islice(_first_layers(model), MAX_LAYERS))
    count = len(names)
    if count == 1:
        for why, specs in layers:
            yield from (Candidate((spec,), why) for spec in specs)
    else:
        yield from _in_turn(model, names)
        yield from _several(names, layers)
    if not layers:
        for shape in ((BATCH, 4), (BATCH, 3, 32, 32), (BATCH, LENGTH, 4)):
            yield Candidate((_floats(*shape),) * count, "nothing: it has no layers with parameters")
        yield Candidate((_whole(FALLBACK_WORDS, BATCH, LENGTH),) * count, "nothing: it has no layers")


def _signature(model: nn.Module) -> list[inspect.Parameter] | None:
    try:
        return list(inspect.signature(model.forward).parameters.values())
    except (TypeError, ValueError):
        return None


def _required(model: nn.Module) -> list[str] | None:
    """Names of the arguments that forward cannot do without; None where that is not known."""
    parameters = _signature(model)
    if parameters is None:
        return None
    return [
        entry.name
        for entry in parameters
        if entry.default is entry.empty
        and entry.kind in (entry.POSITIONAL_ONLY, entry.POSITIONAL_OR_KEYWORD, entry.KEYWORD_ONLY)
    ]


def _attribute(thing: object, name: str) -> Any:  # noqa: ANN401  whatever a person's class has
    """An attribute; None where there is none, or where asking for it fails."""
    try:
        return getattr(thing, name, None)
    except Exception:  # noqa: BLE001  a property of the person's own
        return None


# Whole numbers where no layer says how many there are
_FEW: Final = [_whole(FALLBACK_WORDS, BATCH, LENGTH), _whole(FALLBACK_WORDS, BATCH)]


# By configuration, as Hugging Face models have one


def _by_config(model: nn.Module, required: list[str] | None) -> Iterator[Candidate]:
    config = _attribute(model, "config")
    names = {entry.name for entry in _signature(model) or []}
    if config is None or not names or required is None:
        return
    # Models of pictures and text keep one configuration for each.
    parts = [config, *(_option(config, name) for name in ("text_config", "vision_config"))]

    def number(*attributes: str) -> int | None:
        found = (_option(part, attribute) for attribute in attributes for part in parts)
        return next((value for value in found if type(value) is int and value > 0), None)

    def complete(given: list[TensorSpec], why: str) -> Candidate:
        masks = [name for name in required if _MASK_NAMES.search(name)]
        more = [_whole(2, BATCH, LENGTH, name=name) for name in masks]
        return Candidate((*given, *more), why)

    tokens: list[TensorSpec] = []
    vocabulary = number("vocab_size", "n_vocab", "vocabulary_size")
    if vocabulary is not None and "input_ids" in names:
        tokens = [_whole(vocabulary, BATCH, LENGTH, name="input_ids")]
        more = _whole(vocabulary, BATCH, LENGTH, name="decoder_input_ids")
        if _attribute(config, "is_encoder_decoder") and "decoder_input_ids" in names:
            yield complete([*tokens, more], "the configuration of an encoder and decoder")
        if "pixel_values" not in required:
            yield complete(tokens, "the vocabulary of its configuration")
    if "pixel_values" in names:
        channels = number("num_channels") or 3
        image = number("image_size")
        for side in [image] if image else SIDES:
            pixels = _floats(BATCH, channels, side, side, name="pixel_values")
            yield complete([pixels], "the image size of its configuration")
            if tokens:
                yield complete([*tokens, pixels], "the vocabulary and the image size of its configuration")
    if "input_values" in names:
        yield complete([_floats(BATCH, 4000, name="input_values")], "its argument input_values")


def _option(config: object, name: str) -> Any:  # noqa: ANN401  whatever stands there
    return config.get(name) if isinstance(config, Mapping) else _attribute(config, name)


# By class, where the model is itself a layer that takes several


def _by_class(model: nn.Module) -> Iterator[Candidate]:
    name = type(model).__name__
    of: Any = model
    if name == "MultiheadAttention":
        sizes = (of.embed_dim, of.kdim or of.embed_dim, of.vdim or of.embed_dim)
        specs = tuple(_floats(BATCH, LENGTH, size) for size in sizes)
        yield Candidate(specs, "its embedding size")
    elif name == "Transformer" and hasattr(of, "d_model"):
        yield Candidate((_floats(BATCH, LENGTH, of.d_model),) * 2, "its d_model")
    elif name == "Bilinear":
        yield Candidate((_floats(BATCH, of.in1_features), _floats(BATCH, of.in2_features)), "its features")
    elif name in ("TransformerDecoderLayer", "TransformerDecoder"):
        for module in modules_of(model):
            size = getattr(module, "embed_dim", None)
            if type(size) is int:
                yield Candidate((_floats(BATCH, LENGTH, size),) * 2, "its embedding size")
                return


# By layers


def _first_layers(model: nn.Module) -> Iterator[tuple[str, list[TensorSpec]]]:
    """What each layer in the order of registration takes."""
    seen: set[tuple[TensorSpec, ...]] = set()
    for module in _in_order(model):
        specs = _taken(module)
        if specs and tuple(specs) not in seen:
            seen.add(tuple(specs))
            yield f"the layer {type(module).__name__}", specs


def _in_order(model: nn.Module) -> Iterator[nn.Module]:
    """Modules in the order of `named_modules`, whatever they point to."""
    seen: set[int] = set()
    stack = [model]
    while stack:
        module = stack.pop()
        if id(module) in seen:
            continue
        seen.add(id(module))
        yield module
        children = [child for child in vars(module).get("_modules", {}).values() if child is not None]
        stack.extend(reversed(children))


def _taken(module: nn.Module) -> list[TensorSpec]:
    """Shapes that a layer takes, the likeliest first; none for what is no layer known by its attributes."""
    of: Any = module

    def size(*attributes: str) -> int | None:
        found = next((value for name in attributes if (value := _attribute(of, name)) is not None), None)
        return found if type(found) is int else None

    words = size("num_embeddings")
    if words is not None:
        return [_whole(words, BATCH, LENGTH), _whole(words, BATCH), _whole(words, LENGTH)]
    channels = size("in_channels")
    kernel = _attribute(of, "kernel_size")
    if channels is not None and kernel is not None:
        dims = len(kernel) if isinstance(kernel, tuple) else 2
        sides = {1: SIGNALS, 2: SIDES}.get(dims, (16, 32, 8))
        return [_floats(BATCH, channels or 3, *[side] * dims) for side in sides]
    features = size("in_features")
    if features is not None:
        return [_floats(BATCH, features or 4), _floats(BATCH, LENGTH, features or 4)]
    step = size("input_size")
    if step is not None:
        if type(module).__name__.endswith("Cell"):
            return [_floats(BATCH, step)]
        return [_floats(BATCH, LENGTH, step)]
    embedding = size("embed_dim")
    if embedding is not None:
        return [_floats(BATCH, LENGTH, embedding)]
    return _normalised(module, size("num_features", "num_channels"))


def _normalised(module: nn.Module, features: int | None) -> list[TensorSpec]:
    if features is not None:
        features = features or 3  # of a lazy layer
        name = type(module).__name__
        dims = {"1d": 1, "2d": 2, "3d": 3}.get(name[-2:])
        if dims == 1 and "BatchNorm" in name:
            return [_floats(BATCH, features), _floats(BATCH, features, LENGTH)]
        shapes = [dims] if dims is not None else [2, 1, 0]
        return [_floats(BATCH, features, *[LENGTH] * count) for count in shapes]
    shape = _attribute(module, "normalized_shape")
    if isinstance(shape, tuple):
        return [_floats(BATCH, LENGTH, *shape), _floats(BATCH, *shape)]
    return []


def _in_turn(model: nn.Module, names: list[str]) -> Iterator[Candidate]:
    """The first layers for the arguments in turn, where some are embeddings and no name says which."""
    if any(_INDEX_NAMES.search(name) or _VECTOR_NAMES.search(name) for name in names):
        return
    found = islice((specs for module in _in_order(model) if (specs := _taken(module))), len(names))
    chosen = tuple(specs[0] for specs in found)
    if len(chosen) == len(names) and any(spec.dtype for spec in chosen):
        yield Candidate(chosen, "its first layers, one for each argument")


def _several(names: list[str], layers: list[tuple[str, list[TensorSpec]]]) -> Iterator[Candidate]:
    """Candidates for a forward pass of several arguments."""
    if not layers:
        return
    wholes = [specs for _, specs in layers if specs[0].dtype]
    floats = [specs for _, specs in layers if not specs[0].dtype]
    # Whole numbers where the name says so, the layers one after another elsewhere.
    for variant in range(3):
        chosen: list[TensorSpec] = []
        at = 0
        for name in names:
            if _MASK_NAMES.search(name) and not floats:
                chosen.append(_whole(2, *wholes[0][variant].shape))
            elif name.endswith("offsets"):
                # The first has to be 0; a bound of 1 makes all of them 0.
                chosen.append(_whole(1, BATCH))
            elif _VECTOR_NAMES.search(name):
                high = wholes[0][0].high if wholes and floats else FALLBACK_WORDS
                chosen.append(_whole(high or FALLBACK_WORDS, *((BATCH,) if variant < 2 else (BATCH, LENGTH))))
            elif not floats or _INDEX_NAMES.search(name) or (wholes and _TEXT_NAMES.search(name)):
                known = wholes[min(at, len(wholes) - 1) if not floats else 0] if wholes else _FEW
                chosen.append(known[min(variant, len(known) - 1)])
                at += not floats
            else:
                of_layer = floats[min(at, len(floats) - 1)]
                chosen.append(of_layer[min(variant, len(of_layer) - 1)])
                at += 1
        yield Candidate(tuple(chosen), "its first layers, one for each argument")
    if floats:
        labels = _whole(FALLBACK_WORDS, BATCH)
        yield Candidate((*[floats[0][0]] * (len(names) - 1), labels), "its first layer, and labels")
    for why, specs in layers:
        for spec in specs[:3]:
            yield Candidate((spec,) * len(names), why)
