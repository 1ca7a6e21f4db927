"""The changes that count as a Python script that makes them again with plain torch."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Final

from paramtui.core.edits import RESET, Call, Initialise, SetCells, Tie, Untie, calls_of, edit_text
from paramtui.core.edits import literal_text as number_text
from paramtui.core.expressions import MODEL, expression
from paramtui.core.indexing import parse_index
from paramtui.core.literals import is_name, literal_text
from paramtui.core.lookup import tensor_id
from paramtui.core.script_rewiring import NAMES, OWN_MODULE, Rewiring
from paramtui.errors import EditError
from paramtui.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from paramtui.core.edits import ApplyFunction
    from paramtui.core.history import Change
    from paramtui.core.indexing import Index
    from paramtui.core.listing import Listing
    from paramtui.core.tree import Tree

# What loads a file, as the expressions of `paramtui.core.expressions` begin.
_LOADERS: Final = ("torch.load(", "safetensors.torch.load_file(")
_TENSOR: Final = re.compile(r"\bTENSOR\[(\d+)\]")
"""How the lines that make a block name a tensor: by its id."""
_LITERAL: Final = re.compile(r'("(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\')')

# What else the script calls by these names; a person's own function may have any.
_TAKEN: Final = frozenset(
    {"bare", "block", "complex", "entry_points", "float", "getattr", "iter", "module", MODEL, "next", "nn"}
    | {"numpy", "random", "runpy", "safetensors", "sys", "torch", "type", "vars", RESET}
    | NAMES
)

# Larger integers cannot be assigned, but filled in.
_MAX_ASSIGNED: Final = 1 << 63


def python_script(
    tree: Tree,
    target: str,
    environment: Mapping[str, str],
    changes: Sequence[Change],
    blocks: Mapping[int, Sequence[str]],
) -> str:
    """A script that opens the target, makes the changes, and saves beside it under a new name.

    Args:
        tree: Rows of the target.
        target: How the person calls it.
        environment: As in `paramtui.core.catalogue.Catalogue`; empty where it is not known.
        changes: In order.
        blocks: Lines that make ``block`` out of tensors of a checkpoint, by the numbers of the changes that
            apply a function to it.

    Raises:
        EditError: A change cannot be written with plain torch; the message says which and why.
    """
    return _Script(tree, target, environment).text(changes, blocks)


class _Script:
    def __init__(self, tree: Tree, target: str, environment: Mapping[str, str]) -> None:
        self._tree = tree
        self._listing: Listing = tree.listing
        self._target = target
        self._environment = environment
        self._imports: dict[str, None] = {"import torch": None, "from torch import nn": None}
        self._functions: dict[tuple[str, str], str] = {}
        self._loaded: dict[str, str] = {}
        self._setup: list[str] = []

    def text(self, changes: Sequence[Change], blocks: Mapping[int, Sequence[str]]) -> str:
        """The whole script."""
        body: list[str] = []
        for place, change in enumerate(changes, 1):
            body += ["", f"# {place}. {edit_text(change.edit)}"]
            try:
                body += self._lines(change, blocks.get(change.number, ()))
            except EditError as error:
                raise EditError(f"change {place} cannot be written as a script: {error}") from None
        lines = [f"# Made by paramtui {__version__}: the changes of a session, with plain torch."]
        if self._environment:
            words = ", ".join(f"{name} {value}" for name, value in self._environment.items())
            lines.append(f"# The same bits are promised for: {words}.")
        setup = self._model_setup()
        imports = [line for line in self._imports if line not in setup]
        return "\n".join([*lines, *imports, "", *setup, *self._setup, *body, "", *self._ending()]) + "\n"

    # What is opened

    def _model_setup(self) -> list[str]:
        live = self._listing.live
        if live is None:
            return []
        if not live.setup:
            return [f"# `{MODEL}` is the module that was browsed."]
        lines = live.setup.splitlines()
        weights = live.weights
        if weights is not None:
            if "--fix-weights" in (live.command or ()) or "(from " in weights.words:
                raise EditError("the weights were loaded under other names, which a script does not repeat")
            path = literal_text(os.path.abspath(weights.path))  # noqa: PTH100
            load = f'torch.load({path}, map_location="cpu")'
            if weights.path.endswith(".safetensors"):
                lines.append("import safetensors.torch")
                load = f"safetensors.torch.load_file({path})"
            lines.append(f"{MODEL}.load_state_dict({load}, strict=False)")
        return lines

    def _reach(self, tensor: int) -> str:
        """Python for a tensor of the target; what loads a file is called once."""
        row = self._tree.row_of(tensor)
        text = expression(self._listing, self._tree, row) if row is not None else ""
        name = self._listing.names[tensor]
        if not text:
            raise EditError(f"no line of Python reaches {name}")
        if self._listing.live is not None:
            return text
        loader = next((loader for loader in _LOADERS if text.startswith(loader)), None)
        if loader is None:
            raise EditError(f"{name} is not reached by loading a file")
        end = _closing(text, len(loader) - 1) + 1
        call, rest = text[:end], text[end:]
        if call not in self._loaded:
            variable = "checkpoint" if not self._loaded else f"checkpoint{len(self._loaded) + 1}"
            self._loaded[call] = variable
            if loader.startswith("safetensors"):
                self._imports["import safetensors.torch"] = None
                self._setup.append(f"{variable} = {call}")
            else:
                self._setup.append(f'{variable} = {call[:-1]}, map_location="cpu")')
        return self._loaded[call] + rest

    def _named(self, name: str) -> str:
        return self._reach(tensor_id(self._listing, name))

    # Changes

    def _lines(self, change: Change, block: Sequence[str]) -> list[str]:
        edit = change.edit
        if isinstance(edit, SetCells):
            return [self._assignment(self._named(edit.tensor), edit)]
        if isinstance(edit, Tie):
            lines = Rewiring(self._tree)
            return [lines.tied(tensor_id(self._listing, edit.tensor), self._named(edit.to))]
        if isinstance(edit, Untie):
            return self._untied(edit, change.tensors)
        out = [f"torch.manual_seed({edit.seed})"]
        if any(call.source for call in calls_of(edit)):
            # What may draw from the others too.
            self._imports["import random"] = self._imports["import numpy"] = None
            out += [f"random.seed({edit.seed})", f"numpy.random.seed({edit.seed % (1 << 32)})"]
        if isinstance(edit, Initialise):
            return [*out, *(self._step(self._named(step.tensor), step.call) for step in edit.steps)]
        return self._applied(edit, out, block)

    def _untied(self, edit: Untie, untied: Sequence[int]) -> list[str]:
        """Lines for those of the named tensors that it gave memory of their own, in the same order."""
        lines = Rewiring(self._tree)
        named = dict.fromkeys(tensor_id(self._listing, name) for name in edit.tensors)
        out = [line for tensor in named if tensor in untied for line in lines.untied(tensor)]
        self._imports.update(dict.fromkeys(lines.imports))
        if lines.needs_own_module and OWN_MODULE[0] not in self._setup:
            self._setup += OWN_MODULE
        return out

    @staticmethod
    def _assignment(reach: str, edit: SetCells) -> str:
        cells, number = f"[{written_index(parse_index(edit.cells))}]", edit.number
        if edit.operator == "=" and type(number) is int and not -_MAX_ASSIGNED <= number < _MAX_ASSIGNED:
            return f"{reach}.data{cells}.fill_({number})"
        return f"{reach}.data{cells} {edit.operator} {number_text(number)}"

    def _step(self, reach: str, call: Call) -> str:
        arguments = "".join(f", {name}={number_text(value)}" for name, value in call.arguments)
        if not call.source:
            return f"nn.init.{call.name}({reach}{arguments})"
        return f"with torch.no_grad(): {self._function(call)}({reach}.detach(){arguments})"

    def _function(self, call: Call) -> str:
        """The name under which a function can be called."""
        known = self._functions.get((call.name, call.source))
        if known is not None:
            return known
        variable = call.name if is_name(call.name) else "initialise"
        if not call.source:
            variable = RESET
        elif variable in _TAKEN or variable.startswith("checkpoint") or variable in self._functions.values():
            variable = f"{variable}_{len(self._functions) + 1}"
        self._functions[call.name, call.source] = variable
        if call.source.startswith("entry point "):
            self._imports["from importlib.metadata import entry_points"] = None
            found = f'entry_points(group="paramtui.initializers", name={literal_text(call.name)})'
            self._setup.append(f"{variable} = next(iter({found})).load()")
        elif call.source:
            self._imports["import runpy"] = self._imports["import sys"] = None
            self._setup.append(f"sys.path.insert(0, {literal_text(os.path.dirname(call.source))})")  # noqa: PTH120
            path = literal_text(call.source)
            self._setup.append(f"{variable} = runpy.run_path({path})[{literal_text(call.name)}]")
        else:
            self._setup += [
                f"def {RESET}(module):",
                f'    if callable(getattr(module, "{RESET}", None)):',
                f"        module.{RESET}()",
            ]
        return variable

    def _applied(self, edit: ApplyFunction, seeds: list[str], block: Sequence[str]) -> list[str]:
        function = self._function(edit.call)
        if edit.call.arguments:
            arguments = ", ".join(f"{name}={number_text(value)}" for name, value in edit.call.arguments)
            function = f"lambda module: {function}(module, {arguments})"
        if self._listing.live is not None:
            reach = f"{MODEL}.get_submodule({literal_text(edit.block)})" if edit.block else MODEL
            return [*seeds, f"{reach}.apply({function})"]
        if not block:
            raise EditError("the layers of the block are not known")
        return [*self.with_reaches(block), *seeds, f"block.apply({function})", *self._brought_back(block)]

    def with_reaches(self, block: Sequence[str]) -> list[str]:
        """Lines that make a block, with the tensors of the checkpoint in place of their ids."""
        return [_with_tensors(line, self._reach) for line in block]

    def _brought_back(self, block: Sequence[str]) -> list[str]:
        """A function may have put other tensors into the block: their numbers go into those of the file."""
        out = ["with torch.no_grad():"]
        for line in block:
            owner, tensor = _held(line)
            if tensor >= 0:
                out.append(f"    {self._reach(tensor)}.copy_({owner}.detach())")
        return out if len(out) > 1 else []

    def _ending(self) -> list[str]:
        live = self._listing.live
        if live is not None:
            if not live.setup:
                return []
            stem = os.path.splitext(os.path.basename(self._target.partition(":")[0]))[0]  # noqa: PTH119, PTH122
            return [f"torch.save({MODEL}.state_dict(), {literal_text(f'{stem}-again.pt')})"]
        out = []
        for call, variable in self._loaded.items():
            path = _first_text(call)
            stem, suffix = os.path.splitext(path)  # noqa: PTH122
            name = literal_text(f"{stem}-again{suffix}")
            if call.startswith("safetensors"):
                out.append(f"safetensors.torch.save_file({variable}, {name}{self._metadata()})")
            else:
                out.append(f"torch.save({variable}, {name})")
        return out

    def _metadata(self) -> str:
        listing = self._listing
        found = {}
        for value in listing.values:
            path = listing.path(value.node)
            if len(path) == 2 and path[0] == "__metadata__" and isinstance(value.value, str):
                found[str(path[1])] = value.value
        inside = ", ".join(f"{literal_text(key)}: {literal_text(text)}" for key, text in found.items())
        return f", metadata={{{inside}}}" if found else ""


def written_index(index: Index) -> str:
    """An index as Python takes it; what a person types may have brackets around it, or leading zeros."""
    entries = [
        "..."
        if entry is ...
        else ":".join("" if bound is None else str(bound) for bound in (entry.start, entry.stop))
        + (f":{entry.step}" if entry.step is not None else "")
        if isinstance(entry, slice)
        else str(entry)
        for entry in index
    ]
    return ", ".join(entries) or "..."


def _with_tensors(line: str, reach: Callable[[int], str]) -> str:
    """A line with Python in place of ``TENSOR[7]``; names of the file in text literals stay as they are."""
    parts = _LITERAL.split(line)
    parts[::2] = [_TENSOR.sub(lambda found: reach(int(found[1])), part) for part in parts[::2]]
    return "".join(parts)


def _held(line: str) -> tuple[str, int]:
    """Where a line puts a tensor, as an expression, and the tensor's id; -1 where it puts none."""
    import ast

    found = next(filter(None, map(_TENSOR.search, _LITERAL.split(line)[::2])), None)
    if found is None:
        return "", -1
    top = ast.parse(line).body[0]
    if isinstance(top, ast.Assign):
        return str(ast.get_source_segment(line, top.targets[0])), int(found[1])
    call = top.value if isinstance(top, ast.Expr) else None
    if not (isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.args):
        raise EditError("the layers of the block cannot be written")
    # A buffer, or a parameter whose name cannot stand after a dot, is registered.
    owner, name = ast.get_source_segment(line, call.func.value), ast.literal_eval(call.args[0])
    reach = f"{owner}.{name}" if is_name(name) else f"getattr({owner}, {literal_text(name)})"
    return reach, int(found[1])


def _closing(text: str, opening: int) -> int:
    """Where the bracket closes that opens at a place; brackets in text literals do not count."""
    depth, at, quoted = 0, opening, False
    while at < len(text):
        letter = text[at]
        if letter == "\\" and quoted:
            at += 1
        elif letter == '"':
            quoted = not quoted
        elif not quoted and letter in "()":
            depth += 1 if letter == "(" else -1
            if not depth:
                return at
        at += 1
    raise EditError("a line of Python does not end")


def _first_text(call: str) -> str:
    import ast

    node = ast.parse(call, mode="eval").body
    found = node.args[0] if isinstance(node, ast.Call) and node.args else None
    return str(found.value) if isinstance(found, ast.Constant) else "checkpoint"
