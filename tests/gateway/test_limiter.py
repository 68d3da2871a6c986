"""Which limit a request has, what its answer says of it, and what the options may be."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_host import Answer, DirectRequest, OptionError, Principal, Workers, read_options
from buntime_host.access.grants import UNLIMITED
from buntime_host.http.direct import pairs_of
from buntime_plugin_gateway.config import GatewayConfig, window_seconds
from buntime_plugin_gateway.limits.clients import client_key
from buntime_plugin_gateway.limits.limiter import Limiter
from gateway.conftest import request_of

NOW, EPOCH = 5000.0, 1_700_000_000.0


def limiter_of(**options: Any) -> Limiter:
    config = read_options(GatewayConfig, {"rateLimit": options}).rate_limit
    assert config is not None
    return Limiter(config, Workers.alone())


def judged(limiter: Limiter, request: DirectRequest, later: float = 0.0) -> bytes | Answer:
    address = request.client[0] if request.client else "-"
    return limiter.judge(request, address, NOW + later, EPOCH + later)


def told(verdict: bytes | Answer) -> dict[str, int]:
    lines = verdict.lines if isinstance(verdict, Answer) else verdict
    return {name.decode(): int(value) for name, value in pairs_of(lines)}


@pytest.mark.parametrize(
    ("written", "seconds"),
    [
        ("1m", 60), ("30s", 30), ("2h", 7200), ("1d", 86_400), ("90", 90), (90, 90), (1.5, 1.5),
        ("500ms", 0.5), ("1.5m", 90),
    ],
)  # fmt: skip
def test_windows(written: object, seconds: float) -> None:
    """A bare number is seconds here, as in Buntime's documents."""
    limiter = limiter_of(window=written)
    assert limiter.window == pytest.approx(seconds)
    assert window_seconds(limiter.config.window, "x") == pytest.approx(seconds)


