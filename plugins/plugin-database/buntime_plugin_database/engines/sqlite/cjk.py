"""The FTS5 tokenizer `cjk`: pairs of characters for scripts without spaces, words for the rest.

Chinese, Japanese, Thai and the like are written without spaces, so that `unicode61` takes a whole
sentence for one word. Here every two characters that stand together are a word, and in documents
each single one too, at the same place; a query of two characters or more looks for its pairs side
by side, so it finds exactly the texts that contain it.

Korean, whose words carry their particles with them, is treated alike. All other text is left to
`unicode61`. Forms of one character count as one: half and full width, and marks that are characters
of their own (NFKC).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import cache

import apsw

TOKENIZER = "cjk"

# A cluster is a character with the marks behind it, or a Korean syllable in its letters.
_BASE = (
    "\u0e01-\u0e30\u0e32-\u0e33\u0e40-\u0e46\u0e50-\u0e59"  # Thai
    "\u0e81-\u0eb0\u0eb2-\u0eb3\u0ebd-\u0ec6\u0ed0-\u0edf"  # Lao
    "\u1000-\u102a\u103f-\u1055\u1780-\u17b3\u17e0-\u17e9"  # Burmese, Khmer
    "\u3005-\u3007\u3031-\u3035\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fc-\u30ff"  # kana
    "\u31f0-\u31ff\uff66-\uff9d\u3105-\u312f"
    "\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han
    "\uac00-\ud7a3\uffa1-\uffdc"  # Hangul
)
_MARKS = (
    "\u0e31\u0e34-\u0e3a\u0e47-\u0e4e\u0eb1\u0eb4-\u0ebc\u0ec8-\u0ecd"
    "\u102b-\u103e\u1056-\u1059\u17b4-\u17d3\u3099\u309a\uff9e\uff9f\u0300-\u036f"
)
_SYLLABLE = "[\u1100-\u115f][\u1160-\u11a7]+[\u11a8-\u11ff]*"
_CLUSTER = f"(?:{_SYLLABLE}|[{_BASE}])[{_MARKS}]*"

Token = tuple[int, int, str] | tuple[int, int, str, str]
"""First byte, byte behind the last, and one or two words at this place."""
Tokenize = Callable[[bytes, int, str | None], Iterable[Token]]


@cache  # to compile sets so large takes longer than to open a file
def clusters() -> re.Pattern[str]:
    """Finds a character of a script without spaces, with the marks behind it."""
    return re.compile(_CLUSTER)


@cache
def runs() -> re.Pattern[str]:
    """Finds the parts of a text in such scripts."""
    return re.compile(f"(?:{_CLUSTER})+")


def register(connection: apsw.Connection) -> None:
    """Register the tokenizer in a connection; every connection that touches an index with it needs
    this.
    """
    connection.register_fts5_tokenizer(TOKENIZER, _make)


def _make(connection: apsw.Connection, _: Sequence[str]) -> Tokenize:
    words: Tokenize = connection.fts5_tokenizer("unicode61", ["remove_diacritics", "2"])  # type: ignore[assignment] # with offsets, as is its default

    def tokenize(utf8: bytes, flags: int, locale: str | None) -> Iterable[Token]:
        if utf8.isascii():
            yield from words(utf8, flags, locale)
            return
        text = utf8.decode("utf-8", "replace")
        # Highlighting splits a document again, and has to count as the index did.
        with_singles = not flags & apsw.FTS5_TOKENIZE_QUERY
        done = place = 0
        for run in runs().finditer(text):
            between = text[done : run.start()].encode()
            yield from _moved(words(between, flags, locale), place)
            place += len(between)
            yield from _pairs(run[0], place, with_singles=with_singles)
            place += len(run[0].encode())
            done = run.end()
        yield from _moved(words(text[done:].encode(), flags, locale), place)

    return tokenize


def _moved(tokens: Iterable[Token], place: int) -> Iterable[Token]:
    for start, end, *words in tokens:
        yield place + start, place + end, words[0]


def _pairs(run: str, place: int, *, with_singles: bool) -> Iterable[Token]:
    found = clusters().findall(run)
    folded = [unicodedata.normalize("NFKC", cluster) for cluster in found]
    ends = []
    end = place
    for cluster in found:
        end += len(cluster.encode())
        ends.append(end)
    starts = [place, *ends]
    for number in range(len(folded) - 1):
        pair = folded[number] + folded[number + 1]
        if with_singles:
            yield starts[number], ends[number + 1], pair, folded[number]
        else:
            yield starts[number], ends[number + 1], pair
    if with_singles or len(folded) == 1:
        yield starts[-2], ends[-1], folded[-1]
