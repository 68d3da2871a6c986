"""Every route takes what it declares, and nothing else: driven by the table of routes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest
from buntime_keyval.wire import InvalidInput
from buntime_keyval.wire.limits import MOST_LOCK_WAIT_MS, MOST_STREAM_WAIT_MS
from buntime_keyval.wire.tasks import MOST_TASK_WAIT_MS
from buntime_plugin_keyval.faces.http.keys import DELETE
from buntime_plugin_keyval.faces.http.metrics import ReportRequest
from buntime_plugin_keyval.faces.http.ranges import DeletionBelow
from buntime_plugin_keyval.faces.http.routes import KEY, StoreRoutes
from buntime_plugin_keyval.features.locks.http import LOCK_WAIT
from buntime_plugin_keyval.features.queue.admin_http import OptionsBody
from buntime_plugin_keyval.features.queue.http import Listening
from buntime_plugin_keyval.features.schedules.http import CRON, EVERY, TASK, TIMEZONE, NewSchedule
from buntime_plugin_keyval.features.stream.http import STREAM_WAIT, StreamReading
from buntime_plugin_keyval.features.tasks.shapes import (
    TASK_WAIT,
    Completions,
    Leasing,
    LimitsBody,
    TaskBody,
    TaskListening,
    TaskListing,
)
from buntime_plugin_keyval.requests import kinds
from buntime_plugin_keyval.requests.asked import AnyRoute
from buntime_plugin_keyval.requests.shape import (
    Kind,
    Member,
    MemberPlace,
    RequestShape,
    members_of,
    read_shape,
)
from buntime_plugin_keyval.service import FEATURES
from support.api import Api


class Sample(NamedTuple):
    """Values of a kind: each as JSON, and as the text of a query where it can be one."""

    good: tuple[Any, ...]
    bad: tuple[Any, ...] = ()
    texts: tuple[str, ...] = ()
    bad_texts: tuple[str, ...] = ()


KEYS = (["a"], ["b", 1])
DURATIONS = Sample(
    (1000, "30s", 1.5), ("soon", True, [], {}), ("1000", "1.5h"), ("soon", "", "1 fortnight")
)


def waiting(most_ms: int) -> Sample:
    """What waits no longer than that."""
    too_long = most_ms + 1
    return Sample(
        (0, 5, "1s"),
        (-1, "soon", True, [], too_long, f"{too_long}ms"),
        ("0", "5ms"),
        ("-1", "soon", "", f"{too_long}ms"),
    )


SAMPLES: dict[Kind, Sample] = {
    kinds.LIMIT: Sample(
        (1, 1000, 5000, "7"), (0, -1, 1.5, True, [], "x"), ("1", "5000"), ("0", "x", "", "1.5")
    ),
    kinds.PAGE: Sample(
        (1, 1000), (0, 1001, 1.5, "7", True, []), ("1", "1000"), ("0", "1001", "x", "")
    ),
    kinds.OFFSET: Sample((0, 7), (-1, 0.5, "7", "x", []), ("0", "7"), ("-1", "x", "")),
    kinds.UP_TO: Sample((1, 5000), (0, -1, 1.5, "7", True, []), ("1", "5000"), ("0", "x", "")),
    kinds.BEGINNING: Sample(
        (["a"], "a/b"), (1, True, {}, [], ["a", 1]), ("a/b", '["a",""]'), ("", "a/1")
    ),
    kinds.PATTERN: Sample(
        (["a", {"$any": True}], "a/*"),
        (1, True, {}, [], [{"$any": False}], ["a", None]),
        ("a/*", '["a",{"$any":true}]'),
        ("", '[{"$any":1}]', "*/" * 21),
    ),
    kinds.PREFIXES: Sample(
        (list(KEYS), ["a/1"]),
        ([], "a", 1, {}, [1]),
        ("a,b/1", '["a"]', '[["a"],["b"]]'),
        ("a/" * 21, ""),
    ),
    kinds.FLAG: Sample(
        (True, False), ("true", 0, 1, []), ("true", "false"), ("1", "yes", "TRUE", "")
    ),
    kinds.CONSISTENCY: Sample(
        ("strong", "eventual"), ("weak", 1, True), ("strong", "eventual"), ("weak", "")
    ),
    kinds.TEXT: Sample(("",), (1, True, [], {}), ("",)),
    kinds.ERROR: Sample(("", "no such address"), (1, True, [], {}, "x" * 10_001), ("",)),
    kinds.NAMED_TEXT: Sample(("word",), (1, True, []), ("word", "")),
    kinds.MESSAGE_ID: Sample(("some-id",), ("", 1, True, [], {})),
    members_of(NewSchedule)["missed"].kind: Sample(("all",), ("some", 1, True, [])),
    CRON: Sample(("0 3 * * MON", "@daily"), ("", "* * *", "@never", 1, True, [])),
    TASK: Sample(({"name": "work"},), ("work", 1, [], {"name": "work", "id": "a"})),
    EVERY: Sample((1000, "10m"), (999, "2y", "soon", True, [])),
    TIMEZONE: Sample(("Europe/Lisbon",), ("", "Mars", 1, True, [])),
    kinds.NAME: Sample(
        ("w1", "é/ü"), ("", "a\n", "x" * 257, 1, True, []), ("w1", "é/ü"), ("", "x" * 257)
    ),
    kinds.QUEUE_NAME: Sample(
        ("", "é/ü"), ("a\n", "x" * 257, 1, True, []), ("", "emails"), ("x" * 257,)
    ),
    kinds.QUEUE_LEASE: Sample((1000, "1m"), (999, "0.5s", "soon", True, [])),
    kinds.BACKOFF: Sample(([], [1, "1s"]), (1, "1s", {}, [-1], [None])),
    kinds.RATE: Sample(
        ({"count": 1, "per": "1m"},),
        (1, "1/1m", [], {"count": 0, "per": 1}, {"count": 1, "per": 0}, {"count": 1}, {"n": 1}),
    ),
    kinds.PREFIX: Sample((["a"], "a/1"), (1, True, {}, [None]), ("a/1", '["a"]'), ("a/" * 21,)),
    kinds.NAMED_PREFIX: Sample(
        (["a"], "a/1"), (1, {}, [None], []), ("a/1", '["a"]'), ("", "a/" * 21)
    ),
    kinds.BOUND: Sample((["a"], "a/1"), (1, True, {}, [None]), ("a/1", '["a"]'), ("a/" * 21,)),
    kinds.BATCH_KEYS: Sample((list(KEYS),), ([], "a", 1, {}, [1], ["a"])),
    kinds.READS: Sample((list(KEYS), []), ("a", 1, {}, [1], ["a"])),
    kinds.KEY_LIST: Sample(
        (list(KEYS), ["a/1"]),
        ([], "a", 1, {}, [1]),
        ("a,b/1", '["a"]', '[["a"],["b"]]'),
        ("a/" * 21,),
    ),
    kinds.FILTER: Sample(({}, {"a": 1}), (1, "a", [], {"$x": 1}, {"a": {"$gt": []}})),
    kinds.EXPIRES_IN: DURATIONS,
    kinds.EXPIRES_AT: Sample(
        (4e12, "4000000000000"), ("soon", 0, True, []), ("4000000000000",), ("soon", "", "-1")
    ),
    kinds.METADATA: Sample(({"a": 1}, "x"), (), ("1", '{"a":1}'), ("", "{x")),
    kinds.TYPE: Sample(
        ("Person", "é b"), ("", "a\n", "x" * 257, 1, True, []), ("Person",), ("x" * 257,)
    ),
    kinds.VERSION: Sample(("x",), ("", 1, True, []), ("x",), ("",)),
    kinds.STAMPS: Sample((["x", ""], "x,"), (1, {}, [1]), ("x,", ""), ()),
    kinds.STAMP_PAIRS: Sample(("", "a/1:x"), (1, {}, []), ("a/1:x", "")),
    kinds.VALUE: Sample((None, 0, [], {"a": 1})),
    kinds.ITEMS: Sample(([],), (1, "x", {}, True)),
    kinds.MESSAGE_OPTIONS: Sample(
        ({}, {"delay": "1h", "backoffSchedule": [1, "2s"], "keysIfUndelivered": [["a"]]}),
        (1, "x", [], {"delay": "soon"}, {"delay": -1}, {"backoffSchedule": 1}, {"dealy": 1}),
    ),
    kinds.PAUSE: Sample((0, 5, "1s"), (-1, "soon", True, []), ("0", "5ms"), ("-1", "soon", "")),
    LOCK_WAIT: waiting(MOST_LOCK_WAIT_MS),
    STREAM_WAIT: waiting(MOST_STREAM_WAIT_MS),
    TASK_WAIT: waiting(MOST_TASK_WAIT_MS),
    kinds.LEASE_DURATION: Sample((5, "1s"), (0, -1, "soon", True, [])),
    kinds.FIELDS: Sample((["title"],), ([], "title", 1, [1], {})),
    kinds.TOKENIZER: Sample(("porter",), ("klingon", 1, [], True)),
    kinds.WEIGHTS: Sample(({}, {"title": 2}), ([], 1, "x", {"title": -1}, {"title": "x"})),
    kinds.MARKS: Sample((True, False, ["<", ">"]), (1, "x", ["<"], [1, 2])),
    kinds.SNIPPET: Sample((True, False, 5), (0, 65, "x", [])),
    members_of(TaskBody)["id"].kind: Sample(("t1",), ("", "a/b", "stats", "x" * 257, 1, [])),
    members_of(TaskBody)["scheduledFor"].kind: Sample(
        (4e12, "4000000000000", "2100-01-31T08:00:00Z"),
        (-1, "soon", True, [], "2100-01-31T08:00:00"),
    ),
    members_of(TaskBody)["maxRetries"].kind: Sample((0, 1000), (-1, 1001, 1.5, "5", True, [])),
    members_of(TaskBody)["timeout"].kind: Sample((1, "5m"), (0, -1, "soon", True, [])),
    members_of(TaskBody)["priority"].kind: Sample((-10, 10), (-11, 11, 0.5, "1", True, [])),
    members_of(TaskBody)["after"].kind: Sample(([],), ("a", 1, {}, [1], ["a/b"], ["x"] * 101)),
    members_of(TaskListing)["status"].kind: Sample((), (), ("running",), ("new", "")),
    members_of(Leasing)["names"].kind: Sample(
        (["a", "b"], "a,b"), ([], 1, {}, [1], [""]), ("a", "a,b"), ("", "a,")
    ),
    members_of(Completions)["tasks"].kind: Sample(
        ([{"id": "none", "token": "none"}], [{"id": "none", "token": "none", "result": [1]}]),
        (1, "x", [], {}, [1], [{"id": "none"}], [{"id": "none", "token": "none", "results": 1}]),
    ),
    members_of(Leasing)["limit"].kind: Sample((1, 1000), (0, 1001, "5", True, [])),
    members_of(TaskListening)["prefetch"].kind: Sample(
        (), (), ("1", "1000"), ("0", "1001", "x", "")
    ),
    members_of(Leasing)["duration"].kind: Sample(
        (1000, "1m"), (999, "soon", True, []), ("1000", "1m"), ("999", "soon", "")
    ),
    members_of(LimitsBody)["maxRunning"].kind: Sample((1, 1000), (0, 1_000_001, "5", True, [])),
    members_of(StreamReading)["action"].kind: Sample(
        (), (), ("create", "update", "delete", "expire"), ("set", "")
    ),
    members_of(Listening)["prefetch"].kind: Sample((), (), ("1", "1000"), ("0", "1001", "x", "")),
    members_of(OptionsBody)["maxRunning"].kind: Sample((1, 1000), (0, 1_000_001, "5", True, [])),
    members_of(DeletionBelow)["limit"].kind: Sample(
        (1, 1000), (0, 1001, "5", "x", True), ("1", "1000"), ("0", "1001", "x", "")
    ),
    members_of(ReportRequest)["format"].kind: Sample((), (), ("json", "prometheus"), ("xml", "")),
}
"""What the members of each kind may be, and what not."""

NEEDED: dict[str, dict[str, Any]] = {
    "DELETE /keys": {"prefix": "none"},
    "GET /keys/<path>": {},
    "PUT /keys/<path>": {},
    "PATCH /keys/<path>": {},
    "DELETE /keys/<path>": {},
    "GET /keys": {},
    "POST /keys/list": {},
    "GET /keys/count": {},
    "POST /keys/count": {},
    "GET /keys/paginate": {},
    "POST /keys/paginate": {},
    "POST /keys/batch": {"keys": list(KEYS)},
    "POST /keys/delete-batch": {"keys": list(KEYS)},
    "POST /keys/set-batch": {"sets": []},
    "POST /keys/touch": {"keys": list(KEYS), "expiresIn": 5},
    "POST /keys/persist": {"keys": list(KEYS)},
    "POST /vacuum": {},
    "POST /atomic": {},
    "POST /transaction": {},
    "POST /queue/enqueue": {"value": 1},
    "GET /queue/poll": {},
    "GET /queue/dequeue": {},
    "GET /queue/listen": {},
    "POST /queue/ack": {"id": "none"},
    "POST /queue/nack": {"id": "none"},
    "POST /queue/extend": {"id": "none"},
    "POST /queue/ack/<id>": {},
    "POST /queue/nack/<id>": {},
    "POST /queue/extend/<id>": {},
    "GET /queue/stats": {},
    "GET /queue/peek": {},
    "GET /queue/messages": {},
    "DELETE /queue/messages": {},
    "POST /queue/pause": {"queue": "work"},
    "POST /queue/resume": {"queue": "work"},
    "GET /queue/options": {},
    "PUT /queue/options": {"queue": "work"},
    "GET /queue/queues": {},
    "GET /queue/dlq": {},
    "DELETE /queue/dlq": {},
    "GET /queue/dlq/<id>": {},
    "DELETE /queue/dlq/<id>": {},
    "POST /queue/dlq/<id>/requeue": {},
    "GET /stream": {},
    "GET /stream/follow": {},
    "GET /stream/seq": {},
    "POST /stream/trim": {"upTo": 0},
    "GET /tasks": {},
    "POST /tasks": {"name": "work"},
    "GET /tasks/stats": {},
    "POST /tasks/lease": {"runner": "w1"},
    "POST /tasks/complete": {"tasks": [{"id": "none", "token": "none"}]},
    "GET /tasks/listen": {"runner": "w1"},
    "GET /tasks/limits/<id>": {},
    "PUT /tasks/limits/<id>": {},
    "GET /tasks/<id>": {},
    "DELETE /tasks/<id>": {},
    "GET /tasks/<id>/wait": {"timeout": "0"},
    "POST /tasks/<id>/cancel": {},
    "POST /tasks/<id>/retry": {},
    "POST /tasks/<id>/release": {"token": "none"},
    "POST /tasks/<id>/heartbeat": {"token": "none"},
    "POST /tasks/<id>/complete": {"token": "none"},
    "POST /tasks/<id>/fail": {"token": "none", "error": "no"},
    "GET /locks": {},
    "GET /locks/<id>": {},
    "POST /locks/<id>/acquire": {"owner": "w1"},
    "POST /locks/<id>/release": {"owner": "w1"},
    "POST /locks/<id>/steal": {"owner": "w1"},
    "GET /consumers": {},
    "GET /consumers/<id>": {},
    "DELETE /consumers/<id>": {},
    "POST /consumers/<id>/fetch": {"owner": "w1"},
    "POST /consumers/<id>/commit": {"token": "none", "upTo": 0},
    "POST /consumers/<id>/nack": {"token": "none", "seq": 1},
    "POST /consumers/<id>/release": {"owner": "w1"},
    "GET /consumers/<id>/peek": {},
    "PUT /consumers/<id>/position": {"seq": 0},
    "GET /consumers/<id>/dead": {},
    "POST /consumers/<id>/dead": {},
    "DELETE /consumers/<id>/dead": {},
    "GET /schedules": {},
    "GET /schedules/<id>": {},
    "PUT /schedules/<id>": {"task": {"name": "work"}, "cron": "@daily"},
    "POST /schedules/<id>/run": {},
    "DELETE /schedules/<id>": {},
    "POST /indexes": {"prefix": ["indexed"], "fields": ["title"]},
    "GET /indexes": {},
    "DELETE /indexes": {"prefix": "other"},
    "GET /health": {},
    "GET /metrics": {},
    "GET /metrics/prometheus": {},
    "GET /search": {"prefix": "indexed", "query": "word"},
    "POST /search": {"prefix": ["indexed"], "query": "word"},
    "POST /search/paginate": {"prefix": ["indexed"], "query": "word"},
    "GET /watch": {"keys": "a"},
    "GET /watch/poll": {"keys": "a"},
    "POST /watch/poll": {"keys": [["a"]]},
    "GET /watch/prefix": {"prefix": "a"},
    "GET /watch/prefix/poll": {"prefix": "a"},
    "POST /watch/prefix/poll": {"prefix": ["a"]},
}
"""The least that each route needs. A new route needs a line here, and then obeys all below."""

INSTEAD = {"cron": "every"}
"""What is needed unless another member is there."""

STREAMS = (
    "GET /watch",
    "GET /watch/prefix",
    "GET /queue/listen",
    "GET /stream/follow",
    "GET /tasks/listen",
)
WELL = (200, 201, 404, 409, 410, 412)
"""Statuses of what was understood: keys, messages and indexes may not be there, leases be old, and
records of the stream trimmed."""


def all_routes() -> Iterator[tuple[str, AnyRoute]]:
    """Every route of the table, by method and path."""
    for path, methods in StoreRoutes(FEATURES).paths.items():
        for method, route in methods.items():
            yield f"{method} {path.replace('{id}', '<id>')}", route
    for method, route in KEY.items():
        yield f"{method} /keys/<path>", route


def shape_of(route: AnyRoute) -> type[RequestShape]:
    shape: type[RequestShape] = route.shape
    return shape


ROUTES = dict(all_routes())
MEMBERS = {
    name: [
        member
        for spelling, member in members_of(shape_of(route)).items()
        if spelling == member.name
    ]
    for name, route in ROUTES.items()
}


@pytest.fixture
def ready(shared_api: Api) -> Api:
    """The API with an index to search."""
    if not shared_api.json("GET", "/indexes"):
        shared_api.json("POST", "/indexes", {"prefix": ["indexed"], "fields": ["title"]})
    return shared_api


def ask(
    api: Api,
    name: str,
    query: list[tuple[str, str]] | None = None,
    body: Mapping[str, Any] | bytes | None = None,
) -> tuple[int, str]:
    """Status and message of a request by the name of its route."""
    method, _, path = name.partition(" ")
    path = path.replace("<path>", "some/key").replace("<id>", "some-id")
    if query:
        path += "?" + "&".join(f"{key}={quote(value, safe='')}" for key, value in query)
    if name in ("PUT /keys/<path>", "PATCH /keys/<path>"):
        body = b"1"
    content = json.dumps(body).encode() if isinstance(body, Mapping) else body
    # Of a stream the head says whether it was understood, and it ends.
    response = api.send("HEAD" if name in STREAMS else method, path, content=content)
    return response.status_code, response.text


def put_together(
    name: str, route: AnyRoute, query: list[tuple[str, str]], body: Mapping[str, Any]
) -> tuple[list[tuple[str, str]], Mapping[str, Any] | None]:
    """Query and body with what the route needs as well."""
    given = {key for key, _ in query} | body.keys()
    needed = {
        key: value
        for key, value in NEEDED[name].items()
        if key not in given and INSTEAD.get(key) not in given
    }
    if route.place in (MemberPlace.QUERY, MemberPlace.BESIDE_VALUE):
        return [*needed.items(), *query], None
    if route.place is MemberPlace.EITHER:
        return [*needed.items(), *query], body or None
    return query, {**needed, **body}


def in_query(route: AnyRoute, member: Member) -> bool:
    return member.kind.of_text is not None and route.place in (
        MemberPlace.QUERY,
        MemberPlace.EITHER,
        MemberPlace.BESIDE_VALUE,
    )


def in_body(route: AnyRoute, member: Member) -> bool:
    return member.kind.of_json is not None and route.place in (
        MemberPlace.BODY,
        MemberPlace.OPTIONAL_BODY,
        MemberPlace.EITHER,
    )


def test_every_route_has_a_line() -> None:
    assert sorted(NEEDED) == sorted(ROUTES)


def test_every_kind_has_samples() -> None:
    assert {member.kind for members in MEMBERS.values() for member in members} <= SAMPLES.keys()


@pytest.mark.parametrize("name", ROUTES)
def test_the_least_is_enough(ready: Api, name: str) -> None:
    query, body = put_together(name, ROUTES[name], [], {})
    status, text = ask(ready, name, query, body)
    assert status in WELL, text


@pytest.mark.parametrize("name", ROUTES)
def test_every_declared_member_works(ready: Api, name: str) -> None:
    for member in MEMBERS[name]:
        works(ready, name, member)


def works(ready: Api, name: str, member: Member) -> None:
    route, sample = ROUTES[name], SAMPLES[member.kind]
    others = {"lease": "some"} if member.name == "attempted" else {}
    if in_query(route, member):
        assert sample.texts
        for text in sample.texts:
            query, body = put_together(name, route, [(member.name, text)], {})
            query = exclusive(member.name, query)
            status, answer = ask(ready, name, query, body)
            assert status in WELL, (member.name, text, answer)
    if in_body(route, member):
        assert sample.good
        for value in sample.good:
            query, body = put_together(name, route, [], {member.name: value, **others})
            query, body = exclusive(member.name, query), exclusive(member.name, body)
            status, answer = ask(ready, name, query, body)
            assert status in WELL, (member.name, value, answer)
    if not in_query(route, member) and not in_body(route, member):
        status, answer = ask(ready, name, put_together(name, route, [(member.name, "1")], {})[0])
        assert (status, "(it is a member of JSON bodies)" in answer) == (400, True), member.name


def exclusive(name: str, given: Any) -> Any:
    """Without `prefix` beside what says otherwise which keys are meant."""
    if name not in ("prefixes", "startsWith", "pattern"):
        return given
    if isinstance(given, list):
        return [(key, value) for key, value in given if key != "prefix"]
    return given and {key: value for key, value in given.items() if key != "prefix"}


@pytest.mark.parametrize("name", ROUTES)
def test_a_wrong_type_is_refused_by_name(ready: Api, name: str) -> None:
    for member in MEMBERS[name]:
        wrong_types_are_refused(ready, name, member)


def wrong_types_are_refused(ready: Api, name: str, member: Member) -> None:
    route, sample = ROUTES[name], SAMPLES[member.kind]
    if in_query(route, member):
        for text in sample.bad_texts:
            query, body = put_together(name, route, [(member.name, text)], {})
            refused(ask(ready, name, exclusive(member.name, query), body), name, member, text)
    if in_body(route, member):
        for value in sample.bad:
            query, body = put_together(name, route, [], {member.name: value})
            refused(ask(ready, name, query, exclusive(member.name, body)), name, member, value)


def refused(answer: tuple[int, str], name: str, member: Member, given: object) -> None:
    status, text = answer
    assert status == 400, (member.name, given, text)
    if name not in STREAMS:  # of those only the head was asked for
        assert list(json.loads(text)) == ["error"]
        assert len(text) > len('{"error":""}')


@pytest.mark.parametrize("name", ROUTES)
def test_what_is_not_declared_is_refused_by_name(ready: Api, name: str) -> None:
    route = ROUTES[name]
    query, body = put_together(name, route, [("exactt", "true")], {})
    status, text = ask(ready, name, query, body)
    assert status == 400
    assert name in STREAMS or "Unknown parameter: 'exactt'" in text
    if route.place is MemberPlace.BESIDE_VALUE:
        return
    query, body = put_together(name, route, [], {})
    status, text = ask(ready, name, query, {**(body or {}), "exactt": True})
    assert status == 400
    assert name in STREAMS or "exactt" in text


@pytest.mark.parametrize("name", ROUTES)
def test_what_is_given_twice_is_refused_where_once_is_meant(ready: Api, name: str) -> None:
    for member in MEMBERS[name]:
        is_meant_once(ready, name, member)


def is_meant_once(ready: Api, name: str, member: Member) -> None:
    route, sample = ROUTES[name], SAMPLES[member.kind]
    if not in_query(route, member):
        return
    text = sample.texts[0]
    query, body = put_together(name, route, [(member.name, text)] * 2, {})
    status, answer = ask(ready, name, exclusive(member.name, query), body)
    if member.kind.repeatable:
        assert status in WELL, (member.name, answer)
        return
    assert status == 400, member.name
    assert name in STREAMS or "twice" in answer, member.name
    if in_body(route, member):
        query, body = put_together(
            name, route, [(member.name, text)], {member.name: sample.good[0]}
        )
        status, answer = ask(ready, name, query, body)
        assert (status, "twice" in answer) == (400, True), member.name


QUERIES = (
    b"",
    b"exact=true",
    b"exact=false",
    b"ifRevision=3",
    b"exact=true&ifVersion=" + b"x" * 50,
)


def test_a_query_that_comes_again_means_the_same() -> None:
    for query in QUERIES * 2:
        assert DELETE.read(query, b"") == read_shape(DELETE.shape, DELETE.place, query, b"")


def test_a_query_that_comes_again_with_a_body_is_read_with_that() -> None:
    for _ in range(2):
        assert DELETE.read(b"exact=true", b"") == DELETE.read(b"exact=true", b"{}")
        given = DELETE.read(b"exact=true", b'{"ifRevision":3}')
        assert given == DELETE.read(b"exact=true&ifRevision=3", b"")


@pytest.mark.parametrize("query", [b"exact=maybe", b"limit=1", b"exact=true&exact=true"])
def test_a_wrong_query_is_refused_each_time(query: bytes) -> None:
    for _ in range(2):
        with pytest.raises(InvalidInput):
            DELETE.read(query, b"")


@pytest.mark.parametrize("duration", [1.5, "1.5ms", 2])
def test_all_durations_have_one_rule(api: Api, duration: float | str) -> None:
    """Milliseconds, of which a fraction counts as a whole one; nothing else about them is whole."""
    timed = {"type": "set", "key": ["a"], "value": 1, "expiresIn": duration}
    message = {"delay": duration, "backoffSchedule": [duration]}
    sent = api.json("POST", "/queue/enqueue", {"value": 1, "options": message})["id"]
    taken: list[tuple[str, str, Any]] = [
        ("PUT", f"/keys/a?expiresIn={duration}", 1),
        ("POST", "/atomic", {"mutations": [timed]}),
        ("POST", f"/queue/nack/{sent}", {"delay": duration}),
        ("POST", "/locks/a/acquire", {"owner": "w", "duration": duration, "wait": duration}),
        ("POST", "/locks/a/steal", {"owner": "w", "duration": duration}),
    ]
    for method, path, body in taken:
        assert api.send(method, path, body).status_code == 200, path
    for path, body in (
        ("/queue/extend/nobody", {"duration": duration}),
        ("/locks/b/acquire", {"owner": "w", "duration": duration, "token": "none"}),
    ):
        assert api.send("POST", path, body).status_code != 400, path
    for path, body in (
        ("/locks/a/acquire", {"owner": "w", "duration": "1.5.5"}),
        ("/locks/a/acquire", {"owner": "w", "wait": -1.5}),
        ("/queue/enqueue", {"value": 1, "options": {"delay": -1.5}}),
        ("/keys/list", {"prefix": [], "limit": 1.5}),
    ):
        assert api.send("POST", path, body).status_code == 400, (path, body)
