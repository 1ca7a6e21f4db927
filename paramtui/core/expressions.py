"""One line of Python that reaches what a row of the tree stands for, with PyTorch and its file.

The line is for people to copy: all that comes from the file stands in it as escaped literals, so it
is printable whatever the file says.
"""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Final, NamedTuple
from weakref import WeakKeyDictionary

from paramtui.core.listing import (
    ARGUMENT,
    ATTRIBUTE,
    BUFFER,
    GHOST,
    ITEM,
    PARAMETER,
    ROOT,
    SUBMODULE,
    Shard,
)
from paramtui.core.literals import MAX_TEXT, is_name, is_text, literal, literal_text
from paramtui.core.torch_loading import refused_by_default

if TYPE_CHECKING:
    from paramtui.core.listing import Listing
    from paramtui.core.tree import Tree

# What a live model is called in the lines that reach into it.
MODEL: Final = "model"
MAX_STEPS: Final = 1000
MAX_SHARDS: Final = 3
MAX_SHARDED_TEXT: Final = 300
# How the words end that stand for a key without a literal.
_ENDS: Final = (")", "…", "'")
# A dotted block with entries of several containers: no one dict holds it.
_MIXED: Final = -2

# What torch.nn.Module has itself, and a dot would find before a child.
MODULE_NAMES: Final = (
    " T_destination add_module apply bfloat16 buffers call_super_init children compile cpu cuda double"
    " dump_patches eval extra_repr float forward get_buffer get_extra_state get_parameter get_submodule half"
    " ipu load_state_dict modules mtia named_buffers named_children named_modules named_parameters parameters"
    " register_backward_hook register_buffer register_forward_hook register_forward_pre_hook"
    " register_full_backward_hook register_full_backward_pre_hook register_load_state_dict_post_hook"
    " register_load_state_dict_pre_hook register_module register_parameter register_state_dict_post_hook"
    " register_state_dict_pre_hook requires_grad_ set_extra_state set_submodule share_memory state_dict to"
    " to_empty train training type xpu zero_grad "
)
_CONTAINER: Final = "torch.nn.modules.container."
# Step to a module's child: the classes that take it by number, the one that takes it by key, the
# method that takes its name, and the dict that holds it under any name.
_CHILDREN: Final = {
    SUBMODULE: (("Sequential", "ModuleList"), "ModuleDict", "get_submodule", "_modules"),
    PARAMETER: (("ParameterList",), "ParameterDict", "get_parameter", "_parameters"),
    BUFFER: ((), "", "get_buffer", "_buffers"),
}


def expression(listing: Listing, tree: Tree, row: int) -> str:
    """A line of Python that gives what a row stands for; empty where there is none.

    Args:
        listing: Of the checkpoint.
        tree: Over that listing.
        row: Of the tree.
    """
    node = tree.node[row]
    if listing.live is not None and node >= 0 and _is_ghost(listing, tree, row):
        return ""
    if listing.declared and _is_declared(listing, tree, row):
        return ""
    if node < 0 or listing.shards:
        blocks = _blocks(tree)
        if node < 0 or row == 0:
            text = _dotted(listing, tree, row, blocks)
            return text if len(text) <= MAX_TEXT else ""
        if blocks.shards[row].bit_count() > 1:
            return ""
    if listing.format == "torch-export":
        return _exported(listing, tree, row)
    return _reach(listing, node)


def _is_ghost(listing: Listing, tree: Tree, row: int) -> bool:
    """Whether a row of a live model stands for what only a checkpoint has."""
    return tree.tensor[row] < 0 and tree.node[row] not in listing.module_nodes


def _is_declared(listing: Listing, tree: Tree, row: int) -> bool:
    """Whether a row of a checkpoint stands for names alone that are declared and not stored."""
    ghosts = 0
    for at in range(row, tree.end[row]):
        value = tree.value[at]
        if tree.tensor[at] >= 0 or (value >= 0 and listing.values[value].type_name != GHOST):
            return False
        ghosts += value >= 0
    return ghosts > 0


