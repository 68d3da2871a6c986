"""What browsers are told: the same by preflights and by answers."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_host import OptionError, read_options
from buntime_host.http.direct import pairs_of
from buntime_plugin_gateway.config import GatewayConfig
from buntime_plugin_gateway.cors import CorsPolicy
from gateway.conftest import request_of

PAGE, STRANGER = "https://page.example", "https://stranger.example"
ALLOW_ORIGIN = "access-control-allow-origin"
CREDENTIALS = "access-control-allow-credentials"


def policy(**options: Any) -> CorsPolicy:
    config = read_options(GatewayConfig, {"cors": options}).cors
    assert config is not None
    return CorsPolicy(config)


def answered(cors: CorsPolicy, origin: str | None) -> dict[str, str]:
    """The headers of a real answer."""
    lines = cors.lines(None if origin is None else origin.encode())
    return {name.decode(): value.decode() for name, value in pairs_of(lines)}


def preflighted(cors: CorsPolicy, origin: str | None, *headers: tuple[str, str]) -> dict[str, str]:
    """The headers of the answer to a preflight."""
    said = [] if origin is None else [("origin", origin)]
    asked = ("access-control-request-method", "PUT")
    answer = cors.preflight(request_of("/a", *said, asked, *headers, method="OPTIONS"))
    assert answer is not None
    assert answer.status == 204
    return {name.decode(): value.decode() for name, value in answer.all_headers(0)}


@pytest.mark.parametrize(
    ("options", "origin", "allowed", "vary"),
    [
        ({}, None, "*", False),
        ({}, PAGE, "*", False),
        ({"origin": PAGE}, PAGE, PAGE, True),
        ({"origin": PAGE}, STRANGER, None, True),
        ({"origin": PAGE}, None, None, True),
        ({"origin": f"{PAGE}, https://b.example:8443"}, "https://b.example:8443", None, True),
        ({"origin": [PAGE, "https://b.example/"]}, "https://b.example", None, True),
        ({"origin": "https://*.page.example"}, "https://a.b.page.example", None, True),
        ({"origin": "https://*.page.example"}, PAGE, "no", True),
        ({"origin": "https://*.page.example"}, "https://evil.example", "no", True),
        ({"origin": "https://*.page.example"}, "https://x.page.example.evil", "no", True),
        ({"origin": "https://*.page.example"}, "http://a.page.example", "no", True),
        ({"origin": PAGE, "credentials": True}, PAGE, PAGE, True),
    ],
)
def test_answers_and_preflights_say_the_same(
    options: dict[str, Any], origin: str | None, allowed: str | None, vary: bool
) -> None:
    """The original told pages of lists and single origins nothing but in preflights."""
    if allowed is None and origin is not None and origin != STRANGER:
        allowed = origin
    cors = policy(**options)
    for _ in range(2):
        real = answered(cors, origin)
        assert real.get(ALLOW_ORIGIN) == (None if allowed == "no" else allowed)
        assert ("vary" in real) is vary
    early = preflighted(cors, origin)
    if origin is not None:
        assert early.get(ALLOW_ORIGIN) == real.get(ALLOW_ORIGIN)
        assert early.get(CREDENTIALS) == real.get(CREDENTIALS)
    assert ("origin" in early.get("vary", "")) is vary
    assert real.get(CREDENTIALS) == ("true" if options.get("credentials") else None)


def test_all_of_our_headers_may_be_read_and_sent() -> None:
    cors = policy(origin=PAGE, exposedHeaders="x-mine", allowedHeaders=["x-yours"], maxAge=5)
    exposed = answered(cors, PAGE)["access-control-expose-headers"].split(", ")
    assert {"x-mine", "x-cache", "etag", "retry-after", "x-buntime-position"} <= {*exposed}
    assert {"x-ratelimit-remaining", "ratelimit-reset"} <= {*exposed}
    early = preflighted(cors, PAGE)
    allowed = early["access-control-allow-headers"].split(", ")
    assert {"x-yours", "last-event-id", "x-api-key", "idempotency-key", "if-match"} <= {*allowed}
    assert early["access-control-max-age"] == "5"
    older = preflighted(policy(headers="x-older"), PAGE)["access-control-allow-headers"]
    assert older.endswith(", x-older")


def test_what_a_page_asks_to_send_is_allowed_where_nothing_is_said() -> None:
    asked = ("access-control-request-headers", "x-any, last-event-id")
    early = preflighted(policy(), PAGE, asked)
    assert early["access-control-allow-headers"] == "x-any, last-event-id"
    assert early["vary"] == "access-control-request-headers"
    assert "last-event-id" in preflighted(policy(), PAGE)["access-control-allow-headers"]


def test_methods() -> None:
    early = preflighted(policy(methods="get, put"), PAGE)
    assert early["access-control-allow-methods"] == "GET, PUT"
    assert "PATCH" in preflighted(policy(), PAGE)["access-control-allow-methods"]


def test_private_networks() -> None:
    asked = ("access-control-request-private-network", "true")
    cors = policy(origin=PAGE)
    assert preflighted(cors, PAGE, asked)["access-control-allow-private-network"] == "true"
    assert "access-control-allow-private-network" not in preflighted(cors, STRANGER, asked)


def test_what_is_no_preflight() -> None:
    assert policy().preflight(request_of("/a", ("origin", PAGE), method="OPTIONS")) is None
    asked = ("access-control-request-method", "PUT")
    cors = policy(preflight=False)
    assert cors.preflight(request_of("/a", ("origin", PAGE), asked, method="OPTIONS")) is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"origin": "*", "credentials": True}, "cors.credentials: cannot go with the origin"),
        ({"credentials": True}, "cors.credentials: cannot go"),
        (
            {"origin": "page.example"},
            "cors.origin: 'page.example' is not an origin: must be scheme",
        ),
        ({"origin": "https://*"}, r"cors.origin: 'https://\*' is not an origin; \* stands alone"),
        ({"origin": "https://a*.example"}, "is not an origin"),
        ({"origin": "https://*.a.example/x"}, "is not an origin"),
        ({"origin": ","}, "cors.origin: names no origin"),
        ({"origin": []}, "cors.origin: names no origin"),
        ({"methods": "GET PUT"}, "cors.methods: 'GET PUT' is not a name"),
        ({"exposedHeaders": ["x\r\ny"]}, "cors.exposedHeaders: .* is not a name"),
        ({"maxAge": -1}, "cors.maxAge: must be at least 0"),
        ({"orgin": "*"}, "unknown field `orgin`"),
    ],
)
def test_options_that_are_wrong(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        policy(**options)
