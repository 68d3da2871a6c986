"""Loading, initialising, sharing services, failing, shutting down: a whole host in process."""

from __future__ import annotations

import asyncio
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from buntime_host.errors import MissingService, RequiredPluginFailed, StartupError

if TYPE_CHECKING:
    from host.conftest import AddPlugin, MakeHost

RECORDER = """
import pathlib
log = pathlib.Path({log!r})
def record(text):
    with log.open("a") as file:
        file.write(text + "\\n")
"""


class Log:
    """What the plugins have recorded."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clear()

    def clear(self) -> None:
        self.path.write_text("")

    @property
    def lines(self) -> list[str]:
        return self.path.read_text().splitlines()


@pytest.fixture
def log(tmp_path: Path) -> Log:
    return Log(tmp_path / "log.txt")


def recorder(log: Log, name: str, *, init: str = "", shutdown: str = "") -> str:
    return (
        RECORDER.format(log=str(log.path))
        + f"""
import asyncio
class Plugin:
    def __init__(self, options):
        record("make {name}")
    @hookimpl
    async def on_init(self, ctx):
        record("init {name}")
        {init or "pass"}
    @hookimpl
    async def on_shutdown(self):
        record("shutdown {name}")
        {shutdown or "pass"}
"""
    )


async def test_start_in_dependency_order_and_stop_in_reverse(
    add_plugin: AddPlugin, make_host: MakeHost, log: Log
) -> None:
    add_plugin("a", recorder(log, "a"), dependencies=["b"])
    add_plugin("b", recorder(log, "b"))
    add_plugin("c", recorder(log, "c"), optionalDependencies=["a"])
    async with make_host() as host:
        assert [s.name for s in host.statuses.values()] == ["b", "a", "c"]
        assert {s.state for s in host.statuses.values()} == {"loaded"}
    assert {s.state for s in host.statuses.values()} == {"stopped"}
    assert log.lines == [
        *("make b", "init b", "make a", "init a", "make c", "init c"),
        *("shutdown c", "shutdown a", "shutdown b"),
    ]


async def test_a_disabled_plugin_never_runs(
    add_plugin: AddPlugin, make_host: MakeHost, log: Log
) -> None:
    add_plugin("off", RECORDER.format(log=str(log.path)) + "record('imported')", enabled=False)
    add_plugin("on")
    async with make_host() as host:
        assert host.statuses["off"].state == "disabled"
    assert log.lines == []


PROVIDER = """
class Plugin:
    def __init__(self, options):
        self.options = options
        self.context = None
    @hookimpl
    def on_init(self, ctx):
        self.context = ctx
        self.own = ctx.get_plugin(ctx.name)
    @hookimpl
    async def provides(self):
        return self
