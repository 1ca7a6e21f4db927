"""Which processes count: how many, how long they are kept, and what comes of their end."""

from __future__ import annotations

import os
import subprocess
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from paramtui.checkpoints import scan_crew
from paramtui.checkpoints.scan_crew import Crew, Stop, Work, cores, pieces
from paramtui.errors import EngineError, RunStoppedError, ValuesError
from tests.support import open_descriptors

Answer = tuple[dict[str, Any], bytes]


class Fake:
    """A process that does what a test says, in no process."""

    made: list[Fake] = []
    does: Callable[[Work, Stop], Answer | None]
    alive = True

    def __init__(self, niceness: int) -> None:
        self.niceness = niceness
        self.closed = threading.Event()
        Fake.made.append(self)

    def do(self, work: Work, moved: Callable[[int], None], stopped: Stop) -> Answer | None:
        moved(1)
        return Fake.does(work, stopped)

    def close(self) -> None:
        self.closed.set()


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Fake]]:
    """Two cores, and processes that answer with the work's message."""
    Fake.made = []
    Fake.does = staticmethod(lambda work, _: (work.message, b""))
    monkeypatch.setattr(scan_crew, "_Process", Fake)
    monkeypatch.setattr(scan_crew, "cores", lambda: 2)
    yield Fake
    assert all(process.closed.wait(10) for process in Fake.made)


def works(count: int, answered: Callable[[int], None]) -> list[Work]:
    return [
        Work({"number": number}, list, lambda message, _: answered(message["number"]))
        for number in range(count)
    ]


def nothing(_: int) -> None:
    pass


def test_there_is_a_process_for_each_core_up_to_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(5)), raising=False)
    assert cores() == 5
    monkeypatch.delattr(os, "sched_getaffinity")
    for said, count in ((3, 3), (None, 1), (999, scan_crew.MOST)):
        monkeypatch.setattr(os, "cpu_count", lambda said=said: said)
        assert cores() == count


def test_a_wish_to_stop_is_heard_once_by_those_who_still_listen() -> None:
    stop = Stop()
    heard: list[str] = []
    first, second, third = (lambda name=name: heard.append(name) for name in ("first", "second", "third"))
    stop.hear(first)
    stop.hear(second)
    stop.deafen(first)
    stop.deafen(first)
    assert not stop.is_set()
    stop.set()
    stop.set()
    stop.hear(third)
    assert stop.is_set()
    assert heard == ["second", "third"]


def test_every_work_is_done_once_and_processes_are_used_again(fake: type[Fake]) -> None:
    crew = Crew(3)
    done: list[int] = []
    moved: list[int] = []
    crew.work(works(40, done.append), moved.append, Stop())
    crew.work(works(40, done.append), moved.append, Stop())
    assert sorted(done) == sorted([*range(40)] * 2)
    assert sum(moved) == 80
    assert 1 <= len(fake.made) <= 2
    assert {process.niceness for process in fake.made} == {3}
    assert not any(process.closed.is_set() for process in fake.made)
    crew.close()


def test_processes_started_ahead_are_those_that_work(fake: type[Fake]) -> None:
    crew = Crew()
    crew.start()
    crew.start()
    assert len(fake.made) == 2
    crew.work(works(9, nothing), nothing, Stop())
    assert len(fake.made) == 2
    crew.close()


def test_idle_processes_are_let_go_of_after_a_while(
    fake: type[Fake], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan_crew, "IDLE", 0.01)
    crew = Crew()
    crew.work(works(9, nothing), nothing, Stop())
    assert all(process.closed.wait(10) for process in fake.made)
    before = len(fake.made)
    crew.work(works(1, nothing), nothing, Stop())
    assert len(fake.made) == before + 1


def test_two_who_ask_at_once_get_no_more_processes_than_cores_and_one_each(fake: type[Fake]) -> None:
    crew = Crew()
    both, leave = threading.Barrier(3), threading.Event()
    at_once: list[int] = []
    running = threading.Semaphore(1)

    def does(work: Work, _: Stop) -> Answer:
        if work.message["number"] < 2 and not leave.is_set():
            both.wait(10)
            leave.wait(10)
        return work.message, b""

    fake.does = staticmethod(does)
    first = threading.Thread(target=crew.work, args=(works(2, nothing), nothing, Stop()))
    first.start()
    both.wait(10)

    def alone(number: int) -> None:
        assert running.acquire(blocking=False)
        at_once.append(number)
        running.release()

    second = [Work({"number": 10 + n}, list, lambda message, _: alone(message["number"])) for n in range(20)]
    crew.work(second, nothing, Stop())
    assert at_once == list(range(10, 30))
    # One more is started while all work: of three that are idle then, one is let go of.
    assert len(fake.made) == 3
    leave.set()
    first.join(10)
    assert sum(process.closed.is_set() for process in fake.made) == 1
    crew.close()


def test_a_crew_that_is_closed_ends_its_processes_once_they_are_idle(fake: type[Fake]) -> None:
    crew = Crew()

    def does(work: Work, _: Stop) -> Answer:
        crew.close()
        return work.message, b""

    fake.does = staticmethod(does)
    crew.work(works(3, nothing), nothing, Stop())
    assert all(process.closed.is_set() for process in fake.made)