@pytest.mark.parametrize("written", ["", "soon", "1 fortnight", "-1s", [], 0, "0s"])
def test_windows_that_are_none(written: object) -> None:
    with pytest.raises(OptionError, match=r"rateLimit\.window: must be"):
        limiter_of(window=written)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"requests": 0}, "rateLimit.requests: must be at least 1"),
        ({"keyBy": "header:"}, "rateLimit.keyBy: must be ip, user, key, header:NAME"),
        ({"keyBy": "name"}, "rateLimit.keyBy: must be ip"),
        ({"requets": 5}, "unknown field `requets`"),
        (
            {"excludePaths": ["re:("]},
            "rateLimit.excludePaths: 're:\\(' is not a regular expression",
        ),
        ({"routes": [{"path": "/a", "requests": 0}]}, r"routes\[0\].requests: must be at least 1"),
        ({"routes": [{"path": "", "requests": 1}]}, r"routes\[0\].path: names no path"),
        ({"routes": [{"requests": 1}]}, "path"),
    ],
)
def test_options_that_are_wrong(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        limiter_of(**options)


def test_every_limited_answer_tells_what_is_left() -> None:
    limiter = limiter_of(requests=3, window="30s")
    assert told(judged(limiter, request_of())) == {
        "x-ratelimit-limit": 3,
        "x-ratelimit-remaining": 2,
        "x-ratelimit-reset": 1_700_000_010_000,
        "ratelimit-limit": 3,
        "ratelimit-remaining": 2,
        "ratelimit-reset": 10,
    }
    assert told(judged(limiter, request_of()))["ratelimit-remaining"] == 1
    assert told(judged(limiter, request_of()))["ratelimit-remaining"] == 0
    refused = judged(limiter, request_of(), later=0.5)
    assert isinstance(refused, Answer)
    assert refused.status == 429
    assert b'"error":"Too Many Requests"' in refused.content()
    assert told(refused)["retry-after"] == 10
    assert told(refused)["ratelimit-remaining"] == 0
    assert isinstance(judged(limiter, request_of(), later=9.9), Answer)
    assert told(judged(limiter, request_of(), later=10.0))["ratelimit-remaining"] == 0


def test_who_asks_seldom_is_told_of_his_own_second() -> None:
    """The headers are the same within a second, whoever asks; a clock may go back as well."""
    limiter = limiter_of(requests=3, window="30s")

    def reset(peer: str, later: float) -> int:
        lines = limiter.judge(request_of(), peer, NOW + abs(later), EPOCH + later)
        assert told(lines)["ratelimit-remaining"] == 2
        return told(lines)["x-ratelimit-reset"] - int(EPOCH) * 1000

    asked = [("a", 0.0), ("b", 0.25), ("c", 1.0), ("d", 1.25), ("e", 0.5), ("f", -3.5), ("g", 7.0)]
    assert [reset(*who) for who in asked] == [10_000, 11_000, 11_000, 12_000, 11_000, 7000, 17_000]


@pytest.mark.parametrize(
    ("pattern", "path", "fits"),
    [
        ("/health", "/health", True),
        ("/health", "/health/", True),
        ("/health", "/health/x", False),
        ("/health", "/x/health", False),
        ("/api/public/**", "/api/public/a/b", True),
        ("/api/public/**", "/api/private", False),
        ("/a/*/c", "/a/b/c", True),
        ("/a/*/c", "/a/b/b/c", False),
        ("/a/?", "/a/b", True),
        ("/a*", "/abc", True),
        ("**/c", "/a/b/c", True),
        ("/**", "/a", True),
        ("/a.b", "/aXb", False),
        ("re:/a/[0-9]+", "/a/17", True),
        ("re:/a/[0-9]+", "/a/17/b", False),
        ("^/a/.*$", "/a/17/b", True),
        ("^/a", "/a/b", False),
    ],
)
def test_paths_are_globs_of_the_whole_path(pattern: str, path: str, fits: bool) -> None:
    """The original took them for regular expressions that may be anywhere."""
    limiter = limiter_of(excludePaths=[pattern])
    assert (judged(limiter, request_of(path)) == b"") is fits


def test_health_is_not_limited_unless_said() -> None:
    assert judged(limiter_of(), request_of("/health/ready")) == b""
    assert judged(limiter_of(excludePaths=[]), request_of("/health/ready")) != b""
    assert judged(limiter_of(excludePaths="/a, /b"), request_of("/b")) == b""
    assert judged(limiter_of(), request_of("/gateway/api/stats")) != b""


def test_routes_with_a_limit_of_their_own() -> None:
    limiter = limiter_of(
        requests=100,
        routes=[
            {"path": ["/login", "/join"], "requests": 1, "window": "1h"},
            {"path": "/search/**", "requests": 2, "keyBy": "header:x-team"},
        ],
    )
    assert told(judged(limiter, request_of("/login")))["ratelimit-remaining"] == 0
    # One bucket for both paths, however they are written.
    for path in ("/join", "/login", "/log%69n", "/%6cogin/"):
        assert isinstance(judged(limiter, request_of(path)), Answer)
    assert told(judged(limiter, request_of("/other")))["ratelimit-remaining"] == 99
    for team in ("a", "a", "b"):
        assert isinstance(judged(limiter, request_of("/search/x", ("x-team", team))), bytes)
    assert told(judged(limiter, request_of("/search/x", ("x-team", "a"))))["ratelimit-limit"] == 2


def test_counts() -> None:
    limiter = limiter_of(requests=2)
    for peer in ("a", "a", "a", "b"):
        judged(limiter, request_of(peer=peer))
    limiter.sweep(NOW)
    assert limiter.totals()._asdict() == {"total": 4, "blocked": 1, "allowed": 3, "buckets": 2}


def principal(id: str, name: str) -> Principal:
    return Principal(id, name, UNLIMITED)


def test_what_tells_clients_apart() -> None:
    request = request_of("/", ("x-team", "red"), ("cookie", "a=1; sid=s3cret; b=2"))
    keys = {
        key_by: client_key(key_by, "x")(request, "203.0.113.9")
        for key_by in (
            "ip",
            "user",
            "key",
            "header:X-Team",
            "header:none",
            "cookie:sid",
            "cookie:x",
        )
    }
    nobody = "ip:203.0.113.9"
    assert {keys["ip"], keys["user"], keys["key"], keys["header:none"], keys["cookie:x"]} == {
        nobody
    }
    assert keys["header:X-Team"].startswith("header:x-team:")
    assert keys["cookie:sid"].startswith("cookie:sid:")
    assert "red" not in keys["header:X-Team"]
    assert "s3cret" not in keys["cookie:sid"]
    request.principal = principal("k1", "ann")
    assert client_key("user", "x")(request, "203.0.113.9") == "user:ann"
    assert client_key("key", "x")(request, "203.0.113.9") == "key:k1"
