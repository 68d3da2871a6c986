"""Times to live over HTTP: spellings, and one entry that really expires."""

from __future__ import annotations

import time
from typing import Any

import pytest
from support.api import Api
from support.waiting import PATIENCE

pytestmark = pytest.mark.engines("sqlite", "libsql")


def set_and_read(api: Api, **options: Any) -> tuple[Any, Any]:
    """The value just after a PUT and an atomic set with these options."""
    api.json("PUT", "/keys/put", 1, query=options)
    api.mutate({"type": "set", "key": ["atomic"], "value": 1, **options})
    return api.value("put"), api.value("atomic")


@pytest.mark.parametrize("name", ["expiresIn", "expireIn"])
@pytest.mark.parametrize("life", ["1h", "90 minutes", "5000", "1.5d", "10000000 years"])
def test_weakness_10_durations_are_understood(api: Api, name: str, life: str) -> None:
    assert set_and_read(api, **{name: life}) == (1, 1)


@pytest.mark.parametrize("life", [5000, 2147483648, 1e15, 5000.5, 2**60])
def test_any_number_of_milliseconds(api: Api, life: float) -> None:
    api.mutate({"type": "set", "key": ["a"], "value": 1, "expiresIn": life})
    assert api.value("a") == 1


def test_weakness_10_half_a_second_is_half_a_second(api: Api) -> None:
    started = time.monotonic()
    api.put("short", 1, expiresIn="500ms")
    api.put("long", 1, expiresIn="1h")
    # The entry may not go before its time; how late we look is not ours to say.
    first = api.send("GET", "/keys/short").status_code
    assert first == 200 or time.monotonic() - started >= 0.5
    deadline = time.monotonic() + PATIENCE
    while api.send("GET", "/keys/short").status_code == 200:
        assert time.monotonic() < deadline, "the entry does not expire"
        time.sleep(0.01)
    assert time.monotonic() - started >= 0.49
    assert api.keys() == [["long"]]
    assert api.json("GET", "/keys/count") == {"count": 1}
    assert api.json("DELETE", "/keys/short") == {"deletedCount": 0}
    check = {"key": ["short"], "versionstamp": None}
    assert api.json("POST", "/atomic", {"checks": [check]})["ok"] is True


def test_both_spellings_together_are_refused(api: Api) -> None:
    twice = "expiresIn is given twice: as expireIn and as expiresIn"
    assert api.error("PUT", "/keys/a?expireIn=1h&expiresIn=1h", 1) == twice
    mutation = {"type": "set", "key": ["a"], "value": 1, "expiresIn": "1h", "expireIn": "1h"}
    twice = "expiresIn is given twice: as expiresIn and as expireIn"
    assert api.error("POST", "/atomic", {"mutations": [mutation]}) == twice


@pytest.mark.parametrize("kind", ["sum", "max", "min", "append", "prepend"])
def test_every_mutation_but_delete_takes_a_life(api: Api, kind: str) -> None:
    value: Any = [1] if kind.endswith("pend") else 1
    mutation = {"type": kind, "key": ["m"], "value": value, "expiresIn": "20ms"}
    api.mutate(mutation)
    deadline = time.monotonic() + PATIENCE
    while api.send("GET", "/keys/m").status_code == 200:
        assert time.monotonic() < deadline, "the entry does not expire"
        time.sleep(0.005)
    api.error("POST", "/atomic", {"mutations": [{**mutation, "type": "delete"}]})
