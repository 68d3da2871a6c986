"""Requests that were carried out other than they were meant: what each said is refused, or done."""

from __future__ import annotations

import json
from typing import Any

import pytest
from support.api import NOTHING, Api

pytestmark = [pytest.mark.slow, pytest.mark.ways("direct", "asgi")]

FOREIGN = "https://elsewhere.example"
ORIGIN_NOT_ALLOWED = "ORIGIN_NOT_ALLOWED"
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.fixture
def accounts(api: Api) -> Api:
    for path in ("acc/7", "acc/7/a", "acc/7/b", "acc/7/c", "acc/8"):
        api.put(path, 1)
    return api


def state(api: Api) -> Any:
    return api.keys(), api.json("GET", "/queue/stats")


def test_a_misspelt_exact_deletes_nothing(accounts: Api) -> None:
    message = accounts.error("DELETE", "/keys/acc/7", {"exactt": True})
    assert message == "Unknown parameter: 'exactt' (did you mean 'exact'?)"
    assert len(accounts.keys()) == 5


@pytest.mark.parametrize(
    "how",
    [
        {"query": {"exact": "true"}},
        {"content": b'{"exact": true}', "headers": FORM},
        {"content": b'{"exact": true}', "headers": {"Content-Type": "text/plain"}},
        {"content": b'{"exact": true}'},
        {"query": {"exact": "true"}, "content": b"{}"},
    ],
)
def test_an_exact_is_seen_wherever_it_is(accounts: Api, how: dict[str, Any]) -> None:
    assert accounts.json("DELETE", "/keys/acc/7", **how) == {"deletedCount": 1}


