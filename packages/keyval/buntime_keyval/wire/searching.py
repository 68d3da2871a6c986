"""What a search may be asked for besides its query."""

from __future__ import annotations

import math
from collections.abc import Mapping

from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.errors import InvalidInput

DEFAULT_MARKS = ("<mark>", "</mark>")
DEFAULT_SNIPPET_WORDS = 16
MAX_SNIPPET_WORDS = 64


def parse_weights(raw: object) -> dict[str, float]:
    """Weights by field. Raises `InvalidInput`."""
    if raw is None:
        return {}
    if not isinstance(raw, Mapping):
        raise InvalidInput(f"weights must be an object, received {describe(raw)}")
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
                f"weights.{field} must be a number that is not negative, received "
                f"{describe(weight)}"
            )
        weights[str(field)] = number
    return weights


def parse_marks(raw: object) -> tuple[str, str] | None:
    """The texts around a hit: `true` for the usual ones, or a pair. Raises `InvalidInput`."""
    if raw is None or raw is False:
        return None
    if raw is True:
        return DEFAULT_MARKS
    if isinstance(raw, (list, tuple)) and len(raw) == 2:
        before, after = raw
        if isinstance(before, str) and isinstance(after, str):
            return before, after
    raise InvalidInput(f"highlight must be true or a pair of texts, received {describe(raw)}")


def parse_snippet(raw: object) -> int | None:
    """The words of an extract: `true` for the usual number. Raises `InvalidInput`."""
    if raw is None or raw is False:
        return None
    if raw is True:
        return DEFAULT_SNIPPET_WORDS
    if isinstance(raw, int) and 1 <= raw <= MAX_SNIPPET_WORDS:
        return raw
    raise InvalidInput(
        f"snippet must be true or a number of words up to {MAX_SNIPPET_WORDS}, received "
        f"{describe(raw)}"
    )
