"""Which scopes each route needs: all of them suffice, and none of them can be left out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest
from buntime_host import DirectRequest, Principal
from buntime_host.access import Permissible, compile_grant
from buntime_host.errors import PermissionDenied
from buntime_keyval import InvalidInput
from buntime_plugin_keyval.faces.http.routes import KEY, StoreRoutes
from buntime_plugin_keyval.requests.asked import Asked, Request
from buntime_plugin_keyval.requests.permissions import PERMISSIONS
from buntime_plugin_keyval.service import FEATURES
from keyval.service.world import World

TABLE = StoreRoutes(FEATURES)
PERMISSIBLE = Permissible({"keyval": PERMISSIONS})

KEYS = [["a", 1], ["b"]]
READ_A, READ_B = 'keyval:read:["a"]', 'keyval:read:["b"]'
WRITE_A, WRITE_B = 'keyval:write:["a"]', 'keyval:write:["b"]'
SEND, RECEIVE, QUEUE = "keyval:queue:send", "keyval:queue:receive", "keyval:queue:admin"
HOLD = "keyval:lock:rep"
CONSUME = "keyval:consume:rep"
SEND_TASK, RUN_TASK, TASKS = "keyval:task:send", "keyval:task:run", "keyval:task:admin"
METRICS = "keyval:metrics:read"
EVERYTHING = "keyval:admin"
UNDELIVERED = {"value": 1, "options": {"keysIfUndelivered": [["a", 1], ["b"]]}}
COMMIT = {
    "checks": [{"key": ["a", 2], "versionstamp": None}],
    "mutations": [
        {"type": "set", "key": ["a"], "value": 1},
        {"type": "delete", "key": ["b"]},
        {"type": "sum", "key": ["a", {"$uuidv7": True}], "value": 1},
        {"type": "enqueue", "value": 1, "keysIfUndelivered": [["c"]]},
    ],
}

# Relevance and similar words tell of all that is indexed.
PART_OF_AN_INDEX = {
    "prefix": ["a"],
    "query": "x",
    "start": ["a", 1],
    "end": ["a", 1, "z"],
    "fuzzy": True,
}

Case = tuple[str, str, str, Any, Sequence[str]]
OF_EMAILS = {"id": "x", "queue": "emails"}
OF_ONE_QUEUE: list[Case] = [
    ("POST", "/queue/enqueue", "", {"value": 1, "options": {"queue": "emails"}}, [f"{SEND}:ema"]),
    (
        "POST",
        "/atomic",
        "",
        {"mutations": [{"type": "enqueue", "value": 1, "queue": "emails"}]},
        [f"{SEND}:emails"],
    ),
    *[
        ("GET", f"/queue/{name}", "queue=emails", None, [f"{RECEIVE}:emails"])
        for name in ("poll", "dequeue", "listen")
    ],
    *[
        ("POST", f"/queue/{name}", "", OF_EMAILS, [f"{RECEIVE}:emails"])
        for name in ("ack", "nack", "extend")
    ],
    (
        "POST",
        "/queue/nack",
        "",
        {**OF_EMAILS, "lease": "y", "attempted": False},
        [f"{RECEIVE}:emails"],
    ),
    *[
        ("GET", f"/queue/{path}", "queue=emails", None, [f"{QUEUE}:emails"])
        for path in ("stats", "dlq", "dlq/x", "peek", "messages", "options")
    ],
    *[
        ("DELETE", f"/queue/{path}", "queue=emails", None, [f"{QUEUE}:emails"])
        for path in ("dlq", "dlq/x", "messages")
    ],
    *[
        ("POST", f"/queue/{path}", "queue=emails", None, [f"{QUEUE}:emails"])
        for path in ("dlq/x/requeue", "pause", "resume")
    ],
    ("PUT", "/queue/options", "", {"queue": "emails", "maxRunning": 1}, [f"{QUEUE}:emails"]),
    ("GET", "/queue/queues", "", None, [QUEUE]),
]
CASES: list[Case] = [
    ("GET", "/keys/a", "", None, [READ_A]),
    ("GET", "/keys/a/1", "details=true", None, [READ_A]),
    ("PUT", "/keys/a", "", 1, [WRITE_A]),
    ("PATCH", "/keys/a", "", {"a": 1}, [WRITE_A]),
    ("DELETE", "/keys/a/1", "", None, [WRITE_A]),
    ("DELETE", "/keys/a/1", "exact=true", None, [WRITE_A]),
    ("DELETE", "/keys", "prefix=a", None, [WRITE_A]),
    ("DELETE", "/keys/a/1", "exact=true", {"where": {"x": {"$gt": 7}}}, [READ_A, WRITE_A]),
    ("DELETE", "/keys", "prefix=a", {"where": {"x": {"$gt": 7}}}, [READ_A, WRITE_A]),
    ("DELETE", "/keys", "prefix=a&limit=1", None, [READ_A, WRITE_A]),
    ("DELETE", "/keys", "prefix=a&start=a/1&end=a/2", None, [WRITE_A]),
    ("DELETE", "/keys", "startsWith=a/x&offset=1", None, [READ_A, WRITE_A]),
    ("DELETE", "/keys", "prefixes=a,b", None, [WRITE_A, WRITE_B]),
    ("GET", "/keys", "prefix=a", None, [READ_A]),
    ("GET", "/keys", "startsWith=a/x", None, [READ_A]),
    ("GET", "/keys", "startsWith=a", None, ["keyval:read"]),
    ("GET", "/keys", "prefixes=a,b", None, [READ_A, READ_B]),
    ("GET", "/keys", "prefix=a&offset=1", None, [READ_A]),
    ("GET", "/keys/count", "startsWith=a/x", None, [READ_A]),
    ("GET", "/keys", "pattern=a/*/n", None, [READ_A]),
    ("GET", "/keys", "pattern=*/n", None, ["keyval:read"]),
    ("GET", "/keys/count", "pattern=a/*", None, [READ_A]),
    ("GET", "/keys/paginate", "pattern=a/1/*", None, [READ_A]),
    ("DELETE", "/keys", "pattern=a/*", None, [READ_A, WRITE_A]),
    ("DELETE", "/keys", "pattern=*", None, ["keyval:read", "keyval:write"]),
    ("GET", "/keys/count", "prefix=a&start=a/1", None, [READ_A]),
    ("GET", "/keys/paginate", "prefixes=a,b", None, [READ_A, READ_B]),
    ("GET", "/keys", "", None, ["keyval:read"]),
    ("POST", "/keys/list", "", {"prefix": ["a"], "start": ["a", 1], "end": ["a", 5]}, [READ_A]),
    ("POST", "/keys/list", "", {"start": ["a"], "end": ["b"]}, ["keyval:read"]),
    ("GET", "/keys/count", "prefix=a", None, [READ_A]),
    ("POST", "/keys/count", "", {"prefix": ["a"]}, [READ_A]),
    ("GET", "/keys/paginate", "prefix=a", None, [READ_A]),
    ("POST", "/keys/paginate", "", {"prefix": ["a"], "snapshot": True}, [READ_A]),
    ("POST", "/keys/batch", "", {"keys": KEYS}, [READ_A, READ_B]),
    ("POST", "/keys/delete-batch", "", {"keys": KEYS}, [WRITE_A, WRITE_B]),
    (
        "POST",
        "/keys/delete-batch",
        "",
        {"keys": KEYS, "where": {"x": 1}},
        [READ_A, READ_B, WRITE_A, WRITE_B],
    ),
    (
        "POST",
        "/keys/set-batch",
        "",
        {"sets": [{"key": key, "value": 1} for key in KEYS]},
        [WRITE_A, WRITE_B],
    ),
    (
        "POST",
        "/atomic",
        "",
        COMMIT,
        [READ_A, WRITE_A, WRITE_B, 'keyval:write:["c"]', SEND],
    ),
    (
        "POST",
        "/transaction",
        "",
        {**COMMIT, "reads": [["d"]]},
        [READ_A, 'keyval:read:["d"]', WRITE_A, WRITE_B, 'keyval:write:["c"]', SEND],
    ),
    ("POST", "/transaction", "", {"reads": KEYS}, [READ_A, READ_B]),
    *(
        (
            "POST",
            path,
            "",
            {
                "mutations": [
                    {"type": "sum", "key": ["a"], "value": 1},
                    {"type": "set", "key": ["b"], "value": 1},
                    {"type": "persist", "key": ["b"]},
                ],
                "results": True,
            },
            [READ_A, WRITE_A, WRITE_B],
        )
        for path in ("/atomic", "/transaction")
    ),
    ("POST", "/keys/touch", "", {"keys": KEYS, "expiresIn": 1}, [WRITE_A, WRITE_B]),
    ("POST", "/keys/persist", "", {"keys": KEYS}, [WRITE_A, WRITE_B]),
    ("POST", "/queue/enqueue", "", {"value": 1}, [SEND]),
    ("POST", "/queue/enqueue", "", UNDELIVERED, [SEND, WRITE_A, WRITE_B]),
    *[("GET", f"/queue/{name}", "", None, [RECEIVE]) for name in ("poll", "dequeue", "listen")],
    *[("POST", f"/queue/{name}", "", {"id": "x"}, [RECEIVE]) for name in ("ack", "nack", "extend")],
    *[("POST", f"/queue/{name}/x", "", None, [RECEIVE]) for name in ("ack", "nack", "extend")],
    ("POST", "/queue/nack", "", {"id": "x", "lease": "y", "attempted": False}, [RECEIVE]),
    ("GET", "/queue/stats", "", None, [QUEUE]),
    ("GET", "/queue/dlq", "", None, [QUEUE]),
    ("DELETE", "/queue/dlq", "", None, [QUEUE]),
    ("GET", "/queue/dlq/x", "", None, [QUEUE]),
    ("DELETE", "/queue/dlq/x", "", None, [QUEUE]),
    ("POST", "/queue/dlq/x/requeue", "", None, [QUEUE]),
    *OF_ONE_QUEUE,
    ("GET", "/stream", "", None, ["keyval:read"]),
    ("GET", "/stream", "prefix=a", None, [READ_A]),
    ("GET", "/stream/follow", "", None, ["keyval:read"]),
    ("GET", "/stream/follow", "prefix=a", None, [READ_A]),
    ("GET", "/stream/seq", "", None, ["keyval:read"]),
    ("POST", "/stream/trim", "", {"upTo": 5}, [EVERYTHING]),
    ("GET", "/tasks", "", None, [TASKS]),
    ("GET", "/tasks", "name=mail", None, [f"{TASKS}:mai"]),
    ("POST", "/tasks", "", {"name": "mail"}, ["keyval:task:send:mai"]),
    ("POST", "/atomic", "", {"mutations": [{"type": "task", "name": "mail"}]}, [SEND_TASK]),
    ("GET", "/tasks/stats", "", None, [TASKS]),
    ("POST", "/tasks/lease", "", {"runner": "w"}, [RUN_TASK]),
    ("POST", "/tasks/complete", "", {"tasks": [{"id": "x", "token": "t"}]}, [RUN_TASK]),
    (
        *("POST", "/tasks/lease", "", {"runner": "w", "names": ["a", "b"]}),
        [f"{RUN_TASK}:a", f"{RUN_TASK}:b"],
    ),
    ("GET", "/tasks/listen", "runner=w&names=a", None, [f"{RUN_TASK}:a"]),
    ("GET", "/tasks/limits/report", "", None, [f"{TASKS}:rep"]),
    ("PUT", "/tasks/limits/report", "", {}, [f"{TASKS}:rep"]),
    ("GET", "/tasks/x", "", None, [SEND_TASK]),
    ("GET", "/tasks/x/wait", "", None, [SEND_TASK]),
    ("DELETE", "/tasks/x", "", None, [TASKS]),
    ("POST", "/tasks/x/cancel", "", None, [TASKS]),
    ("POST", "/tasks/x/retry", "", None, [TASKS]),
    ("POST", "/tasks/x/release", "", {"token": "t"}, [RUN_TASK]),
    ("POST", "/tasks/x/heartbeat", "", {"token": "t"}, [RUN_TASK]),
    ("POST", "/tasks/x/complete", "", {"token": "t"}, [RUN_TASK]),
    ("POST", "/tasks/x/fail", "", {"token": "t", "error": "no"}, [RUN_TASK]),
    ("GET", "/schedules", "", None, ["keyval:schedule"]),
    ("GET", "/schedules/report", "", None, ["keyval:schedule:rep"]),
    (
        *("PUT", "/schedules/report", "", {"task": {"name": "mail"}, "every": "1h"}),
        ["keyval:schedule:rep", "keyval:task:send:mai"],
    ),
    ("POST", "/schedules/report/run", "", None, ["keyval:schedule:rep"]),
    ("DELETE", "/schedules/report", "", None, ["keyval:schedule:rep"]),
    ("GET", "/locks", "", None, ["keyval:lock"]),
    ("GET", "/locks", "prefix=rep", None, [HOLD]),
    ("GET", "/locks/report", "", None, [HOLD]),
    ("POST", "/locks/report/acquire", "", {"owner": "w"}, [HOLD]),
    ("POST", "/locks/report/release", "", {"owner": "w"}, [HOLD]),
    ("POST", "/locks/report/steal", "", {"owner": "w"}, [EVERYTHING]),
    ("POST", "/atomic", "", {"checks": [{"lock": "report", "token": "t"}]}, [HOLD]),
    ("GET", "/consumers", "", None, ["keyval:consume"]),
    ("GET", "/consumers", "prefix=rep", None, [CONSUME]),
    ("GET", "/consumers/report", "", None, [CONSUME]),
    ("DELETE", "/consumers/report", "", None, [CONSUME]),
    ("POST", "/consumers/report/fetch", "", {"owner": "w"}, [CONSUME, "keyval:read"]),
    ("POST", "/consumers/report/fetch", "", {"owner": "w", "prefix": ["a"]}, [CONSUME, READ_A]),
    ("POST", "/consumers/report/commit", "", {"token": "t", "upTo": 1}, [CONSUME]),
    ("POST", "/consumers/report/nack", "", {"token": "t", "seq": 1}, [CONSUME]),
    ("POST", "/consumers/report/release", "", {"owner": "w"}, [CONSUME]),
    ("GET", "/consumers/report/peek", "", None, [CONSUME, "keyval:read"]),
    ("GET", "/consumers/report/peek", "prefix=a", None, [CONSUME, READ_A]),
    ("PUT", "/consumers/report/position", "", {"seq": 1}, [CONSUME]),
    ("GET", "/consumers/report/dead", "", None, [CONSUME, "keyval:read"]),
    ("POST", "/consumers/report/dead", "", {"seq": 1}, [CONSUME]),
    ("DELETE", "/consumers/report/dead", "seq=1", None, [CONSUME]),
    (
        "POST",
        "/atomic",
        "",
        {"mutations": [{"type": "consumer", "name": "report", "token": "t", "upTo": 1}]},
        [CONSUME],
    ),
    ("POST", "/indexes", "", {"prefix": ["a"], "fields": ["t"]}, ['keyval:index:admin:["a"]']),
    ("GET", "/indexes", "", None, ["keyval:index:admin"]),
    ("DELETE", "/indexes", "prefix=a", None, ['keyval:index:admin:["a"]']),
    ("GET", "/search", "prefix=a&query=x", None, [READ_A]),
    ("POST", "/search", "", {"prefix": ["a"], "query": "x"}, [READ_A]),
    ("POST", "/search/paginate", "", {"prefix": ["a"], "query": "x"}, [READ_A]),
    ("POST", "/search", "", PART_OF_AN_INDEX, [READ_A]),
    ("POST", "/search/paginate", "", PART_OF_AN_INDEX, [READ_A]),
    ("GET", "/watch", "keys=a/1,b", None, [READ_A, READ_B]),
    ("GET", "/watch/poll", "keys=a/1,b", None, [READ_A, READ_B]),
    ("POST", "/watch/poll", "", {"keys": KEYS}, [READ_A, READ_B]),
    ("GET", "/watch/prefix", "prefix=a", None, [READ_A]),
    ("GET", "/watch/prefix", "prefixes=a,b", None, [READ_A, READ_B]),
    ("GET", "/watch/prefix/poll", "prefix=a", None, [READ_A]),
    ("POST", "/watch/prefix/poll", "", {"prefixes": KEYS}, [READ_A, READ_B]),
    ("POST", "/vacuum", "", {}, [EVERYTHING]),
    ("GET", "/metrics", "", None, [METRICS]),
    ("GET", "/metrics/prometheus", "", None, [METRICS]),
    ("GET", "/health", "", None, []),
]


def someone(*scopes: str) -> Principal:
    return Principal("k1", "somebody", compile_grant(scopes, PERMISSIBLE))


def asked(world: World, case: Case) -> Asked:
    method, path, query, body, _ = case
    content = b"" if body is None else json.dumps(body).encode()
    raw = path.encode()
    route = TABLE.find(raw, method)[method]
    given = route.read(query.encode(), content)
    source = DirectRequest(method, b"/api" + raw, query.encode(), [])
    found: Asked = route.ask(world.service, Request(raw, given, content, False, source))
    return found


def test_each_route_says_what_it_needs() -> None:
    told = {f"{method} {path}" for method, path, *_ in CASES}
    routes = {f"{method} {path}" for path, methods in TABLE.paths.items() for method in methods}
    routes |= {f"{method} /keys/a" for method in KEY}
    told = {one.replace("/x", "/{id}").replace("/report", "/{id}") for one in told} | {
        f"{method} /keys/a" for method, path, *_ in CASES if path.startswith("/keys/a")
    }
    assert routes - told == set()


async def test_all_of_its_scopes_and_nothing_less(world: World) -> None:
    for case in CASES:
        needs_its_scopes(world, case)


def needs_its_scopes(world: World, case: Case) -> None:
    found, scopes = asked(world, case), case[-1]
    found.require(someone(*scopes))
    found.require(someone("keyval:*"))
    found.require(someone(EVERYTHING))
    for left_out in range(len(scopes)):
        fewer = [scope for place, scope in enumerate(scopes) if place != left_out]
        with pytest.raises(PermissionDenied) as told:
            found.require(someone(*fewer))
        assert "Missing permission: keyval:" in str(told.value)
    if scopes:
        # A scope of all queues is one of each of them.
        others = [
            other
            for other in (READ_A, WRITE_A, SEND, RECEIVE, METRICS)
            if not any(scope.startswith(other) for scope in scopes)
        ]
        with pytest.raises(PermissionDenied):
            found.require(someone(*others))


@pytest.mark.parametrize(
    ("scope", "path", "query", "missing"),
    [
        ('keyval:read:["users"]', "/keys", "", "keyval:read"),
        ('keyval:read:["users"]', "/keys", "prefix=user", 'keyval:read:["user"]'),
        ('keyval:read:["users"]', "/keys", "prefix=users2", 'keyval:read:["users2"]'),
        ('keyval:read:["users",42]', "/keys", "prefix=users", 'keyval:read:["users"]'),
        ('keyval:read:["users",42]', "/keys/users/43", "", 'keyval:read:["users",43]'),
        ('keyval:read:["users",42]', "/keys/users/42", "", None),
        ('keyval:read:["users",42]', "/keys/users/42/x", "", None),
        ('keyval:write:["users"]', "/keys/users/1", "", 'keyval:read:["users",1]'),
        ("keyval:read:[]", "/keys", "", None),
    ],
)
async def test_it_names_what_is_missing(
    world: World, scope: str, path: str, query: str, missing: str | None
) -> None:
    case: Case = ("GET", path, query, None, [])
    if missing is None:
        asked(world, case).require(someone(scope))
    else:
        with pytest.raises(PermissionDenied) as told:
            asked(world, case).require(someone(scope))
        assert str(told.value) == f"Missing permission: {missing}"


@pytest.mark.parametrize("kind", ["sum", "max", "min", "append", "prepend"])
@pytest.mark.parametrize("secret", ["secret", {"secret": 1}, [["secret"]], True])
async def test_who_may_only_write_learns_no_value(world: World, kind: str, secret: Any) -> None:
    await world.kv.set(["a"], secret)
    kv = world.kv.as_principal(someone('keyval:write:["a"]'))
    atomic = kv.atomic()
    change = getattr(atomic, kind)
    change(["a"], ["x"] if kind in ("append", "prepend") else 1)
    if isinstance(secret, list) and kind in ("append", "prepend"):
        assert (await atomic.commit()).ok
        return
    with pytest.raises(InvalidInput) as refused:
        await atomic.commit()
    assert str(refused.value).endswith((" string", " object", " array", " boolean"))


async def test_a_part_of_an_index_is_not_searched_alone(world: World) -> None:
    for path in ("/search", "/search/paginate"):
        found = asked(world, ("POST", path, "", PART_OF_AN_INDEX, []))
        with pytest.raises(PermissionDenied, match=r'keyval:read:\["a"\]'):
            found.require(someone('keyval:read:["a",1]'))


@pytest.mark.parametrize(
    ("method", "path", "query"),
    [
        ("GET", "/keys/$buntime/encryption", ""),
        ("PUT", "/keys/$buntime/x", ""),
        ("DELETE", "/keys/$buntime", ""),
        ("GET", "/keys", "prefix=$buntime"),
        ("GET", "/watch", "keys=a,$buntime/x"),
    ],
)
async def test_what_is_the_stores_own_is_for_administrators(
    world: World, method: str, path: str, query: str
) -> None:
    found = asked(world, (method, path, query, 1 if method == "PUT" else None, []))
    with pytest.raises(PermissionDenied, match="keyval:admin"):
        found.require(someone("keyval:read", "keyval:write"))
    found.require(someone(EVERYTHING))


@pytest.mark.parametrize("resource", ["users", "[null]", "[", '{"a":1}', '["a",[]]'])
def test_what_is_no_key_is_no_resource(resource: str) -> None:
    with pytest.raises(ValueError, match="the resource has to be a key such as"):
        PERMISSIONS["read"].resource(resource)  # type: ignore[misc] # it has one


async def test_a_feature_that_says_nothing_is_for_administrators(world: World) -> None:
    async def run() -> str:
        return ""

    silent = Asked("new", "read", run)
    with pytest.raises(PermissionDenied, match="keyval:admin"):
        silent.require(someone("keyval:read", "keyval:write"))
    silent.require(someone(EVERYTHING))
