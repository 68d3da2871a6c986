"""The data that every contender holds while it is measured."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any, TypeAlias

Key: TypeAlias = list[str | int]

SMALL = 10_000
LARGE = 90_000
COUNTERS = 1_000
GROUPS = 100
"""Every group has `SMALL / GROUPS` members among the small ones."""

ALL_PREFIX: Key = ["bench"]
SMALL_PREFIX: Key = ["bench", "small"]
LARGE_PREFIX: Key = ["bench", "large"]
WRITTEN_PREFIX: Key = ["written"]
COUNTER_PREFIX: Key = ["counter"]


def value_of(number: int) -> dict[str, Any]:
    """The value of an entry: about 50 bytes of JSON."""
    return {"name": f"user {number}", "group": number % GROUPS, "active": number % 3 == 0}


def entries() -> Iterator[tuple[Key, dict[str, Any]]]:
    """All entries, `SMALL + LARGE` of them, below `ALL_PREFIX`."""
    for prefix, size in ((SMALL_PREFIX, SMALL), (LARGE_PREFIX, LARGE)):
        for number in range(size):
            yield [*prefix, number], value_of(number)


def chunks(size: int) -> Iterator[list[tuple[Key, dict[str, Any]]]]:
    """All entries, `size` at a time."""
    source = entries()
    while chunk := list(islice(source, size)):
        yield chunk
