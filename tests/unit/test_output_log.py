from __future__ import annotations

from paramtui.core.output_log import MAX_LINE, MAX_LINES, OutputLog


def test_lines_are_kept_as_a_terminal_shows_them() -> None:
    log = OutputLog()
    assert log.empty
    for piece in ("one\ntw", "o\n", "10%\r20%\r", "100%\nlast"):
        log.write(piece)
    assert log.lines == ["one", "two", "100%", "last"]
    log.write("\r\nnext\r\n")
    assert log.lines == ["one", "two", "100%", "last", "next"]
    assert not log.empty
    log.clear()
    assert log.empty
    assert log.lines == []


def test_the_oldest_lines_are_dropped_and_counted_and_long_ones_cut() -> None:
    log = OutputLog()
    log.write("".join(f"{number}\n" for number in range(MAX_LINES + 7)))
    assert (log.lines[0], len(log.lines), log.dropped) == ("7", MAX_LINES, 7)
    log.write("x" * (3 * MAX_LINE))
    assert log.lines[-1] == "x" * MAX_LINE