REFUSED: list[tuple[str, str, Any, str]] = [
    # method, path with query, body, what the message holds
    ("DELETE", "/keys/acc/7?exact=1", NOTHING, "exact must be true or false"),
    ("DELETE", "/keys/acc/7?exact=true", {"exact": False}, "exact is given twice"),
    ("DELETE", "/keys/acc/7", {"were": {"a": 1}}, "did you mean 'where'?"),
    ("DELETE", '/keys/acc/7?where={"a":1}', NOTHING, "'where' (it is a member of JSON bodies)"),
    ("DELETE", "/keys/acc/7", b"exact=true", "Invalid JSON body"),
    ("DELETE", "/keys/acc/7", ["exact"], "Body must be a JSON object"),
    ("DELETE", "/keys?prefix=acc/7&exact=yes", NOTHING, "exact must be true or false"),
    ("DELETE", "/keys?prefix=acc&prefix=none", NOTHING, "prefix is given twice"),
    ("DELETE", "/queue/dlq", {"id": "some-id"}, "Unknown parameter: 'id'"),
    ("DELETE", "/queue/dlq?id=some-id", NOTHING, "Unknown parameter: 'id'"),
    ("DELETE", "/queue/dlq/some-id", {"id": "other"}, "Unknown parameter: 'id'"),
    ("DELETE", "/indexes?prefix=a", {"prefix": ["b"]}, "prefix is given twice"),
    ("POST", "/keys/delete-batch", {"keys": [["acc", 7]], "exactly": True}, "mean 'exact'?"),
    ("POST", "/keys/delete-batch?exact=true", {"keys": [["acc", 7]]}, "'exact' (it is a member"),
    ("POST", "/keys/list", {"prfix": ["acc"]}, "'prfix' (did you mean 'prefix'?)"),
    ("POST", "/keys/list", {"prefix": ["acc"], "filter": {}}, "did you mean 'where'?"),
    ("POST", "/keys/list?limit=1", {"prefix": ["acc"]}, "'limit' (it is a member of JSON bodies)"),
    ("GET", "/keys", {"prefix": ["acc"]}, "takes no body, its parameters are in the query"),
    ("GET", "/keys?prefix=a&prefix=b", NOTHING, "prefix is given twice"),
    ("GET", "/keys?Prefix=acc", NOTHING, "did you mean 'prefix'?"),
    ("GET", "/keys?prefix=acc&reverse=yes", NOTHING, "reverse must be true or false"),
    ("GET", "/keys?prefix=acc&cursor=x", NOTHING, "Unknown parameter: 'cursor'"),
    ("GET", "/keys/count?prefix=acc&limits=1", NOTHING, "Unknown parameter: 'limits' (did you"),
    ("GET", "/keys/acc/7?limit=1", NOTHING, "Unknown parameter: 'limit'"),
    ("GET", "/keys?limit=10abc", NOTHING, "limit must be a positive number"),
    ("PUT", "/keys/new?ttl=1", 1, "'ttl' (did you mean 'expiresIn'?)"),
    ("PUT", "/keys/new?expires_in=1", 1, "'expires_in' (did you mean 'expiresIn'?)"),
    ("PUT", "/keys/new?expiresIn=soon", 1, "expiresIn must be a number (milliseconds)"),
    ("PUT", "/keys/new?expiresIn=1h&expiresIn=2h", 1, "expiresIn is given twice"),
    ("POST", "/atomic", {"check": [], "mutations": []}, "'check' (did you mean 'checks'?)"),
    ("POST", "/atomic", {"mutation": []}, "did you mean 'mutations'?"),
    ("POST", "/transaction", {"read": [["acc", 7]]}, "did you mean 'reads'?"),
    ("POST", "/queue/enqueue", {"value": 1, "delay": "1h"}, "did you mean 'options.delay'?"),
    ("POST", "/queue/enqueue", {"value": 1, "priority": 5}, "Unknown parameter: 'priority'"),
    ("POST", "/queue/enqueue", {"value": 1, "id": "x"}, "Unknown parameter: 'id'"),
    ("POST", "/queue/enqueue", {"value": 1, "options": {"dealy": 5}}, "'dealy' in options"),
    ("POST", "/queue/enqueue", {"value": 1, "options": {"maxAttempts": 5}}, "'maxAttempts' in"),
    ("POST", "/queue/enqueue", {"data": 1}, "did you mean 'value'?"),
    ("POST", "/queue/enqueue?delay=5", {"value": 1}, "Unknown parameter: 'delay'"),
    ("GET", "/queue/poll?leese=true", NOTHING, "did you mean 'lease'?"),
    ("GET", "/queue/poll?lease=1", NOTHING, "lease must be true or false"),
    ("POST", "/queue/ack/some-id", {"id": "other"}, "id is given twice"),
    ("POST", "/queue/ack", {"id": "some-id", "leased": "x"}, "did you mean 'lease'?"),
    ("POST", "/queue/nack", {"id": "some-id", "dely": 5}, "did you mean 'delay'?"),
    ("POST", "/queue/ack", {"id": "some-id", "delay": 5}, "Unknown parameter: 'delay'"),
    (
        "POST",
        "/search",
        {"prefix": ["a"], "query": "x", "options": {"limt": 1}},
        "'limt' in options",
    ),
    (
        "POST",
        "/search",
        {"prefix": ["a"], "query": "x", "where": {"a": 1}, "options": {"where": {"a": 2}}},
        "where is given twice",
    ),
    ("POST", "/indexes", {"prefix": ["a"], "feilds": ["t"]}, "did you mean 'fields'?"),
    ("GET", "/watch?key=acc/7", NOTHING, "did you mean 'keys'?"),
    ("GET", "/watch/poll?keys=a&versionstamp=x", NOTHING, "did you mean 'versionstamps'?"),
    ("GET", "/watch/prefix/poll?prefix=a&prefixes=b", NOTHING, "exclude each other"),
    ("POST", "/vacuum", {"limits": 5}, "did you mean 'limit'?"),
    ("GET", "/metrics?format=xml", NOTHING, "format must be json or prometheus"),
]


@pytest.mark.parametrize(
    ("method", "path", "body", "text"), REFUSED, ids=[f"{it[0]} {it[1]} {it[3]}" for it in REFUSED]
)
def test_what_is_not_understood_is_refused_and_nothing_is_done(
    accounts: Api, method: str, path: str, body: Any, text: str
) -> None:
    before = state(accounts)
    assert text in accounts.error(method, path, body)
    assert state(accounts) == before


