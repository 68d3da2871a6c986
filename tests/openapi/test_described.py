"""Every route of the host and its plugins is in the document, with a text."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from buntime_host import PluginContext, hookimpl
from buntime_host.described import Operation, described
from buntime_host.testing import HostClient, InMemory, running_host
from buntime_plugin_keyval.faces.http.routes import KEY, StoreRoutes
from buntime_plugin_keyval.service import FEATURES
from msgspec import Struct
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

METHODS = ("get", "put", "post", "patch", "delete", "options")


def operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method, path, said)
        for path, methods in document["paths"].items()
        for method, said in methods.items()
    ]


def test_every_route_has_a_text(document: dict[str, Any]) -> None:
    found = operations(document)
    assert len(found) > 100
    bare = [
        f"{method} {path}: {said['summary']!r}"
        for method, path, said in found
        if len(said["summary"].split()) < 3
    ]
    assert bare == [], "the docstring of an endpoint is what people read of its route"
    assert {method for method, _, _ in found} <= set(METHODS)


def test_every_route_of_the_store_is_there(document: dict[str, Any]) -> None:
    table = StoreRoutes(FEATURES)
    paths = {**table.paths, "/keys/{key}": KEY}
    for path, methods in paths.items():
        told = document["paths"][f"/keyval/api{path}"]
        assert {method.lower() for method in methods} == set(told)


def test_names_are_unique_and_variables_declared(document: dict[str, Any]) -> None:
    found = operations(document)
    names = [said["operationId"] for _, _, said in found]
    assert len(names) == len(set(names))
    for _, path, said in found:
        declared = [one["name"] for one in said["parameters"] if one["in"] == "path"]
        assert declared == re.findall(r"\{(\w+)\}", path)


def test_what_a_route_takes(document: dict[str, Any]) -> None:
    listed = document["paths"]["/keyval/api/keys"]["get"]
    limit = next(one for one in listed["parameters"] if one["name"] == "limit")
    assert limit["schema"] == {"type": "integer", "minimum": 1, "examples": [100]}
    assert limit["description"] == "A positive number, up to 1000"
    commit = document["paths"]["/keyval/api/atomic"]["post"]["requestBody"]
    shape = commit["content"]["application/json"]["schema"]
    assert commit["required"] is True
    assert shape["additionalProperties"] is False
    assert "mutations" in shape["properties"]
    body = document["paths"]["/database/api/query"]["post"]["requestBody"]
    name = body["content"]["application/json"]["schema"]["$ref"].rpartition("/")[2]
    assert "maxRows" in document["components"]["schemas"][name]["properties"]


def test_streams_and_errors_are_described(document: dict[str, Any]) -> None:
    watched = document["paths"]["/keyval/api/watch"]["get"]["responses"]
    assert list(watched["200"]["content"]) == ["text/event-stream"]
    error = watched["400"]["content"]["application/json"]["schema"]
    assert error == {"$ref": "#/components/schemas/Error"}
    assert document["components"]["schemas"]["Error"]["examples"]


class Greeting(Struct):
    who: str
    loud: bool = False


class Greeter:
    @hookimpl
    def routes(self) -> list[Route]:
        return [
            Route("/api/greetings", self._greet, methods=["POST"]),
            Route("/api/greetings/{id:int}", self._show),
            Route("/api/secret", self._show, include_in_schema=False),
        ]

    @described(body=Greeting, query={"times": "how often"}, answer=list[Greeting], status=201)
    async def _greet(self, request: Request) -> JSONResponse:
        """Greet somebody. It is polite.

        And a second paragraph.
        """
        return JSONResponse([], 201)

    async def _show(self, request: Request) -> JSONResponse:
        """Show a greeting by its number."""
        return JSONResponse({})


async def test_routes_of_other_plugins_describe_themselves(tmp_path: Path) -> None:
    plugin = InMemory(Greeter, base="/greeter", manifest={"description": "Greets"})
    async with running_host(plugin, folder=tmp_path) as client:
        document = (await client.get("/api/openapi.json")).json()
    assert "/greeter/api/secret" not in document["paths"]
    said = document["paths"]["/greeter/api/greetings"]["post"]
    assert said["summary"] == "Greet somebody"
    assert said["description"] == "Greet somebody. It is polite.\n\nAnd a second paragraph."
    assert said["tags"] == ["@test/plugin"]
    assert {"name": "@test/plugin", "description": "Greets"} in document["tags"]
    assert said["parameters"] == [
        {
            "name": "times",
            "in": "query",
            "schema": {"type": "string"},
            "description": "how often",
        }
    ]
    assert document["components"]["schemas"]["Greeting"]["required"] == ["who"]
    assert said["responses"]["201"]["content"]["application/json"]["schema"]["type"] == "array"
    (number,) = document["paths"]["/greeter/api/greetings/{id}"]["get"]["parameters"]
    assert number["schema"] == {"type": "integer", "minimum": 0}


class Whole:
    """A plugin that serves an application, and says itself what is in it."""

    said: object = (Operation(method="GET", path="/api/all", text="All of it at once."),)

    @hookimpl
    def on_init(self, ctx: PluginContext) -> None:
        self._name = ctx.name

    @hookimpl
    async def routes(self) -> Any:
        async def serve(scope: Scope, receive: Receive, send: Send) -> None:
            await JSONResponse({"name": self._name})(scope, receive, send)

        return serve

    @hookimpl
    async def openapi(self) -> Any:
        return self.said


class Wrong(Whole):
    said: object = ["GET /api/all"]


async def paths_of(client: HostClient) -> set[str]:
    return set((await client.get("/api/openapi.json")).json()["paths"])


async def test_an_application_is_described_by_a_hook(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_host(InMemory(Whole, base="/whole"), folder=tmp_path) as client:
        assert "/whole/api/all" in await paths_of(client)
    async with running_host(InMemory(Wrong, base="/whole"), folder=tmp_path) as client:
        assert "/api/plugins" in await paths_of(client), "the rest is told all the same"
    assert "Plugin @test/plugin: openapi() must return Operations" in caplog.messages


KEY_HEADER = {"x-api-key": "master-key-of-this-test-0123456789"}


async def test_on_a_closed_host_it_asks_for_a_credential(tmp_path: Path) -> None:
    environ = {"RUNTIME_MASTER_KEY": KEY_HEADER["x-api-key"]}
    plugin = InMemory(Greeter, base="/greeter")
    async with running_host(plugin, folder=tmp_path, environ=environ) as client:
        assert (await client.get("/api/openapi.json")).status_code == 401
        document = (await client.get("/api/openapi.json", headers=KEY_HEADER)).json()
        assert document["security"] == [{"key": []}, {"bearer": []}]
        page = await client.get("/api/docs")
        assert page.status_code == 200, "it tells nothing by itself"


async def test_the_viewer_is_strict_and_of_this_host_alone(tmp_path: Path) -> None:
    async with running_host(InMemory(Greeter, base="/greeter"), folder=tmp_path) as client:
        page = await client.get("/api/docs/")
        assert "script-src 'self';" in page.headers["content-security-policy"]
        assert '<base href="/api/">' in page.text
        links = re.findall(r'(?:src|href)="([^"]+)"', page.text.partition("<base")[2])
        assert len(links) == 5
        for link in links[1:]:
            file = await client.get(f"/api/{link}")
            assert file.status_code == 200
            assert len(file.content) > 100
        assert (await client.get("/api/docs/nope.js")).status_code == 404


async def test_without_the_viewer_it_says_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("buntime_host.routes.api_docs.PACKAGE", "a_package_that_is_not_there")
    async with running_host(InMemory(Greeter, base="/greeter"), folder=tmp_path) as client:
        missing = await client.get("/api/docs")
        assert (missing.status_code, missing.json()["code"]) == (404, "VIEWER_NOT_INSTALLED")
        assert 'pip install "buntime[docs]"' in missing.json()["error"]
