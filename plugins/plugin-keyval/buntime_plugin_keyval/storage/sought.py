"""Which texts of a query an index's tokenizer can find, and warnings about the others."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from unicodedata import ucd_3_2_0

_MIN_TRIGRAM = 3


@cache  # compiling so large a set takes a hundredth of the time to open a file
def _unspaced() -> re.Pattern[str]:
    """Matches Chinese, Japanese, Thai, Lao, Burmese and Khmer. Korean has spaces."""
    return re.compile(
        "[\u0e01-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u30ff\u31f0-\u31ff\u3400-\u9fff"
        "\uf900-\ufaff\uff66-\uff9d\U00020000-\U0003ffff]"
    )


class Sought:
    """Tells what one tokenizer can find, and remembers texts that it cannot."""

    def __init__(self, tokenize: str) -> None:
        self._tokenize = tokenize
        self._finds = _FINDS[tokenize]
        self._short: dict[str, None] = {}
        self._unspaced: dict[str, None] = {}

    def can_find(self, text: str) -> bool:
        """Whether the tokenizer may find a word in a text."""
        if not self._finds(text):
            if self._tokenize == "trigram" and _finds_words(text):
                self._short[text] = None
            return False
        if self._tokenize not in ("trigram", "cjk") and _unspaced().search(text):
            self._unspaced[text] = None
        return True

    def warnings(self) -> tuple[str, ...]:
        """Warnings for the caller."""
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
    """Whether `unicode61` may find a word: a letter, a digit, or a private-use character.

    Its Unicode is older than Python's, and it takes unknown characters for letters. So this uses
    the categories of an old Unicode, and returns True for characters that have changed since.
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