DOUBLED = [
    ("POST", "/queue/enqueue", '{"value":1,"value":2}', "value is given twice"),
    ("POST", "/queue/enqueue", '{"value":1,"options":{"delay":1,"delay":2}}', "twice in options"),
    ("POST", "/keys/list", '{"prefix":["acc"],"limit":1,"prefix":["b"]}', "prefix is given twice"),
    ("POST", "/keys/count", '{"where":{"value":{"$gte":1,"$gte":2}}}', "twice in where.value"),
    ("DELETE", "/keys/acc", '{"exact":true,"\\u0065xact":false}', "exact is given twice"),
    (
        "POST",
        "/atomic",
        '{"mutations":[{"type":"set","key":["a"],"value":1,"key":["b"]}]}',
        "key is given twice in mutations[0]",
    ),
    ("POST", "/atomic", '{"mutations":[],"checks":[],"mutations":[]}', "mutations is given twice"),
]


@pytest.mark.parametrize(("method", "path", "text", "refusal"), DOUBLED)
def test_a_member_that_is_there_twice_is_refused(
    accounts: Api, method: str, path: str, text: str, refusal: str
) -> None:
    before = state(accounts)
    assert refusal in accounts.error(method, path, text.encode())
    assert state(accounts) == before


def test_in_values_the_last_one_counts(api: Api) -> None:
    api.send("PUT", "/keys/a", content=b'{"a":1,"a":2}')
    doubled = b'{"mutations":[{"type":"set","key":["b"],"value":[{"a":1,"a":{"b":1,"b":2}}]}]}'
    assert api.json("POST", "/atomic", doubled)["ok"]
    assert (api.value("a"), api.value("b")) == ({"a": 2}, [{"a": {"b": 2}}])


SET = {"type": "set", "key": ["new"], "value": 1}
BAD_MUTATIONS: list[tuple[dict[str, Any], str]] = [
    ({"type": "set", "key": ["new"]}, "value is required in a set"),
    (
        {"type": "set", "key": ["new"], "vaule": 5},
        "'vaule' in mutations[1] (did you mean 'value'?)",
    ),
    ({**SET, "ttl": 5}, "'ttl' in mutations[1] (did you mean 'expiresIn'?)"),
    ({**SET, "expires_in": 5}, "did you mean 'expiresIn'?"),
    ({**SET, "where": {}}, "Unknown parameter: 'where' in mutations[1]"),
    ({"type": "delete", "key": ["acc"], "exact": False}, "Unknown parameter: 'exact'"),
    ({"type": "delete", "key": ["acc"], "value": 1}, "value is not allowed on a delete"),
    ({"type": "enqueue", "value": 1, "options": {"delay": 5}}, "Unknown parameter: 'options'"),
    ({"type": "enqueue", "value": 1, "dely": 5}, "did you mean 'delay'?"),
    ({"type": "enqueue", "vlaue": 1}, "did you mean 'value'?"),
]


@pytest.mark.parametrize(("mutation", "text"), BAD_MUTATIONS)
@pytest.mark.parametrize("route", ["/atomic", "/transaction"])
def test_mutations_have_declared_members_too(
    accounts: Api, route: str, mutation: dict[str, Any], text: str
) -> None:
    before = state(accounts)
    assert text in accounts.error("POST", route, {"mutations": [SET, mutation]})
    assert state(accounts) == before


@pytest.mark.parametrize("route", ["/atomic", "/transaction"])
def test_checks_have_declared_members_too(accounts: Api, route: str) -> None:
    body = {"checks": [{"key": ["acc", 8], "version": "x"}], "mutations": [SET]}
    text = "'version' in checks[0] (did you mean 'versionstamp'?)"
    assert text in accounts.error("POST", route, body)
    assert accounts.value("new") is None


