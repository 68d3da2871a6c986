"""Which texts of a query the tokenizer of an index can look for, and what is said of others."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from unicodedata import ucd_3_2_0

_MIN_TRIGRAM = 3


@cache  # to compile a set so large takes a hundredth of the time to open a file
def _unspaced() -> re.Pattern[str]:
    """Finds Chinese, Japanese, Thai, Lao, Burmese, Khmer. Korean has spaces."""
    return re.compile(
        "[\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u31f0-\u31ff\u3400-\u9fff"
        "\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff]"
    )


class Sought:
    """Knows what one tokenizer finds, and remembers what it was asked for and does not."""

    def __init__(self, tokenize: str) -> None:
        self._tokenize = tokenize
        self._finds = _FINDS[tokenize]
        self._short: dict[str, None] = {}
        self._unspaced: dict[str, None] = {}

    def can_find(self, text: str) -> bool:
        """Whether there may be a word in a text."""
        if not self._finds(text):
            if self._tokenize == "trigram" and _finds_words(text):
                self._short[text] = None
            return False
        if self._tokenize not in ("trigram", "cjk") and _unspaced().search(text):
            self._unspaced[text] = None
        return True

    def warnings(self) -> tuple[str, ...]:
        """What the caller should know, in words."""
        found = []
        if self._short:
            found.append(
                f"{_quoted(self._short)}: left out, since the tokenizer trigram finds nothing of"
                f" less than {_MIN_TRIGRAM} characters"
            )
        if self._unspaced:
            found.append(
                f"{_quoted(self._unspaced)}: looked for as a whole, since the tokenizer"
                f" {self._tokenize} does not divide text without spaces; cjk does"
            )
        return tuple(found)


def _quoted(texts: Mapping[str, None]) -> str:
    return ", ".join(f'"{text}"' for text in list(texts)[:5])


def _finds_words(text: str) -> bool:
    """Whether `unicode61` may find a word: it wants a letter, a digit, or a private character.

    It knows Unicode less well than Python, and takes what it does not know for letters. So this
    asks for the categories of an old Unicode, and says yes to what has changed since.
    """
    return any(_is_word_character(char) for char in text)


def _is_word_character(char: str) -> bool:
    if char.isascii():
        return char.isalnum()
    category = ucd_3_2_0.category(char)
    return category[0] in "LN" or category in ("Co", "Cn", "Sk", "So")


def _finds_ascii(text: str) -> bool:
    return any(char.isalnum() or not char.isascii() for char in text)


def _finds_trigrams(text: str) -> bool:
    return len(text) >= _MIN_TRIGRAM


_FINDS: Mapping[str, Callable[[str], bool]] = {
    "unicode61": _finds_words,
    "porter": _finds_words,
    "ascii": _finds_ascii,
    "trigram": _finds_trigrams,
    "cjk": _finds_words,
}
