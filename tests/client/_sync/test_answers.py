# Made by scripts/unasync from _async/test_answers.py: change that one.
"""What a client sends, and what it makes of answers, without a server."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx2
import pytest
from buntime_keyval import (
    AccessDenied,
    AnswerLost,
    ConnectionLost,
    IdempotencyKeyReused,
    InvalidInput,
    InvalidResponse,
    Kv,
    KvError,
    NotFound,
    OutcomeUnknown,
    PoolExhausted,
    RateLimited,
    RequestRejected,
    RequestUnderWay,
    Retries,
    ServerFailure,
    ServerUnreachable,
    ServiceUnavailable,
    StaleLease,
    StatusError,
    TooLarge,
)
from buntime_keyval._retries import Backoff

QUICK = Retries(times=3, first_delay="1ms", max_delay="2ms")
COMMITTED = b'{"ok":true,"versionstamp":"v"}'
Answer = httpx2.Response | Exception | tuple[int, bytes]


class Script:
    """A transport that answers from a list, the last one for ever."""

    def __init__(self, *answers: Answer) -> None:
        self.answers = list(answers)
        self.requests: list[httpx2.Request] = []

    def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.requests.append(request)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        if isinstance(answer, tuple):
            return httpx2.Response(answer[0], content=answer[1])
        return answer

    def client(self, **options: Any) -> Kv:
        options = {"retries": QUICK, **options}
        transport = httpx2.MockTransport(self)
        return Kv("http://host/keyval/api/", transport=transport, **options)


def get(kv: Kv) -> Any:
    return kv.get(["a"])


def put(kv: Kv) -> Any:
    return kv.set(["a"], 1)


def listed(kv: Kv) -> Any:
    return list(kv.list())


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, RequestRejected), (401, AccessDenied), (403, AccessDenied), (404, NotFound),
        (405, NotFound), (409, StaleLease), (413, TooLarge), (414, TooLarge), (418, StatusError),
        (307, StatusError), (429, RateLimited), (500, ServerFailure), (502, ServerFailure),
        (503, ServiceUnavailable),
    ],
)  # fmt: skip
@pytest.mark.parametrize("call", [get, put])
def test_every_status_is_an_exception(
    status: int, kind: type[StatusError], call: Callable[[Kv], Any]
) -> None:
    body = b'{"error":"what happened","code":"WHY"}'
    answer = httpx2.Response(status, content=body, headers={"x-request-id": "r1"})
    with Script(answer).client(retries=0) as kv:
        with pytest.raises(KvError) as caught:
            call(kv)
    error = caught.value
    assert type(error) is kind
    assert (error.status, error.code, error.request_id) == (status, "WHY", "r1")
    assert str(error) == f"what happened ({status}, WHY, request r1)"


@pytest.mark.parametrize(
    "body",
    [b"<html>", b"", b"[]", b'{"ok":"yes"}', b"\xff", b'{"key":1}', b'{"key":' + b"[" * 100_000],
    ids=range(7),
)
@pytest.mark.parametrize("call", [get, put])
def test_a_success_that_makes_no_sense_is_an_error(body: bytes, call: Callable[[Kv], Any]) -> None:
    with Script((200, body)).client() as kv:
        with pytest.raises(InvalidResponse, match="KeyVal server"):
            call(kv)


def test_a_missing_key_is_told_from_a_wrong_address() -> None:
    with Script((404, b'{"error":"Key not found"}')).client() as kv:
        assert not (kv.get(["a"])).exists
    with Script((404, b'{"error":"Not found"}')).client() as kv:
        with pytest.raises(NotFound):
            kv.get(["a"])
    with Script((404, b"")).client() as kv:
        with pytest.raises(NotFound, match="no KeyVal API at"):
            kv.dlq.get("x")


@pytest.mark.parametrize(
    ("failure", "times", "polls", "read_error", "write_error"),
    [
        (httpx2.ConnectError("refused"), 4, 4, ServerUnreachable, ServerUnreachable),
        (httpx2.ConnectTimeout("slow"), 4, 4, ServerUnreachable, ServerUnreachable),
        (httpx2.PoolTimeout("busy"), 1, 1, PoolExhausted, PoolExhausted),
        (httpx2.ReadError("reset"), 4, 1, ConnectionLost, OutcomeUnknown),
        (httpx2.ReadTimeout("slow"), 4, 1, ConnectionLost, OutcomeUnknown),
        (httpx2.WriteError("reset"), 4, 1, ConnectionLost, OutcomeUnknown),
        (httpx2.RemoteProtocolError("gone"), 4, 1, ConnectionLost, OutcomeUnknown),
        ((503, b'{"error":"x","code":"KEYVAL_DB_DOWN"}'), 4, 4, KvError, KvError),
        (
            (503, b'{"error":"x","code":"KEYVAL_OUTCOME_UNKNOWN"}'),
            4, 1, OutcomeUnknown, OutcomeUnknown,
        ),
        (
            (409, b'{"error":"x","code":"KEYVAL_REQUEST_UNDER_WAY"}'),
            4, 4, RequestUnderWay, RequestUnderWay,
        ),
        (
            (422, b'{"error":"x","code":"KEYVAL_IDEMPOTENCY_KEY_REUSED"}'),
            1, 1, IdempotencyKeyReused, IdempotencyKeyReused,
        ),
        ((503, b"busy"), 4, 1, KvError, KvError),
        ((429, b"slower"), 4, 4, KvError, KvError),
        ((429, b'{"error":"x","code":"TOO_MANY_ANSWERS"}'), 4, 1, AnswerLost, AnswerLost),
        ((503, b'{"error":"x","code":"TOO_MANY_ANSWERS"}'), 4, 1, AnswerLost, AnswerLost),
        ((502, b""), 4, 1, KvError, KvError),
        ((504, b""), 4, 1, KvError, KvError),
        ((500, b""), 1, 1, KvError, KvError),
        ((400, b""), 1, 1, KvError, KvError),
    ],
)  # fmt: skip
def test_what_is_sent_again(
    failure: Any, times: int, polls: int, read_error: type[KvError], write_error: type[KvError]
) -> None:
    """A write is, since it carries a key; a poll would take another message."""
    reads: list[Call] = [get, lambda kv: kv.get([True]), listed]
    writes: list[Call] = [
        put,
        lambda kv: kv.delete(["a"]),
        lambda kv: kv.atomic().sum(["a"], 1).commit(),
        lambda kv: kv.enqueue(1),
        lambda kv: kv.nack_message("x"),
        lambda kv: kv.dlq.requeue("x"),
        lambda kv: kv.dlq.purge(),
    ]
    for call in reads:
        _expect(call, failure, times, read_error)
    for call in writes:
        sent = _expect(call, failure, times, write_error)
        keys = {request.headers["idempotency-key"] for request in sent}
        assert len(keys) == 1
        assert len({request.headers["x-request-id"] for request in sent}) == times
    sent = _expect(lambda kv: kv.dequeue(), failure, polls, write_error)
    assert "idempotency-key" not in sent[0].headers
    _expect(lambda kv: kv.ack_message("x"), failure, times, read_error)


Call = Callable[[Kv], Any]


def _expect(
    call: Call, failure: Any, times: int, kind: type[KvError], **options: Any
) -> list[httpx2.Request]:
    script = Script(failure)
    with script.client(**options) as kv:
        with pytest.raises(kind):
            call(kv)
    assert len(script.requests) == times
    return script.requests


@pytest.mark.parametrize(
    ("later", "kind"),
    [
        (httpx2.ConnectError("refused"), OutcomeUnknown),
        ((503, b'{"error":"x","code":"KEYVAL_DB_DOWN"}'), OutcomeUnknown),
        ((409, b'{"error":"x","code":"KEYVAL_REQUEST_UNDER_WAY"}'), OutcomeUnknown),
        ((429, b""), OutcomeUnknown),
        ((403, b""), OutcomeUnknown),
        ((500, b""), OutcomeUnknown),
        ((409, b'{"error":"x","code":"STALE_LEASE"}'), StaleLease),
        ((400, b'{"error":"x"}'), RequestRejected),
        ((503, b'{"error":"x","code":"TOO_MANY_ANSWERS"}'), AnswerLost),
    ],
)
def test_a_later_failure_says_nothing_about_an_unknown_outcome(
    later: Any, kind: type[KvError]
) -> None:
    """That the last attempt was not carried out does not mean that the first one was not."""
    with Script(httpx2.ReadError("reset"), later).client() as kv:
        with pytest.raises(kind):
            put(kv)
    with Script((200, COMMITTED), later).client() as kv:
        put(kv)


def test_without_retries_there_is_no_key_but_that_of_the_caller() -> None:
    (sent,) = _expect(put, httpx2.ReadError("reset"), 1, OutcomeUnknown, retries=0)
    assert "idempotency-key" not in sent.headers
    script = Script((200, COMMITTED))
    with script.client(retries=0) as kv:
        kv.set(["a"], 1, idempotency_key="mine")
    assert script.requests[0].headers["idempotency-key"] == "mine"


def test_later_keys_come_behind_earlier_ones() -> None:
    """The server's index keeps them together then."""
    script = Script(*[(200, COMMITTED)] * 9)
    with script.client() as kv:
        for _ in range(9):
            put(kv)
    keys = [request.headers["idempotency-key"] for request in script.requests]
    assert len(set(keys)) == len(keys) == 9
    assert [key[:16] for key in keys] == sorted(key[:16] for key in keys)