def test_what_older_clients_send_is_accepted(accounts: Api) -> None:
    for consistency in ("strong", "eventual"):
        query = {"consistency": consistency}
        for path in ("/keys", "/keys/acc/7", "/keys/count", "/keys/paginate"):
            accounts.json("GET", path, query=query)
        accounts.json("GET", "/watch/poll", query={"keys": "acc/7", **query})
        for path in ("/keys/list", "/keys/count", "/keys/paginate"):
            accounts.json("POST", path, query)
        accounts.json("POST", "/keys/batch", {"keys": [["acc", 7]], **query})
    accounts.json("PUT", "/keys/new?expireIn=1h", 1)
    accounts.mutate({**SET, "expireIn": "1h"})
    accounts.json("POST", "/queue/enqueue", {"value": 1, "options": {"delivery": "once"}})
    message = accounts.json("GET", "/queue/poll?lease=true")["message"]
    assert accounts.json("POST", "/queue/ack", message) == {"ok": True}


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
@pytest.mark.parametrize("path", ["/keys/list", "/atomic", "/keys/set-batch"])
def test_a_condition_in_a_header_is_refused(accounts: Api, header: str, path: str) -> None:
    """Of what is about several keys; see `test_conditional_requests.py` for the others."""
    before = state(accounts)
    response = accounts.send("POST", path, {}, headers={header: "*"})
    assert response.status_code == 501
    assert response.json()["code"] == "KEYVAL_CONDITIONS_UNSUPPORTED"
    assert header in response.json()["error"]
    assert state(accounts) == before


PAGES: list[dict[str, str]] = [
    {"Origin": FOREIGN},
    {"Origin": "null"},
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": FOREIGN, "Sec-Fetch-Site": "cross-site"},
]


@pytest.mark.parametrize("headers", PAGES)
@pytest.mark.parametrize("path", ["/queue/poll", "/queue/dequeue", "/queue/listen"])
def test_a_page_elsewhere_takes_no_message(api: Api, path: str, headers: dict[str, str]) -> None:
    api.json("POST", "/queue/enqueue", {"value": 1})
    response = api.send("GET", path, headers=headers)
    assert (response.status_code, response.json()["code"]) == (403, ORIGIN_NOT_ALLOWED)
    assert api.json("GET", "/queue/stats")["pending"] == 1
    assert api.json("GET", "/keys", headers=headers) == [], "reading is not what this is about"
    own = api.send("GET", "/queue/poll", headers={"Sec-Fetch-Site": "same-origin"})
    message = own.json()["message"]
    assert message["value"] == 1
    api.json("POST", "/queue/ack", {"id": message["id"]})


@pytest.mark.parametrize("headers", PAGES)
def test_a_page_elsewhere_writes_nothing(accounts: Api, headers: dict[str, str]) -> None:
    before = state(accounts)
    for method, path, body in (
        ("PUT", "/keys/new", 1),
        ("DELETE", "/keys/acc", NOTHING),
        ("POST", "/atomic", {"mutations": [SET]}),
        ("POST", "/queue/enqueue", {"value": 1}),
    ):
        response = accounts.send(method, path, body, headers=headers)
        assert (response.status_code, response.json()["code"]) == (403, ORIGIN_NOT_ALLOWED)
    assert state(accounts) == before


def test_a_head_takes_no_message(api: Api) -> None:
    api.json("POST", "/queue/enqueue", {"value": 1})
    response = api.send("HEAD", "/queue/poll")
    assert (response.status_code, response.headers["allow"]) == (405, "GET")
    message = api.json("GET", "/queue/poll")["message"]
    assert message["attempts"] == 1
    api.json("POST", "/queue/ack", {"id": message["id"]})


def test_a_get_may_have_a_body_with_nothing_in_it(accounts: Api) -> None:
    for blank in (b"{}", b" ", b"null"):
        response = accounts.send("GET", "/keys?prefix=acc", content=blank)
        assert (response.status_code, len(response.json())) == (200, 5)
    for content in (iter([b'{"prefix"', b': ["x"]}']), b"junk"):
        response = accounts.send("GET", "/keys?prefix=acc", content=content)
        assert (response.status_code, "takes no body" in response.text) == (400, True)


def test_messages_quote_what_was_sent_in_moderation(api: Api) -> None:
    message = api.error("GET", "/keys", query={"x" * 5000: "1"})
    assert len(message) < 300
    assert json.dumps(message).isascii()
