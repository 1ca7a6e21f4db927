"""What a filled-in form would change, what it would not, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from paramtui.core.catalogue import MODULE
from paramtui.core.edits import ApplyFunction, Call
from paramtui.core.lookup import name_of_row
from paramtui.core.planning import ALL, BIASES, WEIGHTS, Plan, Scope, make_plan, order_note, thin_note
from paramtui.core.text import safe_text
from paramtui.errors import ParamtuiError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from typing import TypeAlias

    from paramtui.core.catalogue import Initializer
    from paramtui.core.edits import Edit
    from paramtui.core.geometry import Shape
    from paramtui.core.source import Editor
    from paramtui.tui.opened import Opened

    Asked: TypeAlias = tuple[Call, Shape, str]
    """What `Editor.trial` is asked: a call, a shape, a dtype."""


class Filled(NamedTuple):
    """A form without mistakes.

    Attributes:
        scope: Where.
        initialiser: Which was chosen.
        call: It, with its arguments.
        biases: What is done to biases; None leaves them.
        seed: For random numbers.
    """

    scope: Scope
    initialiser: Initializer
    call: Call
    biases: Call | None
    seed: int


class Outlook(NamedTuple):
    """What a form amounts to.

    Attributes:
        edit: The change; None where there is none to make.
        plan: What changes and what does not; None for a function that decides itself.
        meant: Tensors that the initialiser was meant for, those that it refuses included.
        problem: Why there is no change to make.
        note: What should be known beforehand.
        asked: What has to be tried before it is known what is refused.
        filled: What was filled in; None where there is a mistake in it.
    """

    edit: Edit | None
    plan: Plan | None
    meant: int
    problem: str
    note: str
    asked: tuple[Asked, ...]
    filled: Filled | None


def trouble(problem: str, filled: Filled | None = None, plan: Plan | None = None, count: int = 0) -> Outlook:
    """An outlook on nothing."""
    return Outlook(None, plan, count, problem, "", (), filled)


class Outlooks:
    """Works out what forms amount to, and remembers what was found out for the last one.

    Args:
        opened: The target.
        editor: Says what can be changed.
    """

    def __init__(self, opened: Opened, editor: Editor) -> None:
        self._opened = opened
        self._editor = editor
        self._refusals: dict[tuple[object, ...], str] = {}
        self._plan: tuple[tuple[object, ...], Plan] | None = None
        self._words: dict[str, tuple[str, str]] = {}

    def of(self, filled: Filled | str) -> Outlook:
        """What changes, what does not and why; may be asked for from another thread."""
        if isinstance(filled, str):
            return trouble(filled)
        if filled.initialiser.takes == MODULE:
            return self._function(filled)
        try:
            plan = self._planned(filled)
        except (ImportError, ParamtuiError) as error:
            return trouble(str(error), filled)
        if not plan.targets:
            return trouble(self._nothing(filled, plan), filled, plan)
        refused, asked = self._refused(plan)
        count = len(plan.targets)
        plan = plan.without(refused)
        if not plan.targets:
            words = safe_text(next(iter(refused.values())), 300)
            problem = f"{'it is' if count == 1 else f'all {count:,} are'} refused: {words}"
            return trouble(problem, filled, plan, count)
        listing = self._opened.listing
        notes = [f"{len(plan.targets):,} of {count:,} change: the others are refused"] if refused else []
        notes += [thin_note(listing, plan), order_note(listing) if len(plan.targets) > 1 else ""]
        note = "; ".join(filter(None, notes))
        edit = plan.edit(self._opened.listing, filled.seed)
        return Outlook(edit, plan, count, "", note, asked, filled)

    def _function(self, filled: Filled) -> Outlook:
        name = filled.initialiser.name
        row = filled.scope.row
        if not self._opened.tree.is_block(row):
            return trouble(f"{name} takes a module, not a tensor: choose a block in where", filled)
        block = name_of_row(self._opened.tree, row)
        if block not in self._words:
            try:
                self._words[block] = self._editor.function_words(block), ""
            except ParamtuiError as error:
                self._words[block] = "", str(error)
        words, problem = self._words[block]
        if problem:
            return trouble(problem, filled)
        if filled.scope != Scope(row):
            words = f"type, names and part do not count: the function itself decides. {words}".strip()
        edit = ApplyFunction(block, filled.call, filled.seed)
        return Outlook(edit, None, 0, "", words, (), filled)

    def _planned(self, filled: Filled) -> Plan:
        # Which tensors are meant does not depend on arguments: while they are typed, it is kept.
        key = (filled.scope, filled.biases is None)
        if self._plan is None or self._plan[0] != key:
            weights = Call(WEIGHTS)
            biases = None if filled.biases is None else Call(BIASES)
            plan = make_plan(self._opened.tree, filled.scope, weights, biases, self._editor.edit_reason)
            self._plan = key, plan
        plan = self._plan[1]
        biases = filled.biases or filled.call
        return plan._replace(
            targets=tuple(
                target._replace(call=biases if target.call.name == BIASES else filled.call)
                for target in plan.targets
            )
        )

    def _nothing(self, filled: Filled, plan: Plan) -> str:
        """Why no tensor is meant at all."""
        if plan.left:
            reasons = list(dict.fromkeys(why for _, why in plan.left))
            return f"nothing here can be initialised: {safe_text('; '.join(reasons[:3]), 300)}"
        scope = filled.scope
        narrowed = [f"in layers of type {safe_text(scope.layer, 60)}"] if scope.layer else []
        if scope.only:
            whole = not any(char in scope.only for char in "*?[")
            advice = f" (*{scope.only}* for a part of the name)" if whole else ""
            narrowed.append(f"named {safe_text(scope.only + advice, 120)}")
        kinds = {WEIGHTS: "no weight", BIASES: "no bias"}
        found = kinds.get(scope.part, "no tensor")
        if scope.part == ALL and filled.biases is None:
            found = "nothing but biases, which are left; no weight"
        return " ".join([f"there is {found} here", *narrowed])

    # What is refused

    def _refused(self, plan: Plan) -> tuple[dict[int, str], tuple[Asked, ...]]:
        """Reasons by the ids of tensors that are refused, and what is yet to be tried."""
        listing = self._opened.listing
        refused: dict[int, str] = {}
        asked: dict[tuple[object, ...], Asked] = {}
        # There are one or two calls, and perhaps 100,000 tensors.
        known: dict[tuple[int, Shape, str], tuple[object, ...]] = {}
        for tensor, call, _ in plan.targets:
            question = call, listing.shape[tensor], listing.dtype[tensor]
            quick = id(call), question[1], question[2]
            key = known.get(quick) or known.setdefault(quick, _key(question))
            why = self._refusals.get(key)
            if why is None:
                asked[key] = question
            elif why:
                refused[tensor] = why
        return refused, tuple(asked.values())

    def learn(self, asked: Sequence[Asked], answers: Iterable[str]) -> None:
        """Notes what came of trials."""
        self._refusals.update(zip(map(_key, asked), answers, strict=True))


def _key(asked: Asked) -> tuple[object, ...]:
    """Equal for questions with one answer; lists among the arguments cannot be hashed."""
    call, shape, dtype = asked
    return call.source, call.text, shape, dtype
