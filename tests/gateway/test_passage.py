"""The way of a request through the gateway, without a server."""

from __future__ import annotations

from typing import Any

from buntime_host import Answer, Companion, DirectRequest, Workers, read_options
from buntime_host.http.direct import RepeatedHeaders, pairs_of
from buntime_plugin_gateway.addresses import Addresses
from buntime_plugin_gateway.config import GatewayConfig
from buntime_plugin_gateway.cors import CorsPolicy
from buntime_plugin_gateway.limits.limiter import Limiter
from buntime_plugin_gateway.parts import Parts
from buntime_plugin_gateway.passage import GatewayPassage
from buntime_plugin_gateway.request_log import RequestLog
from gateway.conftest import request_of

PAGE, OTHER = "https://page.example", "https://other.example"


def gateway_of(**options: Any) -> tuple[GatewayPassage, RequestLog]:
    config = read_options(GatewayConfig, options)
    log = RequestLog(config.log_size, Workers.alone())
    limits = config.rate_limit
    parts = Parts(
        log=log,
        limiter=None if limits is None else Limiter(limits, Workers.alone()),
        cors=None if config.cors is None else CorsPolicy(config.cors),
    )
    addresses = Addresses(lambda peer: str(peer["client"][0]))
    return GatewayPassage(addresses, parts, log_all=config.log_all), log


def answered(gateway: GatewayPassage, request: DirectRequest, status: int = 200) -> Answer:
    """What a request is answered for which a plugin says this."""
    arrival = gateway.arrives(request)
    if isinstance(arrival, Answer):
        return arrival
    own = ((b"access-control-allow-origin", b"*"), (b"x-own", b"1"))
    answer = Answer(status, "{}", headers=own, tag="t", lines=b"x-line: 1\r\n")
    if arrival is None:
        return answer
    seen = arrival.answered(answer)
    assert isinstance(seen, Answer)
    return seen


def test_an_answer_is_that_of_the_plugin_with_the_lines_of_its_request() -> None:
    gateway, _ = gateway_of(rateLimit={"requests": 3}, cors={"origin": PAGE})
    request = request_of("/x", ("origin", PAGE))
    answer = answered(gateway, request, status=201)
    assert (answer.status, answer.body, answer.tag) == (201, "{}", "t")
    assert answer.lines == b"x-line: 1\r\n"
    told = dict(pairs_of(request.lines))
    assert told[b"access-control-allow-origin"] == PAGE.encode()
    assert told[b"ratelimit-remaining"] == b"2"
    assert told.keys() - {b"vary"} <= request.settled
    for headers in ((), (("origin", OTHER),)):
        request = request_of("/x", *headers)
        answered(gateway, request)
        assert b"access-control-allow-origin" in request.settled
        assert b"access-control" not in request.lines
        assert b"vary: origin\r\n" in request.lines


def test_nobody_goes_with_a_request_whose_answer_is_not_looked_at() -> None:
    gateway, _ = gateway_of(rateLimit={"requests": 3}, cors={"origin": PAGE}, logAll=False)
    request = request_of("/x", ("origin", PAGE))
    assert gateway.arrives(request) is None
    assert {b"ratelimit-remaining", b"access-control-allow-origin"} <= {
        name for name, _ in pairs_of(request.lines)
    }


def test_requests_with_the_same_headers_are_answered_like_others() -> None:
    """What they say of the client and of his page is looked up once, what is counted each time."""
    gateway, log = gateway_of(
        rateLimit={"requests": 2, "excludePaths": ["/free"]}, cors={"origin": PAGE}
    )
    by_address: dict[str, list[tuple[int, bytes | None]]] = {}
    for peer, origin in (("192.0.2.1", PAGE), ("192.0.2.2", OTHER)):
        headers = RepeatedHeaders([(b"origin", origin.encode())])
        for path in ("/a", "/b", "/free", "/c"):
            request = request_of(path, peer=peer)
            request.headers = headers
            answer = answered(gateway, request)
            told = dict(pairs_of(request.lines))
            allowed = told.get(b"access-control-allow-origin")
            by_address.setdefault(peer, []).append((answer.status, allowed))
    assert by_address == {
        "192.0.2.1": [(status, PAGE.encode()) for status in (200, 200, 200, 429)],
        "192.0.2.2": [(status, None) for status in (200, 200, 200, 429)],
    }
    assert {(it.ip, it.path) for it in log.entries()} == {
        (peer, path) for peer in by_address for path in ("/a", "/b", "/free", "/c")
    }


def test_without_cors_a_plugin_says_for_itself() -> None:
    gateway, _ = gateway_of()
    request = request_of("/x", ("origin", PAGE))
    answered(gateway, request)
    assert (request.lines, request.settled) == (b"", frozenset())


def test_without_a_limit_a_plugin_says_what_its_own_is() -> None:
    """As a proxied one does, whose answers come through unchanged."""
    gateway, _ = gateway_of(rateLimit={"requests": 3, "excludePaths": ["/free"]})
    for path, settled in (("/free", False), ("/x", True)):
        request = request_of(path)
        answered(gateway, request)
        assert (b"ratelimit-limit" in request.settled) is settled
        assert (b"ratelimit-limit" in request.lines) is settled


def test_10_each_request_is_noted_with_its_answer() -> None:
    gateway, log = gateway_of(rateLimit={"requests": 1}, logSize=3)
    for number, status in enumerate((200, 404, 200, 503)):
        answered(gateway, request_of(f"/{number}", peer=f"192.0.2.{number}"), status)
    answered(gateway, request_of("/again", peer="192.0.2.3"))
    noted = [(it.path, it.ip, it.status, it.limited) for it in log.entries()]
    assert noted == [
        ("/again", "192.0.2.3", 429, True),
        ("/3", "192.0.2.3", 503, False),
        ("/2", "192.0.2.2", 200, False),
    ]
    assert all(it.duration >= 0 for it in log.entries())


def test_10_only_what_is_refused_is_noted_if_asked() -> None:
    gateway, log = gateway_of(rateLimit={"requests": 1}, logAll=False)
    statuses = [answered(gateway, request_of(path)).status for path in ("/a", "/b")]
    assert statuses == [200, 429]
    assert [(it.path, it.status) for it in log.entries()] == [("/b", 429)]


def test_10_a_stream_is_noted_when_it_begins() -> None:
    gateway, log = gateway_of()
    arrival = gateway.arrives(request_of("/events"))
    assert isinstance(arrival, Companion)
    headers = [(b"x-own", b"1")]
    assert arrival.begun(200, headers) == headers
    assert [(it.path, it.status) for it in log.entries()] == [("/events", 200)]


def test_a_preflight_is_noted_and_counts_for_no_limit() -> None:
    gateway, log = gateway_of(rateLimit={"requests": 1}, cors={"origin": PAGE})
    asks = (("origin", PAGE), ("access-control-request-method", "PUT"))
    for _ in range(2):
        answer = gateway.preflight(request_of("/x", *asks, method="OPTIONS"))
        assert answer is not None
        assert answer.status == 204
    assert gateway.preflight(request_of("/x", method="OPTIONS")) is None
    assert [it.method for it in log.entries()] == ["OPTIONS", "OPTIONS"]
    assert answered(gateway, request_of("/x")).status == 200


def test_12_the_gateway_is_limited_like_others_unless_said() -> None:
    path = "/gateway/api/stats"
    for excluded, status in (("/other", 429), ("/gateway/**", 200)):
        gateway, _ = gateway_of(rateLimit={"requests": 1, "excludePaths": excluded})
        assert answered(gateway, request_of(path)).status == 200
        assert answered(gateway, request_of(path)).status == status