"""


async def test_services(
    add_plugin: AddPlugin, make_host: MakeHost, caplog: pytest.LogCaptureFixture
) -> None:
    add_plugin("@buntime/plugin-one", PROVIDER)
    add_plugin("two", PROVIDER, dependencies=["@buntime/one"], base="/two", n=1)
    add_plugin("three", PROVIDER)
    async with make_host() as host:
        lifecycle = host._lifecycle
        assert lifecycle is not None
        two = lifecycle.services.get("two")
        one = two.context.get_plugin("@buntime/one")
        assert two.own is None, "a service is not visible while its plugin initialises"
        assert one is two.context.getPlugin("@buntime/plugin-one")
        assert one is two.context.require_plugin("@buntime/plugin-one")
        assert two.context.get_plugin("nope") is None
        with pytest.raises(MissingService, match="two needs the service of nope"):
            two.context.require_plugin("nope")
        assert caplog.messages == []
        for _ in range(3):
            assert two.context.get_plugin("three") is not None
        (message,) = caplog.messages
        assert "two uses three without declaring it" in message
        context = two.context
        assert (context.name, context.base, context.config) == ("two", "/two", {"n": 1})
        assert context.config == two.options
        assert context.base_dir == host.config.base_dir
        assert context.runtime.api == "/api"
        assert context.logger.name == "plugin:two"
        assert context.global_config.plugin_dirs == host.config.plugin_folders
        assert not context.closing.is_set()
    assert context.closing.is_set()
    assert context.get_plugin("@buntime/one") is None
    assert context.get_plugin("three") is None


async def test_a_failure_is_isolated_and_its_dependants_are_skipped(
    add_plugin: AddPlugin, make_host: MakeHost, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    add_plugin("a", recorder(log, "a", init="raise ValueError('no\\n database')"))
    add_plugin("b", recorder(log, "b"), dependencies=["a"])
    add_plugin("c", recorder(log, "c"), optionalDependencies=["a"])
    async with make_host() as host:
        states = {s.name: (s.state, s.reason) for s in host.statuses.values()}
    file = host.config.base_dir / "plugins" / "a" / "plugin.py"
    lines = file.read_text().splitlines()
    line = next(number for number, text in enumerate(lines, 1) if "raise ValueError" in text)
    text = f"on_init failed: ValueError: no database ({file}:{line})"
    assert states == {
        "a": ("failed", text),
        "b": ("failed", "requires a, which failed"),
        "c": ("loaded", None),
    }
    # What a failed init has opened is closed again, and b never ran.
    assert log.lines == [
        *("make a", "init a", "shutdown a"),
        *("make c", "init c", "shutdown c"),
    ]
    records = [r for r in caplog.records if r.levelno == logging.ERROR]
    assert [r.getMessage() for r in records] == [
        f"Plugin a failed: {text}",
        "Plugin b failed: requires a, which failed",
    ]
    assert all(record.exc_info is None for record in records)


async def test_init_timeout_cancels(add_plugin: AddPlugin, make_host: MakeHost, log: Log) -> None:
    wait = (
        "try:\n            await asyncio.sleep(60)\n"
        "        except asyncio.CancelledError:\n            record('cancelled')\n            raise"
    )
    add_plugin("a", recorder(log, "a", init=wait))
    add_plugin("b")
    async with make_host({"initTimeout": 50}) as host:
        assert host.statuses["a"].reason == 'Plugin "a" initialization timed out after 50ms'
        assert host.statuses["b"].state == "loaded"
    assert log.lines == ["make a", "init a", "cancelled", "shutdown a"]


async def test_shutdown_goes_on_after_a_raising_and_a_hanging_hook(
    add_plugin: AddPlugin, make_host: MakeHost, log: Log, caplog: pytest.LogCaptureFixture
) -> None:
    add_plugin("a", recorder(log, "a"))
    add_plugin("b", recorder(log, "b", shutdown="raise RuntimeError('b')"))
    add_plugin("c", recorder(log, "c", shutdown="await asyncio.sleep(60)"))
    host = make_host({"hookTimeout": 50})
    await host.start()
    log.clear()
    assert await host.stop()
    assert log.lines == ["shutdown c", "shutdown b", "shutdown a"]
    assert caplog.messages == [
        "Plugin c: on_shutdown timed out after 50ms",
        "Plugin b: on_shutdown failed: RuntimeError: b",
    ]


async def test_shutdown_has_one_cap_for_all(
    add_plugin: AddPlugin, make_host: MakeHost, log: Log
) -> None:
    for name in "abc":
        add_plugin(name, recorder(log, name, shutdown="await asyncio.sleep(60)"))
    host = make_host({"hookTimeout": 200, "shutdownTimeout": 250})
    await host.start()
    started = asyncio.get_running_loop().time()
    assert not await host.stop()
    assert asyncio.get_running_loop().time() - started < 5


async def test_strict_and_required_make_a_failure_fatal(
    add_plugin: AddPlugin, make_host: MakeHost, log: Log
) -> None:
    add_plugin("a", recorder(log, "a"))
    add_plugin("b", "@hookimpl\ndef on_init():\n    raise OSError('disk')")
    expected = r"required plugin b: on_init failed: OSError: disk"
    for config in ({"strict": True}, {"required": ["b"]}):
        with pytest.raises(RequiredPluginFailed, match=expected):
            await make_host(config).start()
    assert log.lines.count("shutdown a") == 2
    async with make_host({"required": ["a"]}) as host:
        assert host.statuses["b"].state == "failed"


async def test_an_exclusion_is_fatal_when_required(
    add_plugin: AddPlugin, make_host: MakeHost
) -> None:
    add_plugin("a", "", dependencies=["gone"])
    add_plugin("b")
    with pytest.raises(StartupError, match=r"required plugin a: requires gone, which is not inst"):
        await make_host({"required": ["a"]}).start()
    with pytest.raises(StartupError, match="required plugin b is disabled"):
        await make_host({"required": ["b"], "plugins": [["b", {"enabled": False}]]}).start()
    async with make_host() as host:
        assert host.statuses["a"].state == "excluded"


async def test_nothing_at_all_loaded_is_fatal(add_plugin: AddPlugin, make_host: MakeHost) -> None:
    add_plugin("a", "raise KeyError('x')")
    with pytest.raises(StartupError, match=r"no plugin could be loaded: a: import failed: KeyEr"):
        await make_host().start()
    async with make_host({"plugins": []}):
        pass


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("x = 1", "has no function marked @hookimpl and none of plugin, Plugin, default"),
        ("plugin = 5", "5 is not a plugin"),
        ("def plugin(options):\n    return object()", "without any method marked @hookimpl"),
        ("def plugin(options):\n    raise OSError('f')", "factory failed: OSError: f"),
        ("def plugin():\n    pass", "without any method marked @hookimpl"),
        ("import does_not_exist_xyz", "import failed: ModuleNotFoundError"),
        ("raise SystemExit(3)", "import failed: SystemExit: 3"),
        ("this is no python", "import failed: SyntaxError"),
        ("@hookimpl\ndef on_inti():\n    pass", "on_inti"),
        ("@hookimpl\ndef on_init(contxt):\n    pass", "contxt"),
        ("@hookimpl(wrapper=True)\ndef on_init():\n    yield", "wrappers are not supported"),
        ("@hookimpl\ndef routes():\n    return 5", "routes() must return routes or an ASGI"),
        ("@hookimpl\ndef routes():\n    return [5]", "5, which is not a Starlette route"),
        ("@hookimpl\ndef middleware():\n    return [5]", "middleware() must return a sequence"),
        ("@hookimpl\ndef menus():\n    return [5]", "menus() must be a list"),
        ("@hookimpl\ndef provides():\n    raise OSError('p')", "provides failed: OSError: p"),
        ("@hookimpl\ndef on_init():\n    raise SystemExit(4)", "failed: SystemExit: 4"),
    ],
)
async def test_what_is_no_plugin_fails_with_a_reason(
    add_plugin: AddPlugin, make_host: MakeHost, code: str, reason: str
) -> None:
    add_plugin("bad", code)
    add_plugin("good")
    async with make_host() as host:
        assert host.statuses["bad"].state == "failed"
        assert reason in (host.statuses["bad"].reason or "")
        assert host.statuses["good"].state == "loaded"


@pytest.mark.parametrize(
    ("entry", "files"),
    [
        (None, {"plugin.py": "{code}"}),
        (None, {"__init__.py": "from .inner import Plugin", "inner.py": "{code}"}),
        (None, {"plugin.py": "from .server import Plugin", "server/__init__.py": "{code}"}),
        ("src/main.py", {"src/main.py": "from .other import Plugin", "src/other.py": "{code}"}),
        ("src/main.py:make", {"src/main.py": "{code}\nmake = Plugin({{}})"}),
        ("odd-name.py", {"odd-name.py": "{code}"}),
        ("pack.mod:Plugin", {"pack/mod.py": "{code}"}),
        ("gone.py", {"plugin.py": "{code}"}),
        (None, {"plugin.py": "{code}\nasync def plugin(options):\n    return Plugin(options)"}),
        (None, {"plugin.py": "from buntime_host import hookimpl\n@hookimpl\ndef provides():"
                             "\n    return 'served'"}),
    ],
)  # fmt: skip
async def test_entries(
    tmp_path: Path, make_host: MakeHost, entry: str | None, files: dict[str, str]
) -> None:
    code = (
        "from buntime_host import hookimpl\nclass Plugin:\n"
        "    def __init__(self, options):\n        pass\n"
        "    @hookimpl\n    def provides(self):\n        return 'served'\n"
    )
    folder = tmp_path / "plugins" / "p"
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(content.format(code=code) if "{code}" in content else content)
    (folder / "manifest.yaml").write_text(f"name: p\npluginEntry: {entry}" if entry else "name: p")
    before = list(sys.path)
    async with make_host() as host:
        assert host.statuses["p"].provides == "str", host.statuses["p"].reason
    assert sys.path == before


async def test_two_plugins_may_have_files_of_one_name(
    add_plugin: AddPlugin, make_host: MakeHost
) -> None:
    code = "from . import server\n@hookimpl\ndef provides():\n    return server.value\n"
    (add_plugin("a", code) / "server.py").write_text("value = 1")
    (add_plugin("b", code) / "server.py").write_text("value = 'text'")
    async with make_host() as host:
        assert (host.statuses["a"].provides, host.statuses["b"].provides) == ("int", "str")


async def test_two_hosts_in_one_process_share_nothing(
    add_plugin: AddPlugin, make_host: MakeHost
) -> None:
    add_plugin("p", PROVIDER)
    async with make_host() as one, make_host() as two:
        assert one._lifecycle is not None
        assert two._lifecycle is not None
        assert one._lifecycle.services.get("p") is not two._lifecycle.services.get("p")


async def test_options_are_the_plugins_own_copy(add_plugin: AddPlugin, make_host: MakeHost) -> None:
    code = """
    def plugin(options):
        options["a"]["b"] = 2
        return Impl()
    class Impl:
        @hookimpl
        def on_init(self, ctx):
            assert ctx.config["a"]["b"] == 1
    """
    add_plugin("p", code, a={"b": 1})
    async with make_host() as host:
        assert host.statuses["p"].reason is None


async def test_bad_options_fail_one_plugin(add_plugin: AddPlugin, make_host: MakeHost) -> None:
    add_plugin("a", "", config={"n": {"type": "number", "required": True}})
    add_plugin("b")
    async with make_host() as host:
        assert host.statuses["a"].reason == "n: is required"
        assert host.statuses["b"].state == "loaded"


async def test_server_start_runs_in_order_and_may_fail(
    add_plugin: AddPlugin, make_host: MakeHost, caplog: pytest.LogCaptureFixture
) -> None:
    add_plugin("a", "@hookimpl\ndef on_server_start(server):\n    raise OSError(server)")
    add_plugin("b", "@hookimpl\nasync def on_server_start():\n    raise OSError('b')")
    async with make_host() as host:
        await host.server_started("it")
    assert caplog.messages == [
        "Plugin a: on_server_start failed: OSError: it",
        "Plugin b: on_server_start failed: OSError: b",
    ]


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ("plugin.py:Gone", "has no attribute Gone"),
        ("not_there.at_all:Plugin", "import failed: ModuleNotFoundError"),
        ("json:JSONDecoder.decode", "is called with the options alone, and wants self, s"),
    ],
)
async def test_entries_that_lead_nowhere(
    add_plugin: AddPlugin, make_host: MakeHost, entry: str, reason: str
) -> None:
    add_plugin("bad", pluginEntry=entry)
    add_plugin("good")
    async with make_host() as host:
        assert reason in (host.statuses["bad"].reason or "")


@pytest.mark.slow
async def test_a_folder_without_code(add_plugin: AddPlugin, make_host: MakeHost) -> None:
    (add_plugin("bad", pluginEntry="gone.py") / "plugin.py").unlink()
    add_plugin("good")
    async with make_host() as host:
        assert "pluginEntry gone.py does not exist" in (host.statuses["bad"].reason or "")


async def test_a_missing_entry_falls_back_with_a_warning(
    add_plugin: AddPlugin, make_host: MakeHost, caplog: pytest.LogCaptureFixture
) -> None:
    add_plugin("p", pluginEntry="dist/plugin.js")
    async with make_host() as host:
        assert host.statuses["p"].state == "loaded"
    assert caplog.messages == ["pluginEntry dist/plugin.js does not exist, using plugin.py"]


async def test_a_module_named_in_the_configuration(
    tmp_path: Path, make_host: MakeHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site").mkdir()
    code = "from buntime_host import hookimpl\n@hookimpl\ndef provides():\n    return 1\n"
    (tmp_path / "site" / "module_named_directly.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    async with make_host({"plugins": ["module_named_directly"]}) as host:
        status = host.statuses["module_named_directly"]
        assert (status.state, status.source, status.provides) == ("loaded", "module", "int")


async def test_routes_without_a_base_are_not_served(
    add_plugin: AddPlugin, make_host: MakeHost, caplog: pytest.LogCaptureFixture
) -> None:
    add_plugin("p", "@hookimpl\ndef routes():\n    return []")
    async with make_host() as host:
        assert not host.statuses["p"].served
    assert caplog.messages == ["has routes but no base, so they are not served"]


@pytest.mark.slow
async def test_a_hook_that_ignores_its_cancellation_is_left_behind(
    add_plugin: AddPlugin, make_host: MakeHost
) -> None:
    code = """
    import asyncio
    release = asyncio.Event()
    @hookimpl
    async def on_init():
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                asyncio.get_running_loop().call_later(1.5, release.set)
    """
    add_plugin("stubborn", code)
    add_plugin("good")
    async with make_host({"initTimeout": 20}) as host:
        assert "timed out after 20ms" in (host.statuses["stubborn"].reason or "")
        assert host.statuses["good"].state == "loaded"
