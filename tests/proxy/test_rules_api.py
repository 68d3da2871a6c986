"""The API of rules: what it answers, and each of its errors."""

from __future__ import annotations

from typing import Any

import httpx2
import pytest
from proxy.conftest import Serve, client_for

RULES = "/redirects/api/rules"
RULE = {"pattern": "^/x", "target": "http://127.0.0.1:1"}


def error_of(answer: httpx2.Response) -> tuple[int, str]:
    content = answer.json()
    assert content["success"] is False
    assert content["code"]
    return answer.status_code, content["error"]


def create(client: httpx2.Client, **fields: Any) -> dict[str, Any]:
    answer = client.post(RULES, json={**RULE, **fields})
    assert answer.status_code == 201, answer.text
    made: dict[str, Any] = answer.json()
    return made


def test_a_rule_has_all_its_fields(client: httpx2.Client) -> None:
    fields = {
        "name": "all of it",
        "pattern": "^/all(/.*)$",
        "target": "https://127.0.0.1:1/base",
        "rewrite": "$1",
        "targetPath": "replace",
        "changeOrigin": True,
        "secure": False,
        "headers": {"x-a": "1"},
        "ws": False,
        "base": "/all",
        "relativePaths": True,
        "publicRoutes": {"GET": ["/all/*"], "ALL": ["/all/open/**"]},
        "enabled": False,
    }
    made = create(client, **fields)
    assert {name: made[name] for name in fields} == fields
    assert made["order"] == 0
    assert made["readonly"] is False
    assert client.get(f"{RULES}/{made['id']}").json() == made
    static, dynamic = client.get(RULES).json()
    assert dynamic == made
    assert (static["id"], static["readonly"], "order" in static) == ("static-0", True, False)
    assert client.get(f"{RULES}/static-0").json() == static


def test_orders_follow_each_other(client: httpx2.Client) -> None:
    assert [create(client)["order"] for _ in range(3)] == [0, 1, 2]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        ({}, "pattern and target are required"),
        ({"pattern": "^/x"}, "pattern and target are required"),
        ({"target": "http://a"}, "pattern and target are required"),
        ({**RULE, "pattern": "("}, "Invalid regex pattern"),
        ({**RULE, "pattern": "(?=x)"}, "Invalid regex pattern"),
        ({**RULE, "pattern": "x" * 513}, "Invalid regex pattern"),
    ],
)
def test_what_is_no_rule(client: httpx2.Client, body: dict[str, Any], error: str) -> None:
    assert error_of(client.post(RULES, json=body)) == (400, error)


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("target", "ftp://a", "http, https, ws, wss"),
        ("target", "http://", "and a host"),
        ("target", "/path", "and a host"),
        ("target", "http://u:p@a", "user"),
        ("target", "http://a/?x=1", "query"),
        ("target", "http://a/ b", "percent-encode"),
        ("target", "http://a:99999", "target"),
        ("target", 5, "target"),
        ("rewrite", "/a b", "percent-encode"),
        ("rewrite", "/a\r\nX: y", "percent-encode"),
        ("rewrite", "/a?b", "query"),
        ("rewrite", "/a/../b", "a segment . or .."),
        ("rewrite", "..", "a segment . or .."),
        ("rewrite", "/..$1", "a segment . or .."),
        ("rewrite", "/%2E$1x", "a segment . or .."),
        ("base", '/"><script>\n', "percent-encode"),
        ("base", "javascript:alert(1)", "begins with one /"),
        ("base", "//evil.example", "begins with one /"),
        ("headers", {"a b": "c"}, "not the name of a header"),
        ("headers", {"x-a": "b\r\nx-c: d"}, "one line"),
        ("headers", {"x-a": 1}, "headers"),
        ("headers", {"Transfer-Encoding": "chunked"}, "belongs to the connection"),
        ("headers", {f"x-{n}": "" for n in range(51)}, "more than 50"),
        ("publicRoutes", ["x"], "begins with /"),
        ("publicRoutes", ["(a+)+$"], "begins with /"),
        ("publicRoutes", {"get": ["/x"]}, "did you mean GET"),
        ("publicRoutes", {"PUSH": ["/x"]}, "'PUSH' is not a method that passes"),
        ("publicRoutes", {"TRACE": ["/x"]}, "not a method that passes"),
        ("enabled", "yes", "enabled"),
        ("targetPath", "drop", "targetPath"),
        ("colour", "red", "a rule has no 'colour'; it has"),
        ("patern", "^/x", "a rule has no 'patern' (did you mean pattern?)"),
    ],
)
def test_fields_are_checked(client: httpx2.Client, field: str, value: Any, said: str) -> None:
    answer = client.post(RULES, json={**RULE, field: value})
    status, error = error_of(answer)
    assert status == 400
    assert said in error
    assert client.get(RULES).json()[1:] == []


