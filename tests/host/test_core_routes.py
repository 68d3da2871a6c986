from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from buntime_host import __version__

if TYPE_CHECKING:
    from host.conftest import AddPlugin, Call, MakeHost

HEALTH = "@hookimpl\nasync def health():\n    return {}"


async def test_health(make_host: MakeHost, call: Call) -> None:
    async with make_host() as host:
        for path, status in {
            "/health": "healthy",
            "/health/": "healthy",
            "/health/live": "live",
            "/health/ready": "ready",
            "/api/health/": "healthy",
            "/api/health/live": "live",
            "/api/health/ready": "ready",
        }.items():
            content = (await call(host, path=path)).json
            assert content["ok"] is True
            assert (content["status"], content["version"]) == (status, __version__)
            assert (await call(host, "HEAD", path)).status == 200
        assert (await call(host, "POST", "/health")).code == "METHOD_NOT_ALLOWED"
        assert (await call(host, path="/health/x")).code == "NOT_FOUND"
        assert (await call(host, path="/api/x")).code == "NOT_FOUND"


async def test_readiness_during_start_and_shutdown(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    add_plugin("a")
    host = make_host()
    assert (await call(host, path="/health/ready")).code == "SERVICE_UNAVAILABLE"
    async with host:
        ready = await call(host, path="/health/ready")
        assert ready.json["plugins"] == {"a": {"state": "loaded", "ready": True}}
        host.announce_closing()
        closing = await call(host, path="/health/ready")
        assert (closing.status, closing.code) == (503, "NOT_READY")
        assert (await call(host, path="/health")).status == 200


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        ("True", None),
        ("None", None),
        ("False", "unhealthy"),
        ("'disk full'", "disk full"),
        ("1/0", "health failed: ZeroDivisionError: division by zero"),
    ],
)
async def test_readiness_asks_the_plugins(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call, answer: str, problem: str | None
) -> None:
    add_plugin("a", HEALTH.format(answer))
    add_plugin("b")
    async with make_host() as host:
        ready = await call(host, path="/health/ready")
        if problem is None:
            assert ready.status == 200
        else:
            assert ready.status == 503
            expected = {"state": "loaded", "reason": problem, "ready": False}
            assert ready.json["plugins"]["a"] == expected
            assert ready.json["plugins"]["b"]["ready"] is True


