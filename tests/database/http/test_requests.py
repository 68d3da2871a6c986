"""Each route takes what it declares, and refuses the rest by name."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from support.database import Api, database_server

TARGET = ("type", "tenant")
PAGE = ("limit", "offset", "orderBy", "dir", "filter", "blob")
ROUTES: dict[str, tuple[tuple[str, ...], dict[str, Any] | None]] = {
    "GET health": (("type",), None),
    "GET adapters": ((), None),
    "GET tenants": (("type",), None),
    "POST tenants": ((), {"id": "acme"}),
    "DELETE tenants/gone": (("type",), None),
    "GET tables": ((*TARGET, "counts"), None),
    "GET tables/t/schema": (TARGET, None),
    "GET tables/t/rows": ((*TARGET, *PAGE), None),
    "POST tables/t/rows": (TARGET, {"row": {"x": 1}}),
    "PATCH tables/t/rows": (TARGET, {"where": {"x": 9}, "set": {"x": 8}}),
    "DELETE tables/t/rows": (TARGET, {"where": {"x": 9}}),
    "POST query": ((*TARGET, "blob"), {"sql": "SELECT 1"}),
    "POST execute": ((*TARGET, "blob"), {"sql": "SELECT 1"}),
    "POST batch": (TARGET, {"statements": [{"sql": "SELECT 1"}]}),
    "POST pipeline": (TARGET, {"requests": [{"type": "get_autocommit"}]}),
    "POST v2/pipeline": (TARGET, {"requests": []}),
    "POST v3/pipeline": (TARGET, {"requests": []}),
}
"""Query parameters and the least body of each route."""

GOOD = {
    "type": "sqlite",
    "tenant": "acme",
    "counts": "true",
    "limit": "5",
    "offset": "0",
    "orderBy": "x",
    "dir": "asc",
    "filter": "{}",
    "blob": "text",
}
BAD = {
    "type": "none",
    "tenant": "..",
    "counts": "1",
    "limit": "-1",
    "offset": "x",
    "orderBy": "none",
    "dir": "up",
    "filter": "[",
    "blob": "hex",
}
PARAMETERS = [(name, parameter) for name, (takes, _) in ROUTES.items() for parameter in takes]


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    folder = tmp_path_factory.mktemp("database")
    with database_server(folder, api={"write": True}) as server, Api(server) as api:
        api.post("tenants", {"id": "acme"}, 201)
        for tenant in (None, "acme"):
            api.sql("CREATE TABLE t (x)", tenant=tenant)
        yield api


def ask(api: Api, name: str, query: str = "", body: Any = None) -> tuple[int, str]:
    """Status and message of a request by the name of its route, with the body that it needs."""
    method, _, path = name.partition(" ")
    content = ROUTES[name][1] if body is None else body
    sent = None if content is None else json.dumps(content)
    answer = api.client.request(method, f"{api.base}/{path}{query}", content=sent)
    return answer.status_code, answer.text


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_what_is_declared_works(api: Api, name: str, parameter: str) -> None:
    status, text = ask(api, name, f"?{parameter}={GOOD[parameter]}")
    assert status in (200, 201), text


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_a_wrong_value_is_refused(api: Api, name: str, parameter: str) -> None:
    status, text = ask(api, name, f"?{parameter}={BAD[parameter]}")
    assert status == 400, text


@pytest.mark.parametrize(("name", "parameter"), PARAMETERS)
def test_what_is_given_twice_is_refused(api: Api, name: str, parameter: str) -> None:
    pair = f"{parameter}={GOOD[parameter]}"
    status, text = ask(api, name, f"?{pair}&{pair}")
    assert (status, f"{parameter} is given twice" in text) == (400, True)


@pytest.mark.parametrize("name", ROUTES)
def test_a_parameter_that_is_not_declared_is_refused(api: Api, name: str) -> None:
    status, text = ask(api, name, "?tenat=acme")
    assert (status, "Unknown parameter: 'tenat'" in text) == (400, True)
    assert ("did you mean 'tenant'?" in text) == ("tenant" in ROUTES[name][0])


@pytest.mark.parametrize("name", [name for name in ROUTES if "pipeline" not in name])
def test_a_member_that_is_not_declared_is_refused(api: Api, name: str) -> None:
    needed = ROUTES[name][1]
    status, text = ask(api, name, body={**(needed or {}), "tenat": "acme"})
    assert status == 400
    assert ("takes no body" if needed is None else "Unknown parameter: 'tenat'") in text


def test_a_misspelt_tenant_writes_nowhere(api: Api) -> None:
    insert = {"sql": "INSERT INTO t VALUES (7)"}
    refused = api.post("execute", {**insert, "tenat": "acme"}, 400)
    assert refused["error"] == "Unknown parameter: 'tenat' (did you mean 'tenant'?)"
    assert refused["code"] == "INVALID_BODY"
    assert api.post("execute?Tenant=acme", insert, 400)["code"] == "INVALID_PARAMETER"
    statements = [{"sql": "SELECT 1"}, {"sql": "SELECT ?", "arg": [1]}]
    refused = api.post("batch", {"statements": statements}, 400)
    assert refused["error"] == "Unknown parameter: 'arg' (did you mean 'args'?) in statements[1]"
    assert api.rows("SELECT * FROM t WHERE x = 7") == []


@pytest.mark.parametrize(
    ("path", "body", "refusal"),
    [
        ("query", '{"sql":"SELECT 1","sql":"SELECT 2"}', "sql is given twice;"),
        ("batch", '{"statements":[{"sql":"SELECT 1","sql":""}]}', "twice in statements[0]"),
        ("tables/t/rows", '{"row":{"x":1,"x":2}}', "x is given twice in row"),
    ],
)
def test_a_member_that_is_there_twice_is_refused(
    api: Api, path: str, body: str, refusal: str
) -> None:
    answer = api.client.post(f"{api.base}/{path}", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "INVALID_BODY")
    assert refusal in answer.json()["error"]


def test_a_column_that_a_filter_names_twice_is_refused(api: Api) -> None:
    query = '?filter={"x":1,"x":2}'
    status, text = ask(api, "GET tables/t/rows", query)
    assert (status, "filter: x is given twice" in text) == (400, True)


@pytest.mark.parametrize("path", ["pipeline", "v2/pipeline", "v3/pipeline"])
def test_a_message_of_hrana_says_nothing_twice(api: Api, path: str) -> None:
    body = '{"requests":[{"type":"execute","stmt":{"sql":"SELECT 1","sql":"SELECT 2"}}]}'
    answer = api.client.post(f"{api.base}/{path}", content=body)
    assert (answer.status_code, answer.json()["code"]) == (400, "HRANA_PROTO_ERROR")
    assert "sql is given twice in requests[0].stmt" in answer.json()["error"]


def test_wrong_types_are_refused_by_name(api: Api) -> None:
    for name, value in (("maxRows", "5"), ("readonly", 1), ("tenant", 5), ("args", "x")):
        refused = api.post("query", {"sql": "SELECT 1", name: value}, 400)
        assert refused["code"] == "INVALID_BODY"
        assert name in refused["error"]


def test_a_body_that_is_not_read_is_refused(api: Api) -> None:
    api.post("tenants", {"id": "kept"}, 201)
    api.call("DELETE", "tenants/kept", {"type": "other"}, 400)
    assert "kept" in api.get("tenants")["tenants"]
    api.call("GET", "tables", {"tenant": "acme"}, 400)


@pytest.mark.parametrize("header", ["If-Match", "If-None-Match"])
def test_a_condition_in_a_header_is_refused(api: Api, header: str) -> None:
    for name in ("PATCH tables/t/rows", "POST execute", "GET tables"):
        method, _, path = name.partition(" ")
        refused = api.call(method, path, ROUTES[name][1], 501, **{header: "x"})
        assert refused["code"] == "CONDITIONS_NOT_SUPPORTED"
        assert header in refused["error"]