def test_what_is_unknown_is_named_before_what_is_missing(client: httpx2.Client) -> None:
    answer = client.post(RULES, json={"patern": "^/x", "target": RULE["target"]})
    assert "did you mean pattern?" in error_of(answer)[1]


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b'{"pattern": "a", "pattern": "b"}', b"\xff"])
def test_bodies_are_objects(client: httpx2.Client, body: bytes) -> None:
    assert client.post(RULES, content=body).status_code == 400


def test_changes_keep_what_they_do_not_say(client: httpx2.Client) -> None:
    made = create(client, rewrite="/y", headers={"x-a": "1"})
    create(client)
    changed = client.put(f"{RULES}/{made['id']}", json={"name": "n", "order": 7, "id": "z"}).json()
    assert changed == {**made, "name": "n"}
    back = client.put(f"{RULES}/{made['id']}", json=changed)  # as it was told
    assert back.json() == changed
    assert error_of(client.put(f"{RULES}/{made['id']}", json={"pattern": "("}))[0] == 400
    assert error_of(client.put(f"{RULES}/{made['id']}", json={"target": None}))[0] == 400
    assert client.get(f"{RULES}/{made['id']}").json() == changed


def test_a_rule_is_toggled_and_deleted(client: httpx2.Client) -> None:
    path = f"{RULES}/{create(client)['id']}"
    assert client.patch(f"{path}/toggle").json()["enabled"] is False
    assert client.patch(f"{path}/toggle").json()["enabled"] is True
    assert client.delete(path).json() == {"success": True}
    assert error_of(client.delete(path)) == (404, "Rule not found")


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/nobody", None),
        ("PUT", "/nobody", {}),
        ("PATCH", "/nobody", {}),
        ("PATCH", "/nobody/toggle", None),
        ("DELETE", "/nobody", None),
    ],
)
def test_rules_that_are_not_there(
    client: httpx2.Client, method: str, path: str, body: dict[str, Any] | None
) -> None:
    assert error_of(client.request(method, RULES + path, json=body)) == (404, "Rule not found")


def test_rules_of_the_configuration_cannot_be_changed(client: httpx2.Client) -> None:
    path = f"{RULES}/static-0"
    assert error_of(client.put(path, json={})) == (403, "Cannot modify static rules")
    assert error_of(client.patch(f"{path}/toggle")) == (403, "Cannot toggle static rules")
    assert error_of(client.delete(path)) == (403, "Cannot delete static rules")
    answer = client.put(f"{RULES}/reorder", json={"ids": ["static-0"]})
    assert error_of(answer) == (403, "Cannot reorder static rule: static-0")


def test_rules_are_reordered(client: httpx2.Client) -> None:
    ids = [create(client)["id"] for _ in range(3)][::-1]
    answer = client.put(f"{RULES}/reorder", json={"ids": ids})
    assert [(rule["id"], rule["order"]) for rule in answer.json()] == [
        (one, order) for order, one in enumerate(ids)
    ]
    assert [rule["id"] for rule in client.get(RULES).json()[1:]] == ids


@pytest.mark.parametrize("ids", [None, [], "x", [1], {}])
def test_an_order_is_a_list(client: httpx2.Client, ids: Any) -> None:
    answer = client.put(f"{RULES}/reorder", json={"ids": ids})
    assert error_of(answer) == (400, "ids must be a non-empty array")


def test_an_order_has_every_rule_once(client: httpx2.Client) -> None:
    one, two = (create(client)["id"] for _ in range(2))
    path = f"{RULES}/reorder"
    assert error_of(client.put(path, json={"ids": [one, "x"]})) == (404, "Rule not found: x")
    for ids in ([one], [one, one], [one, one, two]):
        answer = client.put(path, json={"ids": ids})
        assert error_of(answer) == (400, "ids must include all dynamic rule IDs")
    assert len(client.get(RULES).json()) == 3