@pytest.mark.parametrize("key", ["", "a b", "ä", "x" * 256, "new\nline", 5])
def test_a_key_is_checked_before_anything_is_sent(key: Any) -> None:
    script = Script((200, COMMITTED))
    with script.client() as kv:
        for call in (
            lambda: kv.set(["a"], 1, idempotency_key=key),
            lambda: kv.atomic().sum(["a"], 1).commit(idempotency_key=key),
            lambda: kv.delete([], everything=True, idempotency_key="fine"),
        ):
            with pytest.raises(InvalidInput, match="idempotency key"):
                call()
    assert not script.requests


def test_a_write_goes_through_once_the_server_is_back() -> None:
    script = Script(httpx2.ConnectError("refused"), (200, COMMITTED))
    with script.client() as kv:
        assert (put(kv)).versionstamp == "v"
    assert len(script.requests) == 2


def test_a_server_that_is_not_there_is_named_without_secrets() -> None:
    with Kv("http://ada:secret@127.0.0.1:1/keyval/api", retries=0) as kv:
        assert repr(kv) == "<Kv http://127.0.0.1:1/keyval/api>"
        with pytest.raises(ServerUnreachable, match=r"to http://127\.0\.0\.1:1: ") as caught:
            get(kv)
    assert "secret" not in str(caught.value)