def test_a_stop_meant_for_earlier_work_costs_no_work(fake: type[Fake]) -> None:
    crew = Crew()
    tried: list[int] = []
    done: list[int] = []

    def does(work: Work, _: Stop) -> Answer | None:
        tried.append(work.message["number"])
        return None if tried.count(work.message["number"]) < 3 else (work.message, b"")

    fake.does = staticmethod(does)
    crew.work(works(5, done.append), nothing, Stop())
    assert sorted(done) == [0, 1, 2, 3, 4]
    assert len(tried) == 15
    crew.close()


def test_a_stop_ends_the_work_at_once(fake: type[Fake]) -> None:
    crew = Crew()
    done: list[int] = []

    def does(_: Work, stopped: Stop) -> None:
        stopped.set()

    fake.does = staticmethod(does)
    with pytest.raises(RunStoppedError, match="stopped"):
        crew.work(works(50, done.append), nothing, Stop())
    assert done == []
    crew.close()


def test_what_goes_wrong_with_one_work_is_raised_and_its_process_ended(fake: type[Fake]) -> None:
    crew = Crew()

    def answered(_: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        crew.work(works(50, answered), nothing, Stop())
    assert all(process.closed.is_set() for process in fake.made)


def test_a_process_that_cannot_be_started_is_said_and_leaves_nothing_open(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    before = open_descriptors()
    with pytest.raises(EngineError, match="cannot be started: No such file or directory"):
        Crew().work(works(1, nothing), nothing, Stop())
    assert open_descriptors() == before


def test_files_that_cannot_be_opened_are_their_tensors_trouble() -> None:
    def gone() -> list[int]:
        raise ValuesError("changed since it was opened", where="m.pt", hint="open it again")

    answers: list[Answer] = []
    crew = Crew()
    work = Work({"tensors": [{"id": 4}, {"id": 9}]}, gone, lambda *answer: answers.append(answer))
    crew.work([work], nothing, Stop())
    words = "m.pt: changed since it was opened (open it again)"
    assert answers == [
        ({"results": [{"id": number, "problem": words, "nbytes": 0} for number in (4, 9)]}, b"")
    ]
    crew.close()


def test_a_process_that_was_killed_while_idle_is_replaced() -> None:
    crew = Crew()
    crew.start()
    killed = list(crew._idle)
    for process in killed:
        process._process.kill()
        process._process.wait()
    taken = crew._take()
    assert taken.alive and taken not in killed
    assert not crew._idle and all(process._connection.fileno() < 0 for process in killed)
    taken.close()
    assert not taken.alive


@pytest.mark.parametrize(
    ("start", "words"),
    [
        (
            "import os, signal, sys; os.kill(os.getpid(), signal.SIGKILL)",
            "by SIGKILL .was the machine out of",
        ),
        ("import os, signal, sys; os.kill(os.getpid(), signal.SIGTERM)", "by SIGTERM .count again"),
        ("raise SystemExit(3)", "has ended .count again"),
        ("import os, sys, time; os.close(int(sys.argv[1])); time.sleep(60)", "has ended .count again"),
    ],
)
def test_a_process_that_ends_while_it_works_is_said_with_what_is_known_of_why(
    monkeypatch: pytest.MonkeyPatch, start: str, words: str
) -> None:
    monkeypatch.setattr("paramtui.checkpoints.scan_crew._START", start)
    crew = Crew()
    with pytest.raises(EngineError, match=words):
        crew.work([Work({}, list, lambda *_: None)], nothing, Stop())
    crew.close()


@pytest.mark.parametrize(("total", "size"), [(0, 3), (1, 3), (3, 3), (10, 3)])
def test_pieces_cover_a_total_without_gap(total: int, size: int) -> None:
    covered = [byte for begin, end in pieces(total, size) for byte in range(begin, end)]
    assert covered == list(range(total))
    assert all(end - begin <= size for begin, end in pieces(total, size))


def test_a_process_that_is_gone_before_it_hears_of_its_work_is_said() -> None:
    process = Crew()._take()
    process._process.kill()
    process._process.wait()
    with pytest.raises(EngineError, match="by SIGKILL"):
        process.do(Work({}, list, lambda *_: None), nothing, Stop())
    process.close()


def test_a_process_that_goes_on_when_it_is_to_stop_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("paramtui.checkpoints.scan_crew._START", "import time; time.sleep(600)")
    monkeypatch.setattr("paramtui.checkpoints.scan_crew.STUBBORN", 0.2)
    crew, stop = Crew(), Stop()
    threading.Timer(0.2, stop.set).start()
    with pytest.raises(RunStoppedError):
        crew.work([Work({}, list, lambda *_: None)], nothing, stop)
    # It is not given anything more to do.
    assert crew._idle
    assert not any(process.alive for process in crew._idle)
    crew.close()


def test_a_wish_to_stop_that_comes_late_does_not_end_a_process_that_waits(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("paramtui.checkpoints.scan_crew.STUBBORN", 0.1)
    process = Crew()._take()
    process.stop()
    with pytest.raises(subprocess.TimeoutExpired):
        process._process.wait(0.5)
    process.close()