def test_without_a_store_there_are_the_rules_of_the_configuration(serve: Serve) -> None:
    with (
        serve({"pattern": "^/up", "target": "http://127.0.0.1:1"}) as server,
        client_for(server) as client,
    ):
        assert [rule["id"] for rule in client.get(RULES).json()] == ["static-0"]
        long = "Dynamic rules not enabled (plugin-keyval not configured)"
        assert error_of(client.post(RULES, json=RULE)) == (400, long)
        short = (400, "Dynamic rules not enabled")
        assert error_of(client.put(f"{RULES}/reorder", json={"ids": ["x"]})) == short
        assert error_of(client.put(f"{RULES}/x", json={})) == short
        assert error_of(client.patch(f"{RULES}/x/toggle")) == short
        assert error_of(client.delete(f"{RULES}/x")) == short


def test_a_path_is_tried(client: httpx2.Client, target: str) -> None:
    def tried(**body: Any) -> dict[str, Any]:
        answer: dict[str, Any] = client.post("/redirects/api/test", json=body).json()
        return answer

    found = tried(path="/up/a%2Fb?c=1")
    assert found["matched"] is True
    assert found["rule"]["id"] == "static-0"
    assert found["url"] == f"{target}/a%2Fb?c=1"
    assert found["public"] is False
    assert tried(path="/elsewhere") == {"matched": False, "public": False}
    whose = tried(path="/keyval/api/keys/a", rule={**RULE, "pattern": "^/keyval"})
    assert (whose["matched"], whose["reservedBy"]) == (False, "@buntime/plugin-keyval")
    assert tried(path="/health", rule={**RULE, "pattern": "^/h"})["reservedBy"] == "host"
    rule = {**RULE, "pattern": "^/(a)(b)", "rewrite": "/$2/$1", "publicRoutes": {"GET": ["/ab"]}}
    found = tried(path="/ab", rule=rule)
    assert (found["url"], found["public"]) == ("http://127.0.0.1:1/b/a", True)
    assert tried(path="/ab", method="POST", rule=rule)["public"] is False
    assert tried(path="/ab", method="WEBSOCKET", rule={**rule, "ws": False})["matched"] is False
    for wrong, words in (
        ({}, "path has to be"),
        ({"path": "x"}, "begins with /"),
        ({"path": "/x", "rule": 1}, "rule has to be an object"),
        ({"path": "/x", "method": 1}, "received 1"),
        ({"path": "/x", "method": "get"}, "in capitals"),
        ({"path": "/x", "rules": {}}, "the body has no 'rules'; it has path, method, rule"),
    ):
        answer = client.post("/redirects/api/test", json=wrong)
        assert (answer.status_code, words in answer.json()["error"]) == (400, True), answer.text
    assert client.get(RULES).json()[1:] == []


def test_what_would_be_refused_is_not_matched(client: httpx2.Client) -> None:
    """As the request itself is answered, where it can be sent."""
    for path, method, status, code in (
        ("/up/a/../b", "GET", 400, "BAD_REQUEST"),
        ("/up/%2e%2e/b", "GET", 400, "BAD_REQUEST"),
        ("/up/a\\b", "GET", 400, "BAD_REQUEST"),
        ("/up/\u00e4", "GET", 400, "BAD_REQUEST"),
        ("/up/a", "TRACE", 405, "METHOD_NOT_ALLOWED"),
    ):
        told = client.post("/redirects/api/test", json={"path": path, "method": method}).json()
        assert told["matched"] is False
        assert (told["refused"]["status"], told["refused"]["code"]) == (status, code), path
        assert (told["rule"]["id"], "url" in told) == ("static-0", False)
    rule = {"pattern": "^/", "target": "http://169.254.169.254"}
    told = client.post("/redirects/api/test", json={"path": "/x", "rule": rule}).json()
    assert (told["matched"], told["refused"]["code"]) == (False, "TARGET_NOT_ALLOWED")
    assert client.get("/up/a/%2e%2e/b").status_code == 400


def test_what_no_route_knows_is_refused(client: httpx2.Client) -> None:
    assert client.get(f"{RULES}?limit=5").status_code == 400
    wrong = client.put(f"{RULES}/reorder", json={"ids": ["x"], "order": 1})
    assert error_of(wrong) == (400, "the body has no 'order'; it has ids")