def imports(text: str) -> str:
    """The import that an expression needs; empty for an empty one."""
    import re

    code = re.sub(r'"(?:[^"\\]|\\.)*"', "", text)
    if code == MODEL or code.startswith((f"{MODEL}.", f"{MODEL}[")):
        return ""
    if "safetensors.torch." in code:
        return "import safetensors.torch"
    if "safetensors." in code:
        return "import safetensors"
    return "import torch" if code else ""


def with_index(text: str, index_text: str) -> str:
    """An expression of a slice, such as ``[0, :, :]``, of what `text` gives; empty for an empty one."""
    return text + index_text if text else ""


class _Facts(NamedTuple):
    """What is found out once about a listing."""

    shards: list[Shard]
    first_nodes: list[int]
    opening: dict[int, str]  # by shard, made when asked for
    numbered: list[frozenset[int]]  # one set, made when asked for


class _Blocks(NamedTuple):
    """What is found out once about a tree."""

    # By dotted row the dict whose keys make it, or `_MIXED`; by row the shards that hold some of it, as
    # bits; dicts with keys that are no text; by dict the keys whose dots make no blocks (``a..b``).
    container: dict[int, int]
    shards: list[int]
    unlike_text: set[int]
    undotted: dict[int, list[str]]


_FACTS: WeakKeyDictionary[Listing, _Facts] = WeakKeyDictionary()
_BLOCKS: WeakKeyDictionary[Tree, _Blocks] = WeakKeyDictionary()


def _facts(listing: Listing) -> _Facts:
    found = _FACTS.get(listing)
    if found is None:
        shards = listing.shards or [
            Shard(0, listing.target, listing.format, listing.globals, listing.protocol)
        ]
        found = _FACTS[listing] = _Facts(shards, [shard.first_node for shard in shards], {}, [])
    return found


def _blocks(tree: Tree) -> _Blocks:
    found = _BLOCKS.get(tree)
    if found is None:
        found = _BLOCKS[tree] = _find_blocks(tree, tree.listing)
    return found


def _find_blocks(tree: Tree, listing: Listing) -> _Blocks:
    above, nodes, rows = listing.node_parent, tree.node, tree.parent
    container: dict[int, int] = {}
    for row, node in enumerate(nodes):
        if node <= ROOT:
            continue
        holder = above[node]
        at = rows[row]
        # Whatever lies between an entry and its dict is made by dots in the entry's key.
        while at >= 0 and nodes[at] != holder:
            if nodes[at] < 0:
                known = container.get(at)
                if known == holder:
                    break
                container[at] = holder if known is None else _MIXED
            at = rows[at]
    shards: list[int] = []
    if listing.shards:
        firsts = _facts(listing).first_nodes
        # What lies in no file is reached by none.
        bits = [1 << place if shard.path else 0 for place, shard in enumerate(_facts(listing).shards)]
        shards = [bits[max(0, bisect_right(firsts, node) - 1)] if node > ROOT else 0 for node in nodes]
        for row in range(len(nodes) - 1, 0, -1):
            shards[rows[row]] |= shards[row]
    unlike_text: set[int] = set()
    undotted: dict[int, list[str]] = {}
    names = frozenset(listing.globals)
    for holder, key in zip(above, listing.node_key, strict=True):
        if type(key) is not str:
            unlike_text.add(holder)
        elif key in names or (key[-1:] in _ENDS and not is_text(key, names)):
            unlike_text.add(holder)
            undotted.setdefault(holder, []).append(key)
        elif "." in key and "" in key.split("."):
            undotted.setdefault(holder, []).append(key)
    return _Blocks(container, shards, unlike_text, undotted)


