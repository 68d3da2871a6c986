"""Limits on the number of values in a body, checked before it is decoded.

The decoder makes its objects in one go, during which nothing else runs, and they are freed in one
go too: for ten megabytes of `[],` that takes a quarter of a second. So the values are counted
first, a piece of the text at a time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Iterable
from itertools import count

from buntime_host import HttpError
from buntime_host.http.rest import rest

MOST_VALUES = 500_000
"""Values and members of one body: a body of the largest size has fewer, unless they are tiny."""

MOST_STATEMENTS = 10_000
"""Statements of one request; requests of a pipeline, steps of a batch and rows count as such."""

MOST_ARGUMENTS = 32_766
"""Arguments of one statement: SQLite has no more parameters."""

STATEMENTS_INLINE = 100
"""The arguments of more statements than these are looked at in a thread."""

SMALL_BYTES = 64 * 1024
"""Bodies up to this size are not counted."""

PIECE_BYTES = 64 * 1024
PIECES_AT_ONCE = 3
"""Pieces that are counted, a millisecond each, before the threads get their turn."""


class TooMuch(HttpError):
    """A body holds more than it may, of whatever kind."""

    status = 413
    code = "TOO_MANY_VALUES"


async def check_values(body: bytes | str) -> None:
    """Raise `TooMuch` for a body of too many values; others have their turns meanwhile."""
    if len(body) <= SMALL_BYTES:
        return
    if isinstance(body, str):
        body = body.encode(errors="replace")  # the decoder reports what is wrong with it
    number = 0
    for piece, more in zip(count(1), values_in(body), strict=False):
        number += more
        if number > MOST_VALUES:
            raise TooMuch(
                f"The body holds more than {MOST_VALUES} values and members: send them in parts"
            )
        await (asyncio.sleep(0) if piece % PIECES_AT_ONCE else rest())


def check_statements(number: int) -> None:
    """Raise `TooMuch` for too many statements."""
    if number > MOST_STATEMENTS:
        raise TooMuch(
            f"{number} statements in one request, which are more than {MOST_STATEMENTS}:"
            " send them in parts"
        )


def check_arguments(numbers: Iterable[int]) -> None:
    """Raise `TooMuch` for too many arguments of a statement, given how many each has."""
    most = max(numbers, default=0)
    if most > MOST_ARGUMENTS:
        raise TooMuch(f"A statement has {most} arguments, which are more than {MOST_ARGUMENTS}")


def values_in(body: bytes) -> Generator[int, None, None]:
    """The number of characters that separate or begin values in each piece of a JSON text: commas
    and opening brackets.
    """
    start = 0
    in_string = False
    while start < len(body):
        piece = body[start : start + PIECE_BYTES]
        if (len(piece) - len(piece.rstrip(b"\\"))) % 2 and start + len(piece) < len(body):
            piece = piece[:-1]  # what this one escapes is in the next piece
        start += len(piece)
        parts = piece.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        outside = b"".join(parts[in_string::2])
        in_string ^= len(parts) % 2 == 0
        yield outside.count(b",") + outside.count(b"[") + outside.count(b"{")
