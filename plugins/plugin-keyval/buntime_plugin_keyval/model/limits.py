"""Limits of what a request may cost; each has an option of its name."""

from __future__ import annotations

from typing import Annotated

from buntime_host import Duration, Options, Size, option
from buntime_keyval.wire import InvalidInput

LEAST_ANSWER_BYTES = 12 * 1024 * 1024
"""The least limit for answers: any one entry fits, with its key and metadata."""


class Limits(Options, frozen=True):
    """The section `limits` of the options."""

    mutations: Annotated[int, option("Mutations and checks of one commit, in total", least=1)] = (
        10_000
    )
    commit_bytes: Annotated[
        Size, option("Bytes of values that one commit may read, and bytes it may write")
    ] = Size("32mb")
    conditions: Annotated[
        int, option("Conditions of a filter", "At most 1000", least=1, most=1000)
    ] = 1000
    stamps: Annotated[int, option("Versionstamps in the answer to a poll of a prefix", least=1)] = (
        50_000
    )
    request_bytes: Annotated[
        Size, option("JSON body of a request, not counting the values in it")
    ] = Size("2mb")
    request_time: Annotated[
        Duration,
        option(
            "How long a request without a bound on what it reads may take",
            doc="how long a read may take that has no bound on the entries it looks at: a count, or"
            " a list with a filter",
            least=1,
        ),
    ] = Duration("10s")
    answer_bytes: Annotated[
        Size,
        option(
            "Size of one answer; pages end before it, an answer without pages is refused",
            "At least 12mb, so that any entry fits",
            doc="size of one answer; pages end before it, an answer without pages is refused. At"
            " least `12mb`, so that any entry fits",
            least=LEAST_ANSWER_BYTES,
        ),
    ] = Size("16mb")
    indexes: Annotated[int, option("Number of full-text indexes", least=1)] = 64


DEFAULT_LIMITS = Limits()


def check_key(key: bytes, most: int | None) -> None:
    """Raise `InvalidInput` for a key with more than `most` bytes; None allows any.

    For keys that are written; reads of longer keys just find nothing.
    """
    if most is not None and len(key) > most:
        raise InvalidInput(
            f"Key too long for this database: {len(key)} bytes in its binary form (max {most}). "
            "Use shorter parts, or fewer"
        )