def _opening(listing: Listing, index: int) -> str:
    """The call that loads a shard (0 for a checkpoint of one file); empty where none can."""
    facts = _facts(listing)
    known = facts.opening.get(index)
    if known is None:
        shard = facts.shards[index]
        end = facts.first_nodes[index + 1] if index + 1 < len(facts.shards) else len(listing.node_parent)
        known = _load(listing, shard, end) if shard.path else ""
        facts.opening[index] = known if len(known) <= MAX_TEXT else ""
    return known


def _load(listing: Listing, shard: Shard, end: int) -> str:
    if shard.format == "module":
        return MODEL
    path = literal_text(shard.path)
    if shard.format == "safetensors":
        # safetensors refuses a file as a whole for any tensor that it cannot read.
        broken = any(
            extra.problem and shard.first_node <= listing.node[tensor] < end
            for tensor, extra in listing.extras.items()
        )
        return "" if broken else f"safetensors.torch.load_file({path})"
    if shard.format in ("torch-zip", "torch-legacy"):
        if shard.protocol == 0:
            return ""
        if not refused_by_default(listing, shard, end):
            return f"torch.load({path})"
        from paramtui.core.trust import runners  # its tables are large

        # Nobody is handed the line that runs what a stranger wrote.
        return "" if runners(shard.globals) else f"torch.load({path}, weights_only=False)"
    call = {"torchscript": "torch.jit.load", "torch-export": "torch.export.load"}.get(shard.format)
    return f"{call}({path})" if call else ""


def _reach(listing: Listing, node: int) -> str:
    """The file and the steps from its object down to a node."""
    facts = _facts(listing)
    index = max(0, bisect_right(facts.first_nodes, node) - 1)
    text = _opening(listing, index)
    chain: list[int] = []
    while node > ROOT and len(chain) <= MAX_STEPS and not _is_file(listing, facts.shards[index], node):
        chain.append(node)
        node = listing.node_parent[node]
    if not text or len(chain) > MAX_STEPS:
        return ""
    chain.reverse()
    shard = facts.shards[index]
    is_safetensors = shard.format == "safetensors"
    if is_safetensors and chain and listing.node_key[chain[0]] == "__metadata__":
        text = f'safetensors.safe_open({literal_text(shard.path)}, "pt").metadata()'
        chain = chain[1:]
    for at in chain:
        step, key = listing.node_step[at], listing.node_key[at]
        if step == ITEM:
            written = literal(key)
            known_text = is_safetensors or type(key) is not str
            if not written or not (known_text or is_text(key, shard.globals)):
                return ""
            text = f"{text}[{written}]"
        elif type(key) is not str:
            return ""
        elif step == ATTRIBUTE:
            text = f"{text}.{key}" if is_name(key) else f"getattr({text}, {literal_text(key)})"
        elif step in _CHILDREN:
            text += _child(listing, at, step, key)
        else:
            return ""
        if len(text) > MAX_TEXT:
            return ""
    return text


def _is_file(listing: Listing, shard: Shard, node: int) -> bool:
    """Whether a node is a block that stands for a whole file, such as ``optimizer.pt`` of a directory."""
    if node != shard.first_node or listing.node_step[node] != ARGUMENT:
        return False
    key = listing.node_key[node]
    return type(key) is str and shard.path.endswith(f"/{key}")


def _child(listing: Listing, node: int, step: int, name: str) -> str:
    """The step from a module to a submodule, parameter or buffer."""
    numbered, keyed, method, table = _CHILDREN[step]
    parent = listing.node_parent[node]
    kind = listing.node_class.get(parent, "").removeprefix(_CONTAINER)
    written = literal_text(name)
    # get_submodule and its like split names at dots and find attributes of the class first.
    if f" {name} " in MODULE_NAMES or "." in name or not name or name.startswith("__"):
        return f".{table}[{written}]"
    if kind in numbered and parent in _numbered(listing):
        return f"[{name}]"
    if kind == keyed:
        return f"[{written}]"
    return f".{name}" if is_name(name) else f".{method}({written})"


