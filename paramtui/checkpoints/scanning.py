"""Measures tensors of a checkpoint: small ones and samples here, all else in processes of their own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Final

from paramtui.checkpoints.scan_crew import Work, cores, pieces
from paramtui.checkpoints.scan_messages import message_of
from paramtui.checkpoints.scan_sums import RankTables, Told
from paramtui.core.claims import beyond, words
from paramtui.core.countable import SMALL, alike, is_plain, refusal, span_nbytes
from paramtui.core.readable import readable
from paramtui.core.scan_work import COUNT, RANKS
from paramtui.core.statistics import Measured, Statistics, statistics_from
from paramtui.errors import ParamtuiError, RunStoppedError, ValuesError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from paramtui.checkpoints.scan_crew import Crew, Stop
    from paramtui.checkpoints.source import CheckpointSource
    from paramtui.core.listing import Listing
    from paramtui.core.overlay import Overlay, State
    from paramtui.core.overview import Overview
    from paramtui.core.runs import ByteRuns
    from paramtui.core.tally import Tally

# Bytes of one tensor that one process counts at once.
PART: Final = 64 << 20
# Small tensors go together: so many bytes, so many of them.
BATCH: Final = 8 << 20
# Bytes of a tensor from which on it is counted in parts, whatever else there is to do.
UNSPLIT: Final = 256 << 20
MOST: Final = 40


class Scanner:
    """Measures what a checkpoint holds.

    Args:
        source: The checkpoint.
        overlay: See the attribute.
        crew: The processes.

    Attributes:
        overlay: What holds changed bytes; None for none.
    """

    def __init__(self, source: CheckpointSource, overlay: Overlay | None, crew: Crew) -> None:
        self._source = source
        self.overlay = overlay
        self._crew = crew

    @property
    def _listing(self) -> Listing:
        return self._source.listing

    def close(self) -> None:
        """Ends the processes."""
        self._crew.close()

    # One tensor

    def measure(
        self,
        tensor: int,
        runs: ByteRuns,
        state: State,
        *,
        exact: bool,
        sample: int,
        progress: Callable[[int, int], None] | None,
        stop: Stop,
    ) -> Measured:
        """See `Measurable.measure`; the bytes are those of a state."""
        reason = refusal(self._listing, tensor)
        if reason:
            raise ValuesError(reason)
        sample = sample if is_plain(self._listing, tensor) else 0
        if sample or self._listing.numel(tensor) <= SMALL:
            from paramtui.core.scan_reading import feed, feed_sample, tally_of

            def step(_: int) -> None:
                if stop.is_set():
                    raise RunStoppedError("stopped")

            with readable():
                tally = tally_of(self._listing, tensor)
                if sample:
                    return tally.measured(numel=feed_sample(self._listing, runs, tensor, tally, sample))
                feed(self._listing, runs, tensor, tally, step)
                return tally.measured()
        found: list[Measured | ValuesError | Statistics] = []
        total = self._listing.nbytes[tensor]
        told = Told(progress, total)
        parts = self._parts(tensor, state, found.append, levels=True, most=BATCH)
        self._crew.work(parts, told.moved, stop)
        (result,) = found
        if isinstance(result, ValuesError):
            raise result
        assert isinstance(result, Measured)  # noqa: S101  levels were asked for
        result = self._told_apart(tensor, state, result, told, stop)
        if exact and result.statistics.quantile_error:
            result = self._refined(tensor, state, result, told, stop)
        return result

    def _told_apart(self, tensor: int, state: State, found: Measured, told: Told, stop: Stop) -> Measured:
        """The same with finer levels, where numbers lie so close together that it takes these."""
        from paramtui.core.finer import bounds_of, finer

        bounds = bounds_of(found)
        if not bounds:
            return found
        return finer(found, bounds, self._counted(tensor, state, bounds, told, stop), self._dtype(tensor))

    def _refined(self, tensor: int, state: State, found: Measured, told: Told, stop: Stop) -> Measured:
        """The same with exact quantiles: the bytes are read again until each rank is one number."""
        from paramtui.core.ranks import RankSearch
        from paramtui.core.sums import exact_quantiles

        search = RankSearch(found.levels, self._dtype(tensor))
        while bounds := search.bounds:
            search.take(self._counted(tensor, state, bounds, told, stop))
        return found._replace(
            statistics=found.statistics._replace(
                quantiles=exact_quantiles(found.statistics.finite, search.order), quantile_error=0.0
            )
        )

    def _counted(
        self, tensor: int, state: State, bounds: list[tuple[float, float]], told: Told, stop: Stop
    ) -> Any:  # noqa: ANN401  an array: NumPy is not imported before there is something to add up
        """Reads a tensor once more, and counts what lies between bounds; see `RankCounts`."""
        tables = RankTables()
        told.again()
        works = (
            Work({**message, "work": RANKS, "bounds": bounds}, files, tables.answered)
            for message, files in self._messages(tensor, state, BATCH)
        )
        self._crew.work(works, told.moved, stop)
        return tables.whole()

    def overview(
        self,
        tensor: int,
        room: tuple[int, int],
        runs: ByteRuns,
        state: State,
        *,
        progress: Callable[[int, int], None] | None,
        stop: Stop,
    ) -> Overview:
        """See `Measurable.overview`; `room` is rows and columns, the bytes are those of a state."""
        from paramtui.checkpoints.picturing import overview

        told = Told(progress, self._listing.nbytes[tensor])
        messages = self._messages(tensor, state, BATCH)
        return overview(self._listing, tensor, room, runs, messages, self._crew, told.moved, stop)

    def _dtype(self, tensor: int) -> str:
        extra = self._listing.extras.get(tensor)
        return "float32" if extra is not None and extra.quantizer is not None else self._listing.dtype[tensor]

    def _messages(
        self, tensor: int, state: State, most: int
    ) -> Iterator[tuple[dict[str, Any], Callable[[], list[int]]]]:
        """A work for each part of a tensor of more than `most` bytes, without what is to be done."""
        nbytes = span_nbytes(self._listing, tensor)
        for part in pieces(nbytes, self._part_size(nbytes)) if nbytes > most else [None]:
            yield message_of(self._source, self.overlay, [tensor], state, part)

    @staticmethod
    def _part_size(nbytes: int) -> int:
        """Parts of one size, as many as there are processes or a multiple, whole elements each."""
        count = -(-nbytes // PART)
        count += -count % cores()
        return -(-nbytes // count // 1024) * 1024

    def _parts(
        self,
        tensor: int,
        state: State,
        found: Callable[[Measured | ValuesError | Statistics], None],
        *,
        levels: bool,
        most: int,
    ) -> Iterator[Work]:
        """Works that count one tensor, in parts where it has more than `most` bytes.

        `found` is called once all are done.
        """
        messages = list(self._messages(tensor, state, most))
        if len(messages) == 1:
            yield self._work(*messages[0], lambda _, result: found(result), levels=levels)
            return
        lock = threading.Lock()
        left = len(messages)
        problems: list[str] = []
        whole: list[Tally] = []

        def answered(message: dict[str, Any], data: bytes) -> None:
            nonlocal left
            import numpy as np  # once there is something to add up: processes start meanwhile

            from paramtui.core.scan_reading import tally_of
            from paramtui.core.sums import Sums

            (result,) = message["results"]
            with lock:
                left -= 1
                if "problem" in result:
                    problems.append(result["problem"])
                elif not problems:
                    if not whole:
                        whole.append(tally_of(self._listing, tensor))
                    whole[0].merge(np.frombuffer(data, np.int64), Sums(*result["sums"]), result["size"])
                if left:
                    return
                if problems:
                    found(ValuesError(problems[0]))
                else:
                    found(whole[0].measured())

        for message, files in messages:
            yield Work({**message, "work": COUNT, "levels": levels}, files, answered)

    # Many tensors

    def scan(
        self,
        tensors: Sequence[int],
        state: State,
        found: Callable[[int, Statistics | ValuesError], None],
        *,
        exact: bool,
        progress: Callable[[int, int], None] | None,
        stop: Stop,
    ) -> None:
        """See `Measurable.scan`; the bytes are those of a state."""
        aliases = {same[0]: same for same in alike(self._listing, tensors)}
        refused = beyond(self._listing, aliases)
        for tensor, times in refused.items():
            problem = ValuesError(words(times, "counted"))
            for alias in aliases[tensor]:
                found(alias, problem)
        first = [tensor for tensor in aliases if tensor not in refused]
        total = sum(self._listing.nbytes[tensor] for tensor in first)
        told = Told(progress, total)
        # Adding parts up takes time: tensors are split only where a process would be left without work.
        most = min(max(total // (4 * cores()), BATCH), UNSPLIT)
        again: list[tuple[int, Measured]] = []

        def one(tensor: int, result: Measured | ValuesError | Statistics) -> None:
            if isinstance(result, Measured):
                from paramtui.core.finer import bounds_of

                if (exact and result.statistics.quantile_error) or bounds_of(result):
                    again.append((tensor, result))
                    return
                result = result.statistics
            for alias in aliases[tensor]:
                found(alias, result)

        self._crew.work(self._works(first, state, one, levels=exact, most=most), told.moved, stop)
        for tensor, result in again:
            refined: Statistics | ValuesError
            try:
                apart = self._told_apart(tensor, state, result, told, stop)
                if exact and apart.statistics.quantile_error:
                    apart = self._refined(tensor, state, apart, told, stop)
                refined = apart.statistics
            except ValuesError as error:
                refined = error
            for alias in aliases[tensor]:
                found(alias, refined)

    def _works(
        self,
        tensors: Sequence[int],
        state: State,
        found: Callable[[int, Measured | ValuesError | Statistics], None],
        *,
        levels: bool,
        most: int,
    ) -> Iterator[Work]:
        """Large tensors by themselves, small ones together."""
        from functools import partial

        batch: list[int] = []
        held = 0
        for tensor in tensors:
            reason = refusal(self._listing, tensor)
            if reason:
                found(tensor, ValuesError(reason))
                continue
            if span_nbytes(self._listing, tensor) > BATCH:
                yield from self._guarded(tensor, state, partial(found, tensor), levels=levels, most=most)
                continue
            batch.append(tensor)
            held += self._listing.nbytes[tensor]
            if held >= BATCH or len(batch) >= MOST:
                yield from self._batch(batch, state, found, levels=levels)
                batch, held = [], 0
        if batch:
            yield from self._batch(batch, state, found, levels=levels)

    def _guarded(
        self,
        tensor: int,
        state: State,
        found: Callable[[Measured | ValuesError | Statistics], None],
        *,
        levels: bool,
        most: int,
    ) -> Iterator[Work]:
        try:
            yield from self._parts(tensor, state, found, levels=levels, most=most)
        except ParamtuiError as error:
            found(ValuesError(str(error)))

    def _batch(
        self,
        tensors: list[int],
        state: State,
        found: Callable[[int, Measured | ValuesError | Statistics], None],
        *,
        levels: bool,
    ) -> Iterator[Work]:
        try:
            message, files = message_of(self._source, self.overlay, tensors, state, None)
        except ParamtuiError as error:
            if len(tensors) == 1:
                found(tensors[0], ValuesError(str(error)))
                return
            # One of them cannot be reached: the others can.
            for tensor in tensors:
                yield from self._batch([tensor], state, found, levels=levels)
            return
        yield self._work(message, files, found, levels=levels)

    @staticmethod
    def _work(
        message: dict[str, Any],
        files: Callable[[], list[int]],
        found: Callable[[int, Measured | ValuesError | Statistics], None],
        *,
        levels: bool,
    ) -> Work:
        """A work that counts whole tensors; `found` is called with each id and what came of it."""

        def answered(message: dict[str, Any], data: bytes) -> None:
            at = 0
            for result in message["results"]:
                tensor, own = result["id"], data[at : at + result["nbytes"]]
                at += result["nbytes"]
                if "problem" in result:
                    found(tensor, ValuesError(result["problem"]))
                    continue
                figures = statistics_from(result["statistics"])
                if levels:
                    from paramtui.core.levels import levels_from

                    found(tensor, Measured(figures, levels_from(own)))
                else:
                    found(tensor, figures)

        return Work({**message, "work": COUNT, "levels": levels}, files, answered)
