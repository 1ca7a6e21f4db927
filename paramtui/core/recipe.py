"""What a block of layers is made of, as plain data: enough to make modules of ``torch.nn`` of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from paramtui.core.layer_table import LAYERS

if TYPE_CHECKING:
    from collections.abc import Mapping


class LayerBlock(NamedTuple):
    """One module.

    Attributes:
        path: Names from the block that the recipe is of down to this one; empty for that block itself.
        class_name: A name of ``torch.nn``, of the table; ``Module`` where it only holds others.
        how: ``known`` from the file, or ``inferred`` from names and shapes.
        arguments: Of the constructor; sequences are tuples.
        parameters, buffers: Tensor ids by attribute. Exact aliases have the id of the first of them.
        frozen: Parameters that need no gradient.
        attributes: What else the file says of it, plain values only.
        untold: Attributes that its class has and the file does not tell.
        called: Name of its own class, where that is none of ``torch.nn``; a mere label.
        same_as: Place of the block that is the same module; -1 if this is the first. What lies below a
            repeated module is not listed again.
    """

    path: tuple[str, ...]
    class_name: str
    how: str
    arguments: Mapping[str, object]
    parameters: dict[str, int]
    buffers: dict[str, int]
    frozen: tuple[str, ...] = ()
    attributes: Mapping[str, object] = {}
    untold: tuple[str, ...] = ()
    called: str = ""
    same_as: int = -1

    @property
    def name(self) -> str:
        """Its dotted name within the block; empty for that block itself."""
        return ".".join(self.path)


class Recipe(NamedTuple):
    """The modules of a block, each before those in it, in the order that ``Module.apply`` takes children in.

    Attributes:
        blocks: At least one; the first is the block itself.
        name: Of the block in the file; empty for the whole.
        ordered: Whether the file keeps the order of the model; one that is sorted by name does not.
    """

    blocks: list[LayerBlock]
    name: str = ""
    ordered: bool = True

    def tensors(self) -> list[int]:
        """Ids of the tensors that it needs, each once."""
        found: dict[int, None] = {}
        for block in self.blocks:
            found.update(dict.fromkeys([*block.parameters.values(), *block.buffers.values()]))
        return list(found)

    def plain(self) -> dict[str, object]:
        """What `recipe_from` takes; JSON can hold it."""
        return {
            "name": self.name,
            "ordered": self.ordered,
            "blocks": [block._asdict() for block in self.blocks],
        }


def recipe_from(plain: Mapping[str, object]) -> Recipe:
    """The recipe that `Recipe.plain` gave, perhaps by way of JSON."""
    blocks: list[LayerBlock] = []
    given = plain["blocks"]
    for entry in given if isinstance(given, list) else []:
        fields: dict[str, Any] = {name: _tuples(value) for name, value in entry.items()}
        blocks.append(LayerBlock(**fields))
    return Recipe(blocks, str(plain["name"]), bool(plain["ordered"]))


def _tuples(value: object) -> object:
    """`value` with tuples in the place of lists."""
    if isinstance(value, list | tuple):
        return tuple(_tuples(item) for item in value)
    if isinstance(value, dict):
        return {name: _tuples(item) for name, item in value.items()}
    return value


def words(recipe: Recipe) -> str:
    """In a few words how the classes are known, and what was taken for granted."""
    layers = [block for block in recipe.blocks if block.class_name in LAYERS and block.same_as < 0]
    inferred: dict[str, int] = {}
    for block in layers:
        if block.how == "inferred":
            inferred[block.class_name] = inferred.get(block.class_name, 0) + 1
    count = sum(inferred.values())
    parts: list[str] = []
    if not count:
        parts.append("classes known from the file")
    else:
        if len(layers) > count:
            parts.append(f"{len(layers) - count:,} {_layers(len(layers) - count)} known from the file")
        shown = ", ".join(f"{name} x{times:,}" for name, times in inferred.items())
        parts.append(f"{count:,} {_layers(count)} inferred from names and shapes: {shown}")
    repeated = sum(block.same_as >= 0 for block in recipe.blocks)
    if repeated:
        parts.append(
            f"{repeated:,} {_layers(repeated)} whose tensors are all shared taken for one used again"
        )
    if not recipe.ordered:
        parts.append(
            "the file is sorted by name, so random numbers may be drawn in another order than the model's"
        )
    return "; ".join(parts)


def _layers(count: int) -> str:
    return "layer" if count == 1 else "layers"


def joined(blocks: list[LayerBlock], above: list[int]) -> list[LayerBlock]:
    """The blocks with modules that are used again joined: see `_signatures` for what counts as one."""
    signatures = _signatures(blocks, above)
    first: dict[int, int] = {}
    new_place: dict[int, int] = {}
    gone: set[int] = set()
    out: list[LayerBlock] = []
    for place, block in enumerate(blocks):
        if above[place] in gone:
            gone.add(place)
            continue
        mark = signatures[place]
        if mark in first:
            gone.add(place)
            out.append(
                LayerBlock(
                    block.path, block.class_name, block.how, {}, {}, {}, same_as=new_place[first[mark]]
                )
            )
            continue
        if mark >= 0:
            first[mark] = place
        new_place[place] = len(out)
        out.append(block)
    return out


def _signatures(blocks: list[LayerBlock], above: list[int]) -> list[int]:
    """A number per block, equal for those that are one module; -1 for what cannot be told to be one.

    A file tells of tensors that they are the same, not of modules. Whoever ties weights ties them one by one;
    so two blocks of the same classes and facts that share all their tensors, at least two, are one
    module used twice. Where a single tensor is shared, two modules hold one Parameter.
    """
    known: dict[object, int] = {}
    marks = [-1] * len(blocks)
    inside: list[list[tuple[str, int]]] = [[] for _ in blocks]
    held: list[set[int]] = [set() for _ in blocks]
    for place in range(len(blocks) - 1, -1, -1):
        block = blocks[place]
        own = held[place]
        own.update(block.parameters.values(), block.buffers.values())
        facts = (
            block.class_name,
            block.called,
            repr(sorted(block.arguments.items())),
            repr(sorted(block.attributes.items())),
            tuple(block.parameters.items()),
            tuple(block.buffers.items()),
            tuple(reversed(inside[place])),
        )
        mark = known.setdefault(facts, len(known))
        parent = above[place]
        if parent >= 0:
            inside[parent].append((block.path[-1], mark))
            # Two are all that is asked for; larger sets would cost the square of the depth.
            held[parent].update(sorted(own)[:2])
        marks[place] = mark if len(own) >= 2 else -1
    return marks
