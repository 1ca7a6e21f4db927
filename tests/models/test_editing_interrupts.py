"""Stopped at any moment, a change is either made and told or not made, for a model in this process."""

from __future__ import annotations

import asyncio
import random
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from paramtui.core.edits import Call, Initialise, SetCells, Step, Tie, Untie
from paramtui.errors import EditError, RunStoppedError
from paramtui.models import shield
from paramtui.models.module_source import ModuleSource
from tests.models import rewired
from tests.models.mischief import all_tensors, function, hosted, numbers_of, told_of


def steps_of(host: Any, *, large: bool) -> list[Any]:
    """Edits of every kind, among them one that never gets far by itself."""
    names = ("0.weight", "0.bias", "2.0.weight", *(("large",) if large else ()))
    return [
        Initialise(tuple(Step(name, Call("normal_")) for name in names), 3),
        SetCells("2.0.weight", "1:", "*=", 2.0),
        function(host, "good"),
        function(host, "slow"),
    ]


async def hammered(source: ModuleSource, work: Any, draw: random.Random, longest: float) -> str:
    """Does something while it is asked to stop at random moments, often several times."""
    running = asyncio.create_task(work)
    times = draw.choice((1, 1, 2, 5))
    await asyncio.sleep(draw.random() * longest)
    for _ in range(times):
        await source.interrupt()
        await asyncio.sleep(draw.choice((0, 0, 0.0002, 0.001)))
    try:
        await running
    except RunStoppedError:
        return "stopped"
    return "done"


async def test_whatever_is_stopped_whenever_is_done_and_told_or_not_done(tmp_path: Path) -> None:
    host, net, _ = hosted(tmp_path)
    net.register_buffer("large", torch.rand(300, 300))
    host._list()
    source = ModuleSource(host)
    weight = source.listing.names.index("0.weight")
    draw = random.Random(1)
    # By number of changes that count: what the numbers are then.
    states = [numbers_of(net)]
    outcomes: dict[tuple[str, str], int] = {}
    begun = time.monotonic()
    edits = steps_of(host, large=True)
    while time.monotonic() - begun < 4:
        kinds = ["apply", "apply", "preview"]
        kinds += ["undo"] * 2 if source.history.done else []
        kinds += ["redo"] if source.history.undone else []
        kind = draw.choice(kinds)
        done, undone = len(source.history.done), len(source.history.undone)
        edit = draw.choice(edits)
        work: Any = {
            "apply": lambda edit=edit: source.apply(edit),
            "preview": lambda edit=edit: source.preview(edit, weight, (range(2), range(2))),
            "undo": source.undo,
            "redo": source.redo,
        }[kind]
        outcome = await hammered(source, work(), draw, 0.012)
        outcomes[kind, outcome] = outcomes.get((kind, outcome), 0) + 1
        counts = done + {"apply": 1, "undo": -1, "redo": 1}.get(kind, 0) * (outcome == "done")
        assert len(source.history.done) == counts == len(host.editor._done)
        assert len(host.editor._undone) == len(source.history.undone)
        if kind != "redo":
            states[done + 1 :] = [] if kind == "apply" and outcome == "done" else states[done + 1 :]
        if counts == len(states):
            states.append(numbers_of(net))
        assert numbers_of(net) == states[counts], (kind, outcome)
        assert source.history.undone or undone == 0 or outcome == "done"
        if counts > 12:
            while source.history.done:
                await source.undo()
    assert all(outcomes.get((kind, word)) for kind in ("apply", "preview") for word in ("stopped", "done")), (
        outcomes
    )


async def test_whatever_stops_a_function_leaves_no_trace_but_in_numbers(tmp_path: Path) -> None:
    host, net, _ = hosted(tmp_path)
    source = ModuleSource(host)
    before = told_of(net)
    draw = random.Random(2)
    stopped = rounds = 0
    longest = seconds_of(lambda: host.apply(function(host, "slow")))
    host.undo()
    while stopped < 20 or rounds < 100:
        rounds += 1
        assert rounds < 3000
        outcome = await hammered(source, source.apply(function(host, "slow")), draw, longest)
        if outcome == "done":
            await source.undo()
        stopped += outcome == "stopped"
        assert told_of(net) == before
    assert not list(filter(lambda tensor: tensor.isnan().any(), all_tensors(net)))


