"""Reading keys in batches of any number: the same as each by itself."""

from __future__ import annotations

from typing import Any

import pytest
from support.api import Api

pytestmark = pytest.mark.engines("sqlite", "libsql")

LONGEST_SHORT = "x" * (8 * 1024 - 2)
"""With its quotes, the longest value that is read with others on the event loop."""
VALUES: list[Any] = [1, "\x1e0\x1e \x1f", {"a": [None, "é"]}, "x" * 800, LONGEST_SHORT]
TOO_LONG = LONGEST_SHORT + "x"


def entry(api: Api, key: list[Any], shape: dict[str, bool]) -> Any:
    (found,) = api.json("POST", "/keys/batch", {"keys": [key], **shape})
    return found


@pytest.mark.parametrize("number", [1, 10, 16, 17, 33, 128, 129])
@pytest.mark.parametrize("shape", [{}, {"values": False}, {"details": True}])
@pytest.mark.parametrize("values", [VALUES, [*VALUES, TOO_LONG]])
def test_a_batch(api: Api, number: int, shape: dict[str, bool], values: list[Any]) -> None:
    for index, value in enumerate(values):
        api.put(f"b/{index}", value)
    known = {index: entry(api, ["b", index], shape) for index in range(len(values) + 1)}
    assert [index for index in known if known[index]["versionstamp"] is None] == [len(values)]
    if shape.get("values", True):
        assert [known[index]["value"] for index in known] == [*values, None]
    # Each several times, and one that is missing; the last of the values comes first.
    order = [(len(values) - 1 - place) % len(known) for place in range(number)]
    found = api.json("POST", "/keys/batch", {"keys": [["b", index] for index in order], **shape})
    assert found == [known[index] for index in order]