async def test_readiness_gives_reasons_only_to_who_may_ask(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    add_plugin("a", HEALTH.format("'disk full'"))
    async with make_host(RUNTIME_MASTER_KEY="k") as host:
        path = "/health/ready"
        entry = (await call(host, path=path)).json["plugins"]["a"]
        assert entry == {"state": "loaded", "ready": False}
        entry = (await call(host, path=path, headers={"x-api-key": "k"})).json["plugins"]["a"]
        assert entry["reason"] == "disk full"


async def test_readiness_counts_failed_and_excluded_but_not_disabled_plugins(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    add_plugin("a", "", enabled=False)
    add_plugin("b")
    async with make_host() as host:
        assert (await call(host, path="/health/ready")).status == 200
    add_plugin("c", "", dependencies=["a"])
    async with make_host() as host:
        ready = await call(host, path="/health/ready")
        assert ready.status == 503
        assert ready.json["plugins"]["c"] == {
            "state": "excluded",
            "reason": "requires a, which is disabled",
            "ready": False,
        }


async def test_lists_of_plugins(add_plugin: AddPlugin, make_host: MakeHost, call: Call) -> None:
    add_plugin("off", "", enabled=False)
    menus = "@hookimpl\ndef menus():\n    return [{'title': 'New', 'path': '/b'}]"
    add_plugin("b", menus, base="/b", dependencies=["c"], menus=[{"title": "Old"}])
    folder = add_plugin("c", "@hookimpl\ndef provides():\n    return 5", version="2.0.0")
    async with make_host() as host:
        loaded = (await call(host, path="/api/plugins/loaded")).json
        listed = (await call(host, path="/api/plugins/")).json
        status = (await call(host, path="/api/plugins/status")).json
    assert loaded == [
        {"name": "c", "base": None, "dependencies": [], "optionalDependencies": [], "menus": []},
        {
            "name": "b",
            "base": "/b",
            "dependencies": ["c"],
            "optionalDependencies": [],
            "menus": [{"title": "New", "path": "/b"}],
        },
    ]
    assert listed[0] == {
        "name": "c",
        "version": "2.0.0",
        "path": str(folder),
        "source": "directory",
        "state": "loaded",
    }
    assert [entry["state"] for entry in listed] == ["loaded", "loaded", "disabled"]
    assert status[0]["provides"] == "int"
    assert status[0]["hooks"] == ["provides"]
    assert status[0]["initMs"] >= 0
    assert status[2]["reason"] == "enabled is false"


async def test_small_paths(make_host: MakeHost, call: Call) -> None:
    async with make_host() as host:
        answer = await call(host, path="/")
        assert answer.body.decode() == f"Buntime v{__version__}"
        assert answer.headers["content-type"].startswith("text/plain")
        assert (await call(host, path="/favicon.ico")).status == 204
        known = (await call(host, path="/.well-known/buntime")).json
        assert known == {"api": "/api", "version": __version__}


@pytest.mark.parametrize(
    ("homepage", "target"),
    [("cpanel", "/cpanel"), ("/x/", "/x/"), ("https://e.org/", "https://e.org/")],
)
async def test_homepage(make_host: MakeHost, call: Call, homepage: str, target: str) -> None:
    async with make_host({"homepage": homepage}) as host:
        answer = await call(host, path="/")
        assert (answer.status, answer.headers["location"]) == (302, target)


async def test_api_prefix(make_host: MakeHost, call: Call) -> None:
    async with make_host(RUNTIME_API_PREFIX="/_") as host:
        assert (await call(host, path="/_/api/plugins/loaded")).json == []
        assert (await call(host, path="/_/api/health/ready")).status == 200
        assert (await call(host, path="/api/plugins/loaded")).status == 404
        assert (await call(host, path="/.well-known/buntime")).json["api"] == "/_/api"


KEYS: list[tuple[dict[str, str], int]] = [
    ({}, 401),
    ({"X-API-Key": "wrong"}, 401),
    ({"Authorization": "Basic secret"}, 401),
    ({"Authorization": "Bearer wrong"}, 401),
    ({"X-API-Key": "wrong", "Authorization": "Bearer secret"}, 401),
    ({"X-API-Key": "secret"}, 200),
    ({"Authorization": "bearer secret"}, 200),
]


@pytest.mark.parametrize(("headers", "status"), KEYS)
async def test_the_master_key_guards_the_api(
    make_host: MakeHost, call: Call, headers: dict[str, str], status: int
) -> None:
    async with make_host(RUNTIME_MASTER_KEY="secret") as host:
        for path in ("/api/plugins", "/api/plugins/status"):
            answer = await call(host, path=path, headers=headers)
            assert answer.status == status
            if status == 401:
                assert answer.code == "AUTH_REQUIRED"
                assert answer.json["error"] == "Unauthorized"
                assert answer.headers["www-authenticate"] == "Bearer"
        for path in ("/health", "/api/health/ready", "/api/plugins/loaded", "/"):
            assert (await call(host, path=path)).status == 200


async def test_plugins_can_ask_for_the_master_key(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    code = """
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route
    class Plugin:
        def __init__(self, options):
            self.ctx = None
        @hookimpl
        def on_init(self, ctx):
            self.ctx = ctx
        @hookimpl
        def routes(self):
            return [Route("/danger", self.danger)]
        async def danger(self, request):
            self.ctx.authorize(request)
            return PlainTextResponse("done")
    """
    add_plugin("p", code, base="/p")
    async with make_host() as host:
        assert (await call(host, path="/p/danger")).status == 200
    async with make_host(BUNTIME_ROOT_KEY="k") as host:
        assert (await call(host, path="/p/danger")).code == "AUTH_REQUIRED"
        assert (await call(host, path="/p/danger", headers={"x-api-key": "k"})).status == 200


async def test_lifespan(add_plugin: AddPlugin, make_host: MakeHost) -> None:
    add_plugin("p", "@hookimpl\ndef on_server_start(server):\n    assert server is None")
    incoming = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]
    sent: list[Any] = []
    host = make_host()

    async def receive() -> Any:
        return incoming.pop(0)

    async def send(message: Any) -> None:
        sent.append(message["type"])

    await host({"type": "lifespan"}, receive, send)
    assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
    assert host.statuses["p"].state == "stopped"


async def test_lifespan_of_a_host_that_cannot_start(make_host: MakeHost) -> None:
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        sent.append(message)

    await make_host({"plugins": ["none"]})({"type": "lifespan"}, receive, send)
    assert sent[0]["type"] == "lifespan.startup.failed"
    assert "none was not found" in sent[0]["message"]


async def test_parameters_that_mean_nothing_are_refused(make_host: MakeHost, call: Call) -> None:
    async with make_host() as host:
        for path in ("/api/plugins", "/api/plugins/loaded", "/api/plugins/status", "/metrics"):
            assert (await call(host, path=path)).status == 200
            answer = await call(host, path=f"{path}?name=x")
            assert (answer.status, answer.code) == (400, "INVALID_PARAMETER")
            assert answer.json["error"] == "Unknown parameter: 'name' (none is known here)"
        for path in ("/health", "/health/live", "/api/health"):
            assert (await call(host, path=f"{path}?now=1")).status == 200, "who probes may"
