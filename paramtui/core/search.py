"""Finds names by what a person types: words, a glob, or letters in their order."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

WORDS: Final = "words"
GLOB: Final = "glob"
MAX_TEXT: Final = 1000
MAX_RANKED: Final = 20_000
_WILD: Final = re.compile(r"[*?\[]")
_PIECE: Final = re.compile(r"\?|\[!?\]?[^\]]*\]|[^?]")


class Query:
    """What is looked for.

    A text with ``*``, ``?`` or ``[`` is a glob over whole names, as in ``paramtui ls``. Any other text is
    words, all of which must stand in a name; where no name has them, their letters in this order
    are enough. Capitals count only where the text has one.

    Attributes:
        text: As typed.
        kind: `WORDS` or `GLOB`.
        words: The words; of a glob texts that all its matches contain.
        folded: Whether small and capital letters are the same.
        fuzzy: Whether letters in their order are enough; set by `NameIndex.search` where no name has the
            words.
    """

    __slots__ = ("_match", "_segments", "folded", "fuzzy", "kind", "text", "words")

    def __init__(self, text: str) -> None:
        self.text = text
        self.kind = GLOB if _WILD.search(text) else WORDS
        self.folded = self.kind == WORDS and text == text.lower()
        self.fuzzy = False
        # What stands in brackets is a choice of letters, not a word.
        self.words = (
            text.split()
            if self.kind == WORDS
            else [w for w in re.split("[*?]", text.split("[", maxsplit=1)[0]) if w]
        )
        self._match: Callable[[str], object] | None = None
        self._segments: list[re.Pattern[str]] = []

    @classmethod
    def parse(cls, text: str) -> Query | None:
        """Reads a text; None where it asks for nothing."""
        text = text.strip()[:MAX_TEXT]
        return cls(text) if text else None

    def matches(self, name: str) -> bool:
        """Whether a name is found."""
        if self.kind == GLOB:
            return self.matcher()(name) is not None
        text = name.lower() if self.folded else name
        if self.fuzzy:
            return self.matcher()(text) is not None
        return all(word in text for word in self.words)

    def matcher(self) -> Callable[[str], object]:
        """The compiled pattern of a glob, or of letters in order; gives None where there is no match."""
        if self._match is None:
            if self.kind == GLOB:
                from fnmatch import translate

                self._match = re.compile(translate(self.text)).match
            else:
                # Each letter is looked for once from left to right: no way back, no explosion.
                letters = "".join(self.words)
                self._match = re.compile(
                    "".join(f"[^{re.escape(char)}]*+{re.escape(char)}" for char in letters), re.DOTALL
                ).match
        return self._match

    def spans(self, name: str) -> list[tuple[int, int]]:
        """What to mark in a name: first letter and the one after the last, ascending; empty if not found."""
        if not self.matches(name):
            return []
        text = name.lower() if self.folded else name
        if len(text) != len(name):  # some capitals become two letters
            text = name
        found: list[tuple[int, int]] = []
        if self.kind == GLOB:
            found = self._glob_spans(name)
        elif self.fuzzy:
            at = 0
            for char in "".join(self.words):
                place = text.find(char, at)
                if place < 0:
                    break
                found.append((place, place + 1))
                at = place + 1
        else:
            for word in self.words:
                place = text.find(word)
                while place >= 0:
                    found.append((place, place + len(word)))
                    place = text.find(word, place + len(word))
        return _merged(found)

    def touches(self, name: str, begin: int) -> bool:
        """Whether something is found in a name that is known to match, at or after a letter."""
        if self.kind == WORDS and not self.fuzzy:
            text = name.lower() if self.folded else name
            return any(text.rfind(word) + len(word) > begin for word in self.words)
        if self.kind == GLOB:
            return True  # a glob means the whole name
        return any(last > begin for _, last in self.spans(name))

    def _glob_spans(self, name: str) -> list[tuple[int, int]]:
        """Where what stands between the stars is: the first at the start, the last at the end."""
        pieces = self.text.split("*")
        if not self._segments:
            self._segments = [re.compile(_without_star(piece), re.DOTALL) for piece in pieces]
        found: list[tuple[int, int]] = []
        at = 0
        for place, (piece, segment) in enumerate(zip(pieces, self._segments, strict=True)):
            if not piece:
                continue
            last = place == len(pieces) - 1
            start = max(at, len(name) - sum(1 for _ in _PIECE.finditer(piece))) if last else at
            hit = segment.search(name, start)
            if hit is None:
                break
            found.append(hit.span())
            at = hit.end()
        return found


def _without_star(piece: str) -> str:
    """A regular expression for a glob without stars."""
    from fnmatch import translate

    return translate(piece)[:-2] if piece else ""  # without its anchor at the end


def _merged(spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    out: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if out and first <= out[-1][1]:
            out[-1] = out[-1][0], max(out[-1][1], last)
        else:
            out.append((first, last))
    return out


class Ranked(NamedTuple):
    """How well a name fits: smaller is better."""

    miss: int
    length: int
    place: int


class NameIndex:
    """Names to be searched; those of 100,000 rows are searched within a few milliseconds."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names
        self._folded: list[str] | None = None
        self._found: tuple[str, list[int]] | None = None

    def search(self, query: Query) -> list[int]:
        """Places of all names that are found, ascending; sets `Query.fuzzy`."""
        if self._found is None or self._found[0] != query.text:
            self._found = query.text, self._search(query)
        elif query.kind == WORDS:
            query.fuzzy = self._is_fuzzy(query, self._found[1])
        return self._found[1]

    def _is_fuzzy(self, query: Query, hits: list[int]) -> bool:
        """Whether hits that are known came from letters in their order."""
        texts = self._texts(query)
        return not hits or not all(word in texts[hits[0]] for word in query.words)

    def _texts(self, query: Query) -> Sequence[str]:
        if not query.folded:
            return self._names
        if self._folded is None:
            self._folded = [name.lower() for name in self._names]
        return self._folded

    def _search(self, query: Query) -> list[int]:
        texts = self._texts(query)
        if query.kind == GLOB:
            # Most names fall at the first hurdle, which is cheap.
            hits = self._with_words(texts, query.words)
            match = query.matcher()
            return [place for place in hits if match(texts[place]) is not None]
        hits = self._with_words(texts, query.words)
        query.fuzzy = not hits
        if hits:
            return hits
        match = query.matcher()
        return [place for place, text in enumerate(texts) if match(text) is not None]

    @staticmethod
    def _with_words(texts: Sequence[str], words: list[str]) -> list[int]:
        if not words:
            return list(range(len(texts)))
        longest, *others = sorted(words, key=len, reverse=True)
        hits = [place for place, text in enumerate(texts) if longest in text]
        for word in others:
            hits = [place for place in hits if word in texts[place]]
        return hits

    def ranked(self, query: Query, limit: int) -> list[int]:
        """The places that are most likely meant: what is found in the last part of a name comes first."""
        from heapq import nsmallest

        # A letter or two find nearly everything: which of it comes first is not worth the wait.
        hits = self.search(query)[:MAX_RANKED]
        texts = self._texts(query)
        whole = query.text.lower() if query.folded else query.text
        words = query.words

        def rank(place: int) -> Ranked:
            text = texts[place]
            if text == whole:
                return Ranked(0, 0, place)
            if text.endswith(whole):
                return Ranked(1, len(text), place)
            last = text.rfind(".") + 1
            if words and all(text.find(word, last) >= 0 for word in words):
                return Ranked(2, len(text), place)
            return Ranked(3, len(text), place)

        return nsmallest(limit, hits, key=rank)