async def test_a_tie_is_made_and_told_or_not_made_whenever_it_is_stopped() -> None:
    shared = nn.Linear(300, 300)
    net = nn.Sequential(shared, nn.Linear(300, 300), shared)
    host = rewired.hosted(net)
    source = ModuleSource(host)
    draw = random.Random(5)
    states = [rewired.partition(net)]
    seen = {"done": 0, "stopped": 0}
    while min(seen.values()) < 12:
        assert sum(seen.values()) < 5000
        done = len(source.history.done)
        kind = draw.choice(["apply", "apply", *(["undo"] if done else [])])
        edits = (Tie("1.weight", "0.weight"), Untie(("2.weight", "2.bias")), Untie(("0.weight", "1.weight")))
        try:
            work = source.undo() if kind == "undo" else source.apply(draw.choice(edits))
            outcome = await hammered(source, work, draw, 0.004)
        except EditError as error:
            assert "one parameter already" in str(error) or "shares memory with nothing" in str(error)
            assert rewired.partition(net) == states[-1]
            continue
        seen[outcome] += 1
        if outcome == "done":
            states = states[:-1] if kind == "undo" else [*states, rewired.partition(net)]
        assert len(source.history.done) == len(host.editor._done) == len(states) - 1
        assert rewired.partition(net) == states[-1]
        rewired.assert_is_listed(host, net)
    while source.history.done:
        await source.undo()
    assert net[0] is net[2] is shared


async def test_a_change_that_nobody_waits_for_any_more_is_noted(tmp_path: Path) -> None:
    host, net, _ = hosted(tmp_path)
    source = ModuleSource(host)
    before = numbers_of(net)
    abandoned = asyncio.create_task(source.apply(SetCells("0.bias", "", "=", 3.0)))
    await asyncio.sleep(0)
    abandoned.cancel()
    with pytest.raises(asyncio.CancelledError):
        await abandoned
    await source.apply(SetCells("0.bias", "", "*=", 2.0))
    assert net[0].bias.tolist() == [6, 6, 6, 6]
    assert len(source.history.done) == 2
    await source.undo()
    await source.undo()
    assert numbers_of(net) == before


async def test_who_looks_while_a_change_is_tried_sees_what_there_is(tmp_path: Path) -> None:
    host, net, code = hosted(tmp_path)
    source = ModuleSource(host)
    before = net[0].weight.tolist()
    weight = source.listing.names.index("0.weight")
    entered, going = threading.Event(), threading.Event()

    def halt(module: Any) -> None:
        module.weight.data.fill_(7) if hasattr(module, "weight") else None
        entered.set()
        going.wait(60)

    code.HALT = halt
    trying = asyncio.create_task(source.preview(function(host, "halt"), None, ()))
    await asyncio.to_thread(entered.wait, 60)
    window = asyncio.create_task(source.window(weight, (range(4), range(4))))
    await asyncio.sleep(0.05)
    assert not window.done()
    going.set()
    await trying
    shown = (await window).values
    assert shown is not None
    assert shown.tolist() == before


def seconds_of(work: Any) -> float:
    """How long something takes that nobody stops."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def test_a_signal_at_every_moment_of_a_change_leaves_it_made_or_not(tmp_path: Path) -> None:
    host, net, _ = hosted(tmp_path)
    before, stopped, made = numbers_of(net), 0, 0
    old = signal.signal(signal.SIGINT, lambda _, frame: shield.stop(frame))
    main = threading.get_ident()
    draw = random.Random(3)
    longest = seconds_of(lambda: host.apply(function(host, "slow")))
    host.undo()
    try:
        while stopped < 20 or stopped + made < 100:
            assert stopped + made < 3000
            quiet = threading.Event()

            def shoot(quiet: threading.Event = quiet, pause: float = draw.random() * longest) -> None:
                time.sleep(pause)
                while not quiet.is_set():
                    signal.pthread_kill(main, signal.SIGINT)
                    time.sleep(0.0001)

            shooter = threading.Thread(target=shoot)
            shield.begin()
            shooter.start()
            try:
                outcome = shield.whole(lambda: host.apply(function(host, "slow")))
            except RunStoppedError:
                stopped += 1
                assert not host.editor._done
            else:
                made += 1
                assert outcome.digest
            finally:
                quiet.set()
                shooter.join()
                shield.begin()
            if host.editor._done:
                host.undo()
            assert numbers_of(net) == before
    finally:
        signal.signal(signal.SIGINT, old)


def test_a_wish_that_comes_too_early_counts_at_the_first_place_where_it_can() -> None:
    seen: list[str] = []

    def inner() -> None:
        seen.append("inner")

    def outer() -> None:
        shield.stop(None)
        seen.append("outer")
        shield.stoppable(inner)

    shield.begin()
    with pytest.raises(KeyboardInterrupt):
        shield.whole(outer)
    assert seen == ["outer"]
    shield.whole(lambda: shield.stoppable(inner))
    assert seen == ["outer", "inner"]
