"""What authors of plugins have for their tests, and what their plugins get of the host."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import pytest
from buntime_host import (
    Duration,
    MissingService,
    Options,
    PluginContext,
    Secret,
    Size,
    hookimpl,
    option,
)
from buntime_host.testing import FakeClock, InMemory, StartHost, running_host
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route
from support.waiting import until

if TYPE_CHECKING:
    from host.conftest import AddPlugin, Call, MakeHost

pytest_plugins = ["buntime_host.testing"]


class CounterOptions(Options, frozen=True):
    step: Annotated[int, option("Step", least=1, env="COUNTER_STEP")] = 1
    pause: Annotated[Duration, option("Pause")] = Duration("250ms")
    largest: Annotated[Size, option("Largest")] = Size("1mb")
    token: Annotated[Secret, option("Token", env="COUNTER_TOKEN")] = Secret("")


class Counter:
    def __init__(self, options: CounterOptions) -> None:
        self.options = options
        self.count = 0
        self.ctx: PluginContext

    @hookimpl
    def on_init(self, ctx: PluginContext) -> None:
        self.ctx = ctx
        ctx.every("1m", self.add, once=True)

    def add(self) -> None:
        self.count += self.options.step

    @hookimpl
    def provides(self) -> Counter:
        return self

    @hookimpl
    def routes(self) -> list[Route]:
        return [Route("/api/count", self.answer, methods=["GET", "POST"])]

    async def answer(self, request: Request) -> JSONResponse:
        if request.method == "POST":
            self.add()
        return JSONResponse({"count": self.count})


async def test_a_plugin_in_memory(start_host: StartHost, fake_clock: FakeClock) -> None:
    plugin = InMemory(Counter, base="/counter", options={"step": 2})
    client = await start_host(plugin, clock=fake_clock)
    assert (await client.post("/counter/api/count")).json() == {"count": 2}
    await fake_clock.advance(120)
    assert (await client.get("/counter/api/count")).json() == {"count": 6}
    assert (await client.get("/counter/nope")).status_code == 404


async def test_options_come_as_the_struct_says(tmp_path: Path) -> None:
    plugin = InMemory(Counter, base="/counter", options={"pause": "1.5s", "largest": "2kb"})
    environ = {"COUNTER_STEP": "7", "COUNTER_TOKEN": "s3cret"}
    async with running_host(plugin, folder=tmp_path, environ=environ) as client:
        options = client.host.service("@test/plugin").options
    assert (options.step, options.pause, options.largest) == (7, 1.5, 2048)
    assert options.token == "s3cret"
    assert "s3cret" not in repr(options)


async def test_a_plugin_that_does_not_start_fails_the_test(tmp_path: Path) -> None:
    plugin = InMemory(Counter, base="/counter", options={"step": 0})
    with pytest.raises(AssertionError, match=r"@test/plugin failed: step: must be at least 1"):
        async with running_host(plugin, InMemory(Other, name="other"), folder=tmp_path):
            pass
    environ = {"COUNTER_STEP": "many"}
    with pytest.raises(AssertionError, match="step: COUNTER_STEP must be a number"):
        async with running_host(
            InMemory(Counter), InMemory(Other, name="other"), folder=tmp_path, environ=environ
        ):
            pass


async def test_an_option_that_there_is_not_is_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plugin = InMemory(Counter, base="/counter", options={"stepp": 2})
    async with running_host(plugin, folder=tmp_path):
        pass
    says = "option stepp has no effect: there is none of that name (did you mean step?)"
    assert says in caplog.messages


class Counts(Protocol):
    count: int

    def add(self) -> None: ...


class Sings(Counts, Protocol):
    def sing(self) -> None: ...


class Other:
    """Needs no options, so it takes none."""

    def __init__(self) -> None:
        self.ctx: PluginContext

    @hookimpl
    def on_init(self, ctx: PluginContext) -> None:
        self.ctx = ctx

    @hookimpl
    def provides(self) -> Other:
        return self


async def test_services_have_types(tmp_path: Path) -> None:
    other = InMemory(Other, name="other", manifest={"dependencies": ["@test/plugin"]})
    async with running_host(InMemory(Counter), other, folder=tmp_path) as client:
        ctx: PluginContext = client.host.service("other").ctx
        counts = ctx.require_plugin("@test/plugin", Counts)
        counts.add()  # as the type checker knows it
        found = ctx.get_plugin("@test/plugin", Counter)
        assert found is counts
        assert ctx.get_plugin("nope", Counts) is None
        with pytest.raises(MissingService, match=r"needs a Sings of @test/plugin, .* lacks sing$"):
            ctx.get_plugin("@test/plugin", Sings)
        with pytest.raises(MissingService, match=r"is none, but a Counter$"):
            ctx.require_plugin("@test/plugin", Other)
        with pytest.raises(TypeError, match="of a class or of a Protocol"):
            ctx.get_plugin("@test/plugin", print)


async def test_once_by_the_locks_of_a_store(tmp_path: Path, fake_clock: FakeClock) -> None:
    adapters = {"adapters": [{"type": "sqlite", "url": str(tmp_path / "kv.db")}]}
    plugins: list[Any] = [
        ("@buntime/plugin-database", adapters),
        "@buntime/plugin-keyval",
        InMemory(Counter, manifest={"dependencies": ["@buntime/plugin-keyval"]}),
    ]
    async with (
        running_host(*plugins, folder=tmp_path, clock=fake_clock) as one,
        running_host(*plugins, folder=tmp_path, clock=fake_clock) as two,
    ):
        counters = [client.host.service("@test/plugin") for client in (one, two)]
        await fake_clock.advance(60)
        locks = one.host.service("@buntime/plugin-keyval").locks
        name = "every:@test/plugin:Counter.add"
        await until(lambda: sum(counter.count for counter in counters) == 1)
        held = await locks.get(name)
        assert held is not None
        assert await locks.release(name, held.owner)


async def test_below_the_base_of_what_failed_is_the_reason(
    add_plugin: AddPlugin, make_host: MakeHost, call: Call
) -> None:
    add_plugin("a", "@hookimpl\ndef on_init():\n    raise OSError('no disk')", base="/a")
    add_plugin("b", dependencies=["gone"], base="/b")
    add_plugin("c", enabled=False, base="/c")
    add_plugin("d")
    async with make_host() as host:
        failed = await call(host, path="/a/api/x")
        assert (failed.status, failed.code) == (503, "PLUGIN_NOT_RUNNING")
        assert "plugin a does not run: on_init failed: OSError: no disk (" in failed.json["error"]
        excluded = await call(host, path="/b")
        assert "plugin b does not run: requires gone" in excluded.json["error"]
        assert (await call(host, path="/c")).status == 404
    async with make_host(RUNTIME_MASTER_KEY="master-key-of-this-test-0123456789") as host:
        assert (await call(host, path="/a/api/x")).status == 401
        created = await call(
            host,
            "POST",
            "/api/keys",
            {"x-api-key": "master-key-of-this-test-0123456789", "content-type": "application/json"},
            b'{"name": "reader", "permissions": ["host:metrics:read"]}',
        )
        assert created.status == 201, created.body
        key = created.json["data"]["key"]
        hidden = await call(host, path="/a/api/x", headers={"x-api-key": key})
        assert hidden.json["error"] == "plugin a does not run: the log of the host says why"