def test_what_makes_a_value_is_a_function() -> None:
    script = Script((200, COMMITTED))
    with script.client() as kv:
        with pytest.raises(InvalidInput, match=r"`lambda: 9`.* received one of type int"):
            kv.get_or_set(["a"], 9)  # type: ignore[arg-type] # as somebody may do
    assert not script.requests


def test_results_that_were_not_asked_for() -> None:
    with Script((200, COMMITTED)).client() as kv:
        result = kv.atomic().sum(["a"], 1).commit()
    assert [*result.results] == []
    assert "results=True" in repr(result)
    with pytest.raises(IndexError, match=r"commit\(results=True\)"):
        result.results[0]


def test_the_server_may_ask_to_wait_but_not_for_ever() -> None:
    for asked, times in (("0", 4), ("3600", 1), ("Wed, 21 Oct", 4)):
        body = b'{"error":"x","code":"TOO_MANY_ANSWERS"}'  # of a request that changes nothing
        script = Script(httpx2.Response(429, content=body, headers={"retry-after": asked}))
        with script.client() as kv:
            with pytest.raises(RateLimited):
                get(kv)
        assert len(script.requests) == times


def test_pauses_grow_are_bounded_and_differ() -> None:
    backoff = Backoff(0.1, 1.0)
    pauses = [backoff.next() for _ in range(50)]
    for number, pause in enumerate(pauses):
        whole = min(1.0, 0.1 * 2**number)
        assert whole / 2 <= pause <= whole
    assert len(set(pauses)) > 40
    backoff.reset()
    assert backoff.next() <= 0.1


def test_headers_and_token() -> None:
    script = Script((200, COMMITTED))
    with script.client(token="secret", headers={"x-tenant": "a"}) as kv:
        put(kv)
        put(kv)
    first, second = (request.headers for request in script.requests)
    assert first["authorization"] == "Bearer secret"
    assert first["x-tenant"] == "a"
    assert first["content-type"] == "application/json"
    assert first["x-request-id"] != second["x-request-id"]
    assert str(script.requests[0].url) == "http://host/keyval/api/keys/a"


@pytest.mark.parametrize(
    "url",
    ["", "/keyval/api", "host:80", "ftp://host", "http://h/?a=b", "http://h/keyval/api/keys/"],
)
def test_the_address_has_to_be_absolute(url: str) -> None:
    with pytest.raises(InvalidInput, match="base_url"):
        Kv(url)


@pytest.mark.parametrize(
    "options", [{"timeout": "soon"}, {"idle_timeout": -1}, {"max_connections": 0}]
)
def test_options_are_checked(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput):
        Kv("http://host", **options)


def test_paths_and_queries_are_encoded_once() -> None:
    script = Script((200, b'{"count":1}'))
    with script.client() as kv:
        kv.count(["a b", "é", 1])
    # One encoding for segments, one for the query: the server decodes once for each.
    assert (
        script.requests[0].url.raw_path == b"/keyval/api/keys/count?prefix=a%2520b%2F%25C3%25A9%2F1"
    )


def test_long_keys_do_not_make_long_urls() -> None:
    key = ["é" * 1000, "x" * 1000]
    answer = json.dumps([{"key": key, "value": 1, "versionstamp": "v"}])
    script = Script((200, answer.encode()))
    with script.client() as kv:
        kv.get(key)
    assert script.requests[0].method == "POST"
    assert len(script.requests[0].url.raw_path) < 100
