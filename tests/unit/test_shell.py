"""Words for a shell: bash gives back what was meant, and a terminal sees only printable text."""

from __future__ import annotations

import os
import subprocess

from hypothesis import example, given, settings
from hypothesis import strategies as st

from paramtui.core.shell import shell_word


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text().filter(lambda text: "\0" not in text), min_size=1, max_size=40))
@example(
    ["\x1b]0;x\x07", "a'b\\c\n", "\udcff\udc80", "\u202ename", "", "$(echo no)`", "é\x85a1", "plain.name"]
)
def test_bash_reads_a_word_as_the_text_that_it_was(texts: list[str]) -> None:
    line = " ".join(map(shell_word, texts))
    assert line.isprintable()
    found = subprocess.run(
        ["bash", "--norc", "-c", f"printf '%s\\0' {line}"],
        capture_output=True,
        check=True,
        env={"LC_ALL": "C.UTF-8"},
    ).stdout
    assert found.split(b"\0")[:-1] == [raw(text) for text in texts]


def raw(text: str) -> bytes:
    try:
        return os.fsencode(text)
    except UnicodeEncodeError:
        return text.encode("utf-8", "surrogatepass")
