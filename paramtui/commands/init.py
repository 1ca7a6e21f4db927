"""What ``paramtui init`` and ``paramtui replay`` do and say."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from paramtui.core.catalogue import MODULE, bind
from paramtui.core.describe import tensor_facts
from paramtui.core.edits import ApplyFunction, edit_text, parse_call, shown_name
from paramtui.core.lookup import name_of_row, rows_named
from paramtui.core.planning import (
    ALL,
    BIASES,
    WEIGHTS,
    Plan,
    Scope,
    Target,
    layer_types,
    make_plan,
    order_note,
    thin_note,
)
from paramtui.core.text import safe_text
from paramtui.core.tree import Tree
from paramtui.errors import (
    EditError,
    IndexSyntaxError,
    NameLookupError,
    UsageError,
    UserCodeError,
    ValuesError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from paramtui.core.catalogue import Catalogue
    from paramtui.core.edits import Call, Edit
    from paramtui.core.journal import Recovery
    from paramtui.core.journal_records import Recorded
    from paramtui.core.listing import Listing
    from paramtui.core.source import Editor, Saved

PARTS = (ALL, WEIGHTS, BIASES)
SHOWN = 20


class Wanted(NamedTuple):
    """What is asked for.

    Attributes:
        initializer: As written.
        biases: Another one for biases; None for the same, ``leave`` to leave them.
        block: Name of a block; empty for the whole.
        only: Glob over full dotted names; empty for all.
        layer: Class of layers; empty for all.
        part: One of `PARTS`.
        seed: Of random numbers.
        skip: Leave what cannot take it as it is, rather than refuse all.
    """

    initializer: str
    biases: str | None
    block: str
    only: str
    layer: str
    part: str
    seed: int
    skip: bool = False


class Made(NamedTuple):
    """What was done: the edit, the tensors that changed, those left out with the reason, and what to know."""

    edit: Edit
    changed: tuple[int, ...]
    left: tuple[tuple[int, str], ...]
    notes: tuple[str, ...]


def _call(catalogue: Catalogue, text: str) -> Call:
    written = parse_call(text)
    return bind(catalogue.named(written.name), written)


async def initialise(editor: Editor, wanted: Wanted) -> Made:
    """Carries out what is asked for.

    Raises:
        EditError: It cannot be done to all that is asked for; nothing was changed.
        NameLookupError: There is no such block.
    """
    catalogue = await editor.catalogue()
    for problem in catalogue.problems:
        raise EditError(problem)
    call = _call(catalogue, wanted.initializer)
    listing = editor.listing
    tree = Tree(listing)
    rows = rows_named(tree, wanted.block)
    if len(rows) != 1:
        near = [name for name in tree.names() if name.endswith(f".{wanted.block}")][:3]
        raise NameLookupError(
            f"{len(rows) or 'no'} blocks or tensors are named {safe_text(wanted.block)}",
            hint=f"did you mean {', '.join(map(safe_text, near))}?" if near else None,
        )
    if catalogue.named(call.name, call.source).takes == MODULE:
        if wanted.only or wanted.layer or wanted.biases or wanted.part != ALL:
            raise UsageError(
                f"{call.name} is a function of modules, which decides for itself what it changes",
                hint="--block says where it is applied",
            )
        words = editor.function_words(name_of_row(tree, rows[0]))
        edit: Edit = ApplyFunction(name_of_row(tree, rows[0]), call, wanted.seed)
        outcome = await editor.apply(edit)
        return Made(edit, outcome.changed, (), tuple(filter(None, (words, _unchanged(outcome.changed)))))
    biases = call
    if wanted.biases is not None and wanted.biases != "leave":
        biases = _call(catalogue, wanted.biases)
        if catalogue.named(biases.name, biases.source).takes == MODULE:
            raise UsageError(f"{biases.name} is a function of modules: biases alone cannot be given to it")
    scope = Scope(rows[0], wanted.only, wanted.layer, wanted.part)
    plan = make_plan(tree, scope, call, None if wanted.biases == "leave" else biases, editor.edit_reason)
    plan = await _checked(editor, plan, _type_hint(tree, rows[0], wanted), skip=wanted.skip)
    edit = plan.edit(listing, wanted.seed)
    outcome = await editor.apply(edit)
    order = order_note(listing) if len(plan.targets) > 1 else ""
    notes = filter(None, (thin_note(listing, plan), order, _unchanged(outcome.changed)))
    return Made(edit, outcome.changed, plan.left, tuple(notes))


def _unchanged(changed: tuple[int, ...]) -> str:
    return "" if changed else "nothing was changed: a function that returns something new changes nothing"


def _type_hint(tree: Tree, row: int, wanted: Wanted) -> str:
    if not wanted.layer:
        return "paramtui ls TARGET shows what there is"
    return f"types of layers there: {', '.join(layer_types(tree, row)[:8]) or 'none that are known'}"


def _key(listing: Listing, target: Target) -> tuple[object, ...]:
    """Equal for what one trial decides."""
    return target.call.text, listing.shape[target.tensor], listing.dtype[target.tensor]


async def _checked(editor: Editor, plan: Plan, hint: str, *, skip: bool) -> Plan:
    """The plan, after what some of its tensors cannot take was refused or left out; nothing is changed."""
    listing = editor.listing
    if not plan.targets:
        why = (
            f": {safe_text(listing.names[plan.left[0][0]])} is left out, {plan.left[0][1]}"
            if plan.left
            else ""
        )
        raise EditError(f"nothing there can be initialised{why}", hint=hint)
    asked = {
        _key(listing, target): (target.call, listing.shape[target.tensor], listing.dtype[target.tensor])
        for target in plan.targets
    }
    reasons = dict(zip(asked, await editor.trial(list(asked.values())), strict=True))
    refused = [
        (target.tensor, reason) for target in plan.targets if (reason := reasons[_key(listing, target)])
    ]
    if refused and not (skip and len(refused) < len(plan.targets)):
        names = ", ".join(safe_text(listing.names[tensor]) for tensor, _ in refused[:3])
        more = f" and {len(refused) - 3:,} more" if len(refused) > 3 else ""
        count = f"{len(refused):,} of {len(plan.targets):,} tensors"
        raise EditError(
            f"{count} cannot take it ({names}{more}): {refused[0][1]}",
            hint="--only '*.weight', --type, --part or --biases zeros_ narrow it; --skip leaves those",
        )
    return plan.without(dict(refused))


def text_of(editor: Editor, made: Made, saved: Saved) -> str:
    """What was done, for people."""
    listing = editor.listing
    lines = [edit_text(made.edit), *(f"note: {note}" for note in made.notes)]
    width = max((len(shown_name(listing.names[tensor])) for tensor in made.changed[:SHOWN]), default=0)
    for tensor in made.changed[:SHOWN]:
        dtype, shape, size = tensor_facts(listing, tensor)
        lines.append(f"  {shown_name(listing.names[tensor]):<{width}}  {dtype}  {shape}  {size}")
    if len(made.changed) > SHOWN:
        lines.append(f"  and {len(made.changed) - SHOWN:,} more")
    reasons = dict.fromkeys(reason for _, reason in made.left)
    for reason in reasons:
        names = [shown_name(listing.names[tensor]) for tensor, why in made.left if why == reason]
        more = f" and {len(names) - 3:,} more" if len(names) > 3 else ""
        lines.append(f"left as they are: {', '.join(names[:3])}{more} ({reason})")
    lines.append(saved.said)
    return "\n".join(lines) + "\n"


def json_of(editor: Editor, made: Made, saved: Saved, seed: int) -> str:
    """The same as strict JSON."""
    names = editor.listing.names
    plain: dict[str, Any] = {
        "edit": edit_text(made.edit),
        "seed": seed,
        "changed": [names[tensor] for tensor in made.changed],
        "left": [{"name": names[tensor], "reason": reason} for tensor, reason in made.left],
        "notes": list(made.notes),
        "digest": editor.history.done[-1].digest,
        "saved": list(saved.paths),
        "nbytes": saved.nbytes,
        "durable": saved.durable,
    }
    return json.dumps(plain, indent=1, allow_nan=False) + "\n"


# Replaying


_REFUSED: Final = (EditError, IndexSyntaxError, NameLookupError, UserCodeError, ValuesError)


class Replayed(NamedTuple):
    """What came of a journal: how many changes were made, and those that gave other bits."""

    changes: int
    different: tuple[str, ...]


async def replay(
    editor: Editor, changes: Sequence[Recorded], told: Callable[[int, int], None] | None = None
) -> Replayed:
    """Makes the changes of a journal again.

    Raises:
        EditError: One of them cannot be made; the message says which.
    """
    different: list[str] = []
    for place, (edit, digest) in enumerate(changes, 1):
        if told is not None:
            told(place, len(changes))
        try:
            await editor.apply(edit)
        except _REFUSED as error:
            raise EditError(f"change {place:,} ({edit_text(edit)}) cannot be made: {error}") from None
        if digest and editor.history.done[-1].digest != digest:
            different.append(f"change {place:,} ({edit_text(edit)}) gives other numbers than it gave before")
    return Replayed(len(changes), tuple(different))


def replayed_text(replayed: Replayed, saved: Saved) -> str:
    """What came of a journal, for people."""
    changes = "1 change" if replayed.changes == 1 else f"{replayed.changes:,} changes"
    return f"{changes} made again\n{saved.said}\n"


def replayed_json(replayed: Replayed, saved: Saved) -> str:
    """The same as strict JSON."""
    plain: dict[str, Any] = {
        "changes": replayed.changes,
        "different": list(replayed.different),
        "saved": list(saved.paths),
        "nbytes": saved.nbytes,
        "durable": saved.durable,
    }
    return json.dumps(plain, indent=1, allow_nan=False) + "\n"


def environment_notes(recovery: Recovery, catalogue: Catalogue) -> list[str]:
    """Where this machine is not as the one on which a journal was written."""
    then, now = dict(recovery.head.environment), catalogue.environment
    return [
        f"{name} was {safe_text(then[name], 60)}, is {safe_text(now[name], 60)}"
        for name in then
        if name in now and then[name] != now[name]
    ]
