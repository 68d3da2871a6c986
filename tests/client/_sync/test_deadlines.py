# Made by scripts/unasync from _async/test_deadlines.py: change that one.
"""How long one call may take in all, whatever its attempts, pauses and answers take."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from buntime_keyval import (
    ConnectionLost,
    InvalidInput,
    Kv,
    OutcomeUnknown,
    PoolExhausted,
    Retries,
    ServerUnreachable,
    ServiceUnavailable,
)
from client._sync.beside import together
from client.hostile import Client, always, answer, hostile
from support.waiting import PATIENCE

MANY = Retries(times=10_000, first_delay=1, max_delay=2)
PATIENT: dict[str, Any] = {"timeout": "1m", "connect_timeout": "1m"}
BUSY = b'{"error":"later","code":"KEYVAL_UNAVAILABLE"}'
LATE = "in time|too long"
"""The latter if a busy machine did not even connect."""
MEGABYTE = 1024 * 1024


def silent(connection: Client) -> None:
    while connection.request() is not None:
        pass


def test_a_server_that_says_nothing() -> None:
    with hostile(silent) as server:
        with Kv(server.url, deadline="200ms", retries=MANY, **PATIENT) as kv:
            with pytest.raises((ConnectionLost, ServerUnreachable), match=LATE):
                kv.get(["a"])
            with pytest.raises((OutcomeUnknown, ServerUnreachable), match=LATE):
                kv.set(["a"], 1)
        assert len(server.requests) <= 2


def test_an_answer_that_never_ends() -> None:
    """Each part of it comes soon."""

    def serve(connection: Client) -> None:
        if connection.request() is not None:
            connection.send(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n")
            while not finish.wait(0.01):
                connection.send(b" ")

    finish = threading.Event()
    with hostile(serve) as server:
        with Kv(server.url, deadline="200ms", retries=MANY, **PATIENT) as kv:
            with pytest.raises((ConnectionLost, ServerUnreachable), match=LATE):
                kv.get(["a"])
        finish.set()


def test_a_server_that_takes_nothing() -> None:
    finish = threading.Event()
    with hostile(lambda connection: finish.wait(PATIENCE)) as server:
        with Kv(server.url, deadline="200ms", retries=MANY, **PATIENT) as kv:
            with pytest.raises((OutcomeUnknown, ServerUnreachable), match=LATE):
                kv.atomic().set(["a"], "x" * (9 * MEGABYTE)).commit()
        finish.set()


def test_no_attempt_begins_behind_it() -> None:
    with hostile(always(answer(BUSY, "503 Service Unavailable"))) as server:
        with Kv(server.url, deadline="200ms", retries=MANY) as kv:
            # The last one may be cut off by it.
            with pytest.raises((ServiceUnavailable, ConnectionLost, ServerUnreachable)):
                kv.get(["a"])
        assert 1 < len(server.requests) < MANY.times


def test_a_server_that_wants_to_be_asked_later_than_that() -> None:
    with hostile(always(answer(BUSY, "503 Service Unavailable", "retry-after: 20"))) as server:
        with Kv(server.url, deadline="10s", retries=MANY) as kv:
            with pytest.raises(ServiceUnavailable, match="later"):
                kv.get(["a"])
        assert len(server.requests) == 1


def test_waiting_for_a_connection() -> None:
    with hostile(silent) as server:
        with Kv(server.url, deadline="200ms", retries=0, max_connections=1, **PATIENT) as kv:

            def get() -> Any:
                try:
                    return kv.get(["a"])
                except (ConnectionLost, PoolExhausted, ServerUnreachable) as error:
                    return str(error)

            assert None not in together(get, get)


@pytest.mark.parametrize("coalesce", [True, False])
def test_of_many_that_begin_at_once(coalesce: bool) -> None:
    with hostile(silent) as server:
        with Kv(server.url, deadline="200ms", retries=MANY, coalesce=coalesce, **PATIENT) as kv:

            def get() -> Any:
                with pytest.raises((ConnectionLost, ServerUnreachable), match=LATE):
                    kv.get(["a"])

            def put() -> Any:
                with pytest.raises((OutcomeUnknown, ServerUnreachable), match=LATE):
                    kv.set(["a"], 1)

            together(get, get, get, put, put, put)


@pytest.mark.parametrize("name", ["timeout", "connect_timeout", "idle_timeout", "deadline"])
def test_numbers_that_look_like_seconds(name: str) -> None:
    given: dict[str, Any] = {name: 5}
    with pytest.raises(InvalidInput, match=f'{name}=5 would be 5 milliseconds: write "5s"'):
        Kv("http://host/keyval/api", **given)


@pytest.mark.parametrize("deadline", ["soon", -1])
def test_one_that_is_none(deadline: Any) -> None:
    with pytest.raises(InvalidInput):
        Kv("http://host/keyval/api", deadline=deadline)