def _numbered(listing: Listing) -> frozenset[int]:
    """Modules that hold their children by number and name them 0, 1, 2, ..."""
    made = _facts(listing).numbered
    if not made:
        steps = {_CONTAINER + kind: step for step, (kinds, _, _, _) in _CHILDREN.items() for kind in kinds}
        wanted = {node: steps[kind] for node, kind in listing.node_class.items() if kind in steps}
        count = dict.fromkeys(wanted, 0)
        odd: set[int] = set()
        columns = zip(listing.node_parent, listing.node_step, listing.node_key, strict=True)
        for parent, step, key in columns if wanted else ():
            if parent in wanted and wanted[parent] == step:
                if key != str(count[parent]):
                    odd.add(parent)
                count[parent] += 1
        made.append(frozenset(count.keys() - odd))
    return made[0]


def _exported(listing: Listing, tree: Tree, row: int) -> str:
    """Weights of an exported program are in its state dict, constants apart from it."""
    text = _opening(listing, 0)
    tensor = tree.tensor[row]
    if row == 0 or not text:
        return text
    record = listing.storage(tensor) if tensor >= 0 else None
    if record is None:
        return ""
    held = "constants" if "/data/constants/" in record else "state_dict"
    text = f"{text}.{held}[{literal_text(str(listing.node_key[tree.node[row]]))}]"
    return text if len(text) <= MAX_TEXT else ""


def _dotted(listing: Listing, tree: Tree, row: int, blocks: _Blocks) -> str:
    """A dict of the entries whose keys begin with the name of a block."""
    holder = ROOT if row == 0 else blocks.container.get(row, _MIXED)
    if holder == _MIXED:
        return ""
    labels: list[str] = []
    at = row
    while tree.node[at] != holder and len(labels) <= MAX_STEPS:
        labels.append(tree.label[at])
        at = tree.parent[at]
    prefix = "".join(f"{label}." for label in reversed(labels))
    if len(labels) > MAX_STEPS or len(prefix) > MAX_TEXT:
        return ""
    if labels and any(key.startswith(prefix) for key in blocks.undotted.get(holder, ())):
        return ""
    condition = f" if k.startswith({literal_text(prefix)})" if labels else ""
    if labels and holder in blocks.unlike_text:
        condition = condition.replace(" if ", " if isinstance(k, str) and ", 1)
    if listing.shards and holder == ROOT:
        if tree.tensor[0] >= 0 or tree.value[0] >= 0:
            return ""
        return _over_shards(listing, blocks.shards[row], condition)
    if listing.format == "torch-export":
        weights = all(place.key and "/data/weights/" in place.key for place in listing.locations)
        source = f"{_opening(listing, 0)}.state_dict" if weights and not listing.values else ""
    else:
        source = _reach(listing, holder)
    return f"{{k: v for k, v in {source}.items(){condition}}}" if source else ""


def _over_shards(listing: Listing, bits: int, condition: str) -> str:
    """A dict of entries that lie in several files, all loaded in the same way."""
    shards = _facts(listing).shards
    chosen = [index for index in range(bits.bit_length()) if bits >> index & 1 and shards[index].path]
    if not chosen or len(chosen) > MAX_SHARDS:
        return ""
    if any(_is_file(listing, shards[index], shards[index].first_node) for index in chosen):
        return ""
    calls = [_opening(listing, index) for index in chosen]
    if len(calls) == 1:
        call = calls[0]
        return f"{{k: v for k, v in {call}.items(){condition}}}" if call and condition else call
    paths = [literal_text(shards[index].path) for index in chosen]
    loads = {call.replace(path, "f", 1) for call, path in zip(calls, paths, strict=True)}
    load = loads.pop()
    if loads or not load:
        return ""
    text = f"{{k: v for f in ({', '.join(paths)}) for k, v in {load}.items(){condition}}}"
    return text if len(text) <= MAX_SHARDED_TEXT else ""
