"""What the dialog says of a change before it is made: tensor by tensor, and as PyTorch."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

from paramtui.core.edits import RESET
from paramtui.core.planning import is_bias
from paramtui.core.text import count_text, safe_text, shape_text
from paramtui.tui.initialise_form import summary
from paramtui.tui.opened import expression
from paramtui.tui.widgets.strips import fit

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from paramtui.core.catalogue import Initializer
    from paramtui.core.edits import Call
    from paramtui.core.planning import Target
    from paramtui.tui.initialise_outlook import Filled, Outlook
    from paramtui.tui.opened import Opened

MAX_TARGETS = 200
MAX_NAMES = 4
LEAST_NAME = 10
# Cells of ``Initialise`` and the gap after it.
TITLE = 12


def figure(number: float | None, digits: int = 3) -> str:
    """A number in seven cells or so, as in ``0.0214`` or ``-1.2e-06``; in more with more digits."""
    if number is None:
        return "-"
    if number == 0:
        return "0"
    plain = 1e-3 <= abs(number) < 10.0 ** max(digits, 4)
    return f"{number:.{digits}g}" if plain else f"{number:.{digits - 2}e}"


def heading(opened: Opened, row: int, words: str, outlook: Outlook, width: int) -> str:
    """The title of the dialog: ``Initialise  layers.0 (3 of 5 tensors, 151 M elements)``."""
    plan = outlook.plan
    facts = ""
    if plan is not None:
        changed = len(plan.targets)
        count = f"{changed:,}" if changed == outlook.meant else f"{changed:,} of {outlook.meant:,}"
        elements, _ = opened.listing.sums(target.tensor for target in plan.targets)
        noun = "tensor" if outlook.meant == 1 else "tensors"
        facts = f" ({count} {noun}, {count_text(elements)} elements)"
        if width - TITLE - len(facts) < LEAST_NAME:
            facts = f" ({count} {noun})"
    elif outlook.filled is not None:
        facts = f" (at most {opened.tree.tensors[row]:,} tensors)"
    where = words.removesuffix(" and below").removeprefix("only ")
    return fit(f"Initialise  {fit(where, max(width - TITLE - len(facts), LEAST_NAME))}{facts}", width)


# Tensors


def short_names(opened: Opened, row: int, tensors: Sequence[int]) -> list[str]:
    """Names of tensors without that of the block they are listed for; of one alone its last part."""
    names = opened.listing.names
    prefix = opened.tree.name(row) + "." if row else ""
    if row and not opened.tree.is_block(row):
        prefix = opened.tree.name(opened.tree.parent[row]) + "."
    return [safe_text(names[tensor].removeprefix(prefix)) or "(tensor)" for tensor in tensors]


def target_lines(opened: Opened, outlook: Outlook, known_std: Mapping[int, float], width: int) -> list[Text]:
    """What is refused and why, what changes, and what is left out.

    Args:
        opened: The target.
        outlook: What the form amounts to.
        known_std: Standard deviations that tensors have now, by id.
        width: Cells of a line.
    """
    plan, filled = outlook.plan, outlook.filled
    if filled is None:
        return []
    row = filled.scope.row
    if plan is None:
        return [] if outlook.problem else _function_lines(opened, row)
    refused_count = outlook.meant - len(plan.targets)
    first = len(plan.left) - refused_count
    lines = [
        Text(line, style="bold")
        for line in _grouped(opened, row, plan.left[first:], "{count} refused: {why}")
    ]
    lines += _changed(opened, row, plan.targets[:MAX_TARGETS], known_std, width)
    if len(plan.targets) > MAX_TARGETS:
        lines.append(Text(f"and {len(plan.targets) - MAX_TARGETS:,} more"))
    lines += [
        Text(line, style="dim")
        for line in _grouped(opened, row, plan.left[:first], "{count} left out, {why}")
    ]
    return lines


def _function_lines(opened: Opened, row: int) -> list[Text]:
    count = opened.tree.tensors[row]
    return [Text(f"what it changes of the {count:,} tensors here, it decides itself: F5 tries it", "dim")]


def _grouped(opened: Opened, row: int, left: Sequence[tuple[int, str]], form: str) -> list[str]:
    """One line a reason, with the first names."""
    groups: dict[str, list[int]] = {}
    for tensor, why in left:
        groups.setdefault(why, []).append(tensor)
    out = []
    for why, tensors in groups.items():
        names = ", ".join(short_names(opened, row, tensors[:MAX_NAMES]))
        more = f" and {len(tensors) - MAX_NAMES:,} more" if len(tensors) > MAX_NAMES else ""
        told = form.format(count=f"{len(tensors):,}", why=safe_text(why, 300).rstrip("."))
        out.append(f"{told}: {names}{more}")
    return out


def _changed(
    opened: Opened, row: int, targets: Sequence[Target], known_std: Mapping[int, float], width: int
) -> list[Text]:
    listing = opened.listing
    names = short_names(opened, row, [target.tensor for target in targets])
    shapes = [shape_text(listing.shape[target.tensor]) for target in targets]
    facts = [_fans_text(listing.shape[target.tensor]) for target in targets]
    spreads = [_spread_text(opened, target, known_std) for target in targets]
    widths = [
        max((cell_len(text) for text in column), default=0) for column in (names, shapes, facts, spreads)
    ]
    room = width - sum(size + 2 for size in widths[1:] if size)
    if room < min(widths[0], LEAST_NAME):
        # Fans say what an initialiser makes of a shape; names must be told apart.
        shapes, room, widths[1] = [""] * len(shapes), room + widths[1] + 2, 0
    widths[0] = min(widths[0], max(room, LEAST_NAME))
    lines: list[Text] = []
    for target, *texts in zip(targets, names, shapes, facts, spreads, strict=True):
        line = Text(no_wrap=True, overflow="ellipsis")
        for place, (text, size) in enumerate(zip(texts, widths, strict=True)):
            if size:
                shown = fit(text, size) if place == 0 else text
                line.append(
                    shown + " " * (size - cell_len(shown) + 2), style="dim" if place in (1, 2) else ""
                )
        line.rstrip()
        lines.append(line)
        if target.also:
            lines.append(Text(f"  also changes: {_partners(opened, target)}", style="bold"))
    return lines


def _partners(opened: Opened, target: Target) -> str:
    listing = opened.listing
    names = ", ".join(safe_text(listing.names[tensor], 60) for tensor in target.also[:MAX_NAMES])
    more = f" and {len(target.also) - MAX_NAMES:,} more" if len(target.also) > MAX_NAMES else ""
    tied = opened.ties.of(target.tensor)
    return f"{names}{more} (shared {tied.letter if tied is not None else ''})"


def _sizes(shape: tuple[int | None, ...]) -> list[int] | None:
    sizes = [size for size in shape if size is not None]
    return sizes if len(sizes) == len(shape) else None


def _fans_text(shape: tuple[int | None, ...]) -> str:
    from paramtui.core.fans import fans

    sizes = _sizes(shape)
    found = fans(sizes) if sizes is not None else None
    return f"fan in {found[0]}  fan out {found[1]}" if found is not None else ""


def _spread_text(opened: Opened, target: Target, known_std: Mapping[int, float]) -> str:
    from paramtui.core.fans import spread

    sizes, call = _sizes(opened.listing.shape[target.tensor]), target.call
    found = None
    if sizes is not None and not call.source:
        found = spread(call.name, dict(call.arguments), sizes)
    now = known_std.get(target.tensor)
    if found is None:
        return "" if now is None else f"std {figure(now)} -> ?"
    then = figure(found.std) + (f"  mean {figure(found.mean)}" if found.mean else "")
    return f"std {then}" if now is None else f"std {figure(now)} -> {then}"


# PyTorch


def code_lines(opened: Opened, outlook: Outlook) -> list[str]:
    """The statements of PyTorch that a form amounts to."""
    filled, plan = outlook.filled, outlook.plan
    if filled is None:
        return []
    seed = f"torch.manual_seed({filled.seed})"
    if plan is None:
        return [seed, _applied(opened, filled)]
    # Equal calls are one object here; lists among their arguments cannot be hashed.
    groups: dict[tuple[int, bool], tuple[Call, list[int]]] = {}
    for target in plan.targets:
        bias = filled.biases != filled.call and is_bias(opened.listing.names[target.tensor])
        groups.setdefault((id(target.call), bias), (target.call, []))[1].append(target.tensor)
    if not groups:
        return [seed, f"{_function(filled.call)}({', '.join(['m.weight', *_arguments(filled.call)])})"]
    return [seed, *(_initialised(opened, call, tensors) for call, tensors in groups.values())]


def in_lines(statements: Sequence[str], width: int) -> list[str]:
    """Statements, as many on a line as fit."""
    lines: list[str] = []
    for statement in statements:
        if lines and len(lines[-1]) + len(statement) + 2 <= width:
            lines[-1] += f"; {statement}"
        else:
            lines.append(statement)
    return lines


def _arguments(call: Call) -> list[str]:
    inside = call.text[len(call.name) + 1 : -1]
    return [inside] if inside else []


def _function(call: Call) -> str:
    return call.name if call.source else f"nn.init.{call.name}"


def _initialised(opened: Opened, call: Call, tensors: Sequence[int]) -> str:
    listing = opened.listing
    what = ""
    if len(tensors) == 1 and listing.live is not None:
        row = opened.tree.row_of(tensors[0])
        what = "" if row is None else expression(opened, row)
    if not what:
        labels = Counter(listing.names[tensor].rpartition(".")[2] for tensor in tensors)
        last, count = labels.most_common(1)[0]
        usual = last in ("weight", "bias") or count == len(tensors)
        what = f"m.{last}" if usual and last.isidentifier() else "p"
    return f"{_function(call)}({', '.join([safe_text(what, 300), *_arguments(call)])})"


def _applied(opened: Opened, filled: Filled) -> str:
    call = filled.call
    if call.name == RESET and not call.source:
        function = 'lambda m: hasattr(m, "reset_parameters") and m.reset_parameters()'
    elif call.arguments:
        function = f"lambda m: {call.name}({', '.join(['m', *_arguments(call)])})"
    else:
        function = call.name
    return f"{_module(opened, filled.scope.row)}.apply({function})"


def _module(opened: Opened, row: int) -> str:
    """The module that a block is in code."""
    if opened.listing.live is not None:
        way = expression(opened, row)
        if way:
            return safe_text(way, 300)
    # In a checkpoint, the dicts around a state dict are no modules.
    tree, labels = opened.tree, []
    while row > 0 and tree.node[row] < 0:
        labels.append(tree.label[row])
        row = tree.parent[row]
    name = safe_text(".".join(reversed(labels))).replace('"', "'")
    return f'net.get_submodule("{name}")' if name else "net"


def list_line(initializer: Initializer, wide: int, width: int) -> Text:
    """An initialiser in the list: name, where it comes from, what it does."""
    line = Text(no_wrap=True, overflow="ellipsis")
    line.append(fit(safe_text(initializer.name, 100), wide).ljust(wide))
    origin = initializer.where or initializer.source
    if origin:
        line.append(f"  {fit(safe_text(origin, 200), max(width // 3, 12))}", style="italic")
    line.append(f"  {summary(initializer)}", style="dim")
    line.truncate(width, overflow="ellipsis")
    return line
