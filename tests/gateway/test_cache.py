"""Which answers are kept, for whom, and for how long."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from buntime_host import (
    Answer,
    BadRequest,
    DirectRequest,
    OptionError,
    Principal,
    Workers,
    read_options,
)
from buntime_host.access.grants import UNLIMITED
from buntime_host.http.direct import pairs_of
from buntime_host.workers import Group
from buntime_plugin_gateway.cache import ResponseCache
from buntime_plugin_gateway.config import GatewayConfig
from gateway.conftest import request_of

PATH = "/site/page"


def cache_of(workers: Workers | None = None, **options: Any) -> ResponseCache:
    config = read_options(GatewayConfig, {"cache": options}).cache
    assert config is not None
    return ResponseCache(
        config,
        workers or Workers.alone(),
        lambda path: path.startswith(b"/health"),
        frozenset({"origin"}),
    )


def ask(
    cache: ResponseCache,
    request: DirectRequest,
    answer: Answer | None = None,
    now: float = 100.0,
    encoding: str = "",
) -> str | None:
    """The kept answer to a request, or None; what the plugin answers is kept then, if it may be."""
    place = cache.place(request, encoding)
    if place is None:
        return None
    found = cache.find(place, now)
    if found is None:
        cache.keep(place, answer or Answer(200, "text"), now)
        return None
    assert (b"x-cache", b"HIT") in pairs_of(found.lines)
    return found.content().decode()


def with_headers(*headers: tuple[str, str]) -> Answer:
    return Answer(200, "text", headers=tuple((n.encode(), v.encode()) for n, v in headers))


def test_an_answer_is_kept_for_a_while() -> None:
    cache = cache_of(ttl="10s")
    assert ask(cache, request_of(PATH)) is None
    assert ask(cache, request_of(PATH), now=109.9) == "text"
    place = cache.place(request_of(PATH), "")
    assert place is not None
    found = cache.find(place, 105.5)
    assert found is not None
    assert (b"age", b"5") in pairs_of(found.lines)
    assert ask(cache, request_of(PATH), now=110.0) is None


@pytest.mark.parametrize(
    "other",
    [
        request_of(PATH, query="a=1"),
        request_of("/site/other"),
        request_of(PATH, ("host", "other.example")),
        request_of(PATH, method="HEAD"),
        request_of(PATH, method="POST"),
        request_of(PATH, ("authorization", "Bearer x")),
        request_of(PATH, ("x-api-key", "x")),
        request_of(PATH, ("cookie", "a=b")),
        request_of(PATH, ("range", "bytes=0-1")),
        request_of(PATH, ("if-none-match", '"a"')),
        request_of(PATH, ("cache-control", "no-cache")),
        request_of(PATH, ("pragma", "no-cache")),
        request_of("/health"),
    ],
    ids=lambda request: f"{request.method} {request.whole_path} {request.query} {request.headers}",
)
def test_others_do_not_get_it(other: DirectRequest) -> None:
    cache = cache_of()
    assert ask(cache, request_of(PATH)) is None
    assert ask(cache, other) is None
    assert ask(cache, request_of(PATH)) == "text"


def test_who_is_known_or_refused_gets_no_kept_answer() -> None:
    cache = cache_of()
    ask(cache, request_of(PATH))
    known, refused = request_of(PATH), request_of(PATH)
    known.principal = Principal("k1", "ann", UNLIMITED)
    refused.is_refused = True
    assert cache.place(known, "") is None
    assert cache.place(refused, "") is None


@pytest.mark.parametrize(
    ("answer", "seconds"),
    [
        (with_headers(), 10),
        (with_headers(("cache-control", "public, max-age=3")), 3),
        (with_headers(("cache-control", "max-age=3, s-maxage=7")), 7),
        (with_headers(("cache-control", "max-age=3600")), 10),
        (with_headers(("cache-control", "max-age=0")), 0),
        (with_headers(("cache-control", "max-age=-1")), 0),
        (with_headers(("expires", "0")), 0),
        (with_headers(("expires", "Thu, 01 Jan 2015 00:00:00 GMT")), 0),
        (with_headers(("expires", "Fri, 01 Jan 2100 00:00:00 GMT")), 10),
        (with_headers(("expires", "0"), ("cache-control", "max-age=3")), 3),
        (with_headers(("age", "57"), ("cache-control", "max-age=60")), 3),
        (with_headers(("age", "60"), ("cache-control", "max-age=60")), 0),
        (with_headers(("content-encoding", "br")), 0),
        (with_headers(("cache-control", "no-store")), 0),
        (with_headers(("cache-control", "private, max-age=60")), 0),
        (with_headers(("cache-control", "no-cache")), 0),
        (with_headers(("set-cookie", "a=b")), 0),
        (with_headers(("vary", "origin")), 10),
        (with_headers(("vary", "Origin, X-Lang")), 10),
        (with_headers(("vary", "accept-language")), 0),
        (with_headers(("vary", "*")), 0),
        (Answer(404, "text"), 0),
        (Answer(206, "text"), 0),
    ],
)
def test_what_an_answer_says_of_itself(answer: Answer, seconds: int) -> None:
    cache = cache_of(ttl="10s", varyBy="x-lang")
    ask(cache, request_of(PATH), answer)
    assert ask(cache, request_of(PATH), answer, now=100.0 + seconds) is None
    if seconds:
        cache = cache_of(ttl="10s", varyBy="x-lang")
        ask(cache, request_of(PATH), answer)
        assert ask(cache, request_of(PATH), answer, now=99.9 + seconds) == "text"


def test_headers_that_answers_depend_on() -> None:
    cache = cache_of(varyBy=["X-Lang"])
    assert ask(cache, request_of(PATH, ("x-lang", "de")), Answer(200, "guten Tag")) is None
    assert ask(cache, request_of(PATH, ("x-lang", "en")), Answer(200, "hello")) is None
    assert ask(cache, request_of(PATH, ("x-lang", "de"))) == "guten Tag"
    assert ask(cache, request_of(PATH, ("x-lang", "en")), encoding="gzip") is None


def test_an_answer_that_others_cannot_read_is_not_theirs() -> None:
    packed = with_headers(("content-encoding", "br"), ("vary", "accept-encoding"))
    takes = request_of(PATH, ("accept-encoding", "br, gzip"))
    other = request_of(PATH, ("accept-encoding", "gzip"))
    cache = cache_of(varyBy="accept-encoding")
    ask(cache, takes, packed, encoding="gzip")
    assert ask(cache, takes, encoding="gzip") == "text"
    assert ask(cache, other, encoding="gzip") is None
    # Where the gateway compresses, all who take gzip have one place.
    config = read_options(GatewayConfig, {"cache": {}}).cache
    assert config is not None
    cache = ResponseCache(config, Workers.alone(), lambda _: False, frozenset({"accept-encoding"}))
    ask(cache, takes, packed, encoding="gzip")
    assert ask(cache, other, encoding="gzip") is None
    same = with_headers(("content-encoding", "gzip"), ("vary", "accept-encoding"))
    ask(cache, request_of("/same"), same, encoding="gzip")
    assert ask(cache, request_of("/same"), encoding="gzip") == "text"


def test_an_answer_is_as_old_as_all_caches_have_had_it() -> None:
    cache = cache_of(ttl="10s")
    ask(cache, request_of(PATH), with_headers(("age", "7")))
    place = cache.place(request_of(PATH), "")
    assert place is not None
    found = cache.find(place, 102.0)
    assert found is not None
    ages = [value for name, value in (*found.headers, *pairs_of(found.lines)) if name == b"age"]
    assert ages == [b"9"]


def test_paths() -> None:
    cache = cache_of(paths="/site/**", excludePaths=["/site/live/*"])
    for path, kept in (("/site/a", True), ("/site/live/a", False), ("/other", False)):
        ask(cache, request_of(path))
        assert (ask(cache, request_of(path)) is not None) is kept


def test_a_write_forgets_what_was_there() -> None:
    cache = cache_of()
    ask(cache, request_of(PATH))
    ask(cache, request_of(PATH, query="a=1"))
    ask(cache, request_of("/site/other"))
    cache.changed("GET", PATH.encode())
    assert cache.entries == 3
    cache.changed("PUT", PATH.encode())
    assert cache.entries == 1


def test_what_was_read_before_a_write_is_not_kept_after_it() -> None:
    cache = cache_of()
    place = cache.place(request_of(PATH), "")
    assert place is not None
    cache.changed("PUT", PATH.encode())
    cache.keep(place, Answer(200, "old"), 100.0)
    assert cache.entries == 0


def test_it_is_bounded_and_who_is_asked_for_stays() -> None:
    cache = cache_of(maxEntries=3)
    for path in ("/a", "/b", "/c"):
        ask(cache, request_of(path))
    ask(cache, request_of("/a"))
    ask(cache, request_of("/d"))
    assert cache.entries == 3
    assert ask(cache, request_of("/a")) == "text"
    small = cache_of(maxBytes="4kb")
    for path in ("/a", "/b", "/c"):
        ask(small, request_of(path), Answer(200, "x" * 1000))
    assert small.entries == 2
    ask(small, request_of("/large"), Answer(200, "x" * 5000))
    assert ask(small, request_of("/large")) is None


def test_forgetting() -> None:
    cache = cache_of()
    for path in ("/site/a", "/site/b", "/other"):
        ask(cache, request_of(path))
    ask(cache, request_of("/other", query="a=1"))
    assert cache.invalidate("GET:/other?a=1", None) == 1
    assert cache.invalidate("GET:/missing", None) == 0
    assert cache.invalidate(None, "/site/*") == 2
    assert cache.invalidate(None, None) == 1
    assert cache.entries == 0
    with pytest.raises(BadRequest, match="glob of the whole path"):
        cache.invalidate(None, "re:(a+)+")
    with pytest.raises(BadRequest, match="at most 512 characters"):
        cache.invalidate(None, "x" * 513)


@pytest.fixture
def group() -> Iterator[Group]:
    group = Group(2)
    yield group
    group.close()


def test_other_workers_forget_as_well(group: Group) -> None:
    one, two = (cache_of(Workers(number, group)) for number in range(2))
    for change in (lambda: two.changed("PUT", b"/x"), lambda: two.invalidate(None, "/x")):
        ask(one, request_of(PATH))
        assert ask(one, request_of(PATH)) == "text"
        change()
        assert ask(one, request_of(PATH)) is None
    ask(two, request_of(PATH))
    assert ask(two, request_of(PATH)) == "text"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": "POST"}, "cache.methods: may be GET and HEAD"),
        ({"methods": []}, "cache.methods: may be"),
        ({"ttl": 0}, "cache.ttl: must be at least 1 ms"),
        ({"paths": "re:("}, "cache.paths: .* is not a regular expression"),
        ({"maxEntries": 0}, "cache.maxEntries: must be at least 1"),
    ],
)
def test_options_that_are_wrong(options: dict[str, Any], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        cache_of(**options)
