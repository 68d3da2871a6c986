"""What a search may be asked for besides its query."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import NamedTuple

from buntime_keyval.wire.describe import Describe, describe
from buntime_keyval.wire.errors import InvalidInput

DEFAULT_MARKS = ("<mark>", "</mark>")
DEFAULT_SNIPPET_WORDS = 16
MAX_SNIPPET_WORDS = 64
ESCAPES = ("html",)

TOKENIZERS = ("unicode61", "porter", "ascii", "trigram", "cjk")
"""How an index takes a text for words."""


class HitMarks(NamedTuple):
    """How hits are shown in the texts around them."""

    before: str
    after: str
    escape: str | None = None
    """`html`: the texts become HTML, apart from the two marks, which stay as they are."""


def parse_weights(raw: object, shown: Describe = describe) -> dict[str, float]:
    """Weights by field. Raises `InvalidInput`, with values as `shown` writes them."""
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        raise InvalidInput(f"weights must be an object, received {shown(raw)}")
    weights = {}
    for field, weight in raw.items():
        number = math.nan
        if isinstance(weight, (int, float)) and not isinstance(weight, bool):
            try:
                number = float(weight)
            except OverflowError:
                number = math.inf
        if not 0 <= number < math.inf:
            raise InvalidInput(
                f"weights.{field} must be a number that is not negative, received {shown(weight)}"
            )
        weights[str(field)] = number
    return weights


def parse_marks(raw: object, shown: Describe = describe) -> HitMarks | None:
    """The texts around a hit: `true` for the usual ones, or a pair, or an object with both.

    The object has `marks`, true or a pair, and `escape`. Raises `InvalidInput` as `parse_weights`.
    """
    if raw is None or raw is False:
        return None
    if raw is True:
        return HitMarks(*DEFAULT_MARKS)
    if isinstance(raw, (list, tuple)) and len(raw) == 2:
        before, after = raw
        if isinstance(before, str) and isinstance(after, str):
            return HitMarks(before, after)
    if isinstance(raw, Mapping):
        return _marks_of_object(raw, shown)
    raise InvalidInput(
        "highlight must be true, a pair of texts, or an object with marks and escape, received "
        f"{shown(raw)}"
    )


def raw_marks(marks: HitMarks | None) -> object:
    """The JSON form of marks."""
    if marks is None:
        return None
    pair = [marks.before, marks.after]
    return pair if marks.escape is None else {"marks": pair, "escape": marks.escape}


def _marks_of_object(raw: Mapping[object, object], shown: Describe) -> HitMarks:
    for name in raw:
        if name not in ("marks", "escape"):
            raise InvalidInput(f"Unknown parameter: 'highlight.{name}' (one of marks, escape)")
    escape = raw.get("escape")
    if escape not in (None, *ESCAPES):
        raise InvalidInput(
            f"highlight.escape must be {' or '.join(ESCAPES)}, received {shown(escape)}"
        )
    pair = raw.get("marks", True)
    marks = parse_marks(pair, shown) if not isinstance(pair, Mapping) else None
    if marks is None:
        raise InvalidInput(
            f"highlight.marks must be true or a pair of texts, received {shown(pair)}"
        )
    return marks._replace(escape=escape)


def parse_snippet(raw: object, shown: Describe = describe) -> int | None:
    """The words of an extract: `true` for the usual number. Raises as `parse_weights`."""
    if raw is None or raw is False:
        return None
    if raw is True:
        return DEFAULT_SNIPPET_WORDS
    if isinstance(raw, int) and 1 <= raw <= MAX_SNIPPET_WORDS:
        return raw
    raise InvalidInput(
        f"snippet must be true or a number of words up to {MAX_SNIPPET_WORDS}, received "
        f"{shown(raw)}"
    )
