"""What is said of mistakes that authors of plugins make: by `buntime check`, and by a start."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any, NamedTuple

import pytest
from buntime_host.cli import cli
from buntime_host.config import load_config
from buntime_host.errors import StartupError
from buntime_host.host import Host
from click.testing import CliRunner

GOOD = """
from buntime_host import hookimpl
from starlette.responses import PlainTextResponse
from starlette.routing import Route

async def hello(request):
    return PlainTextResponse("hello")

@hookimpl
def routes():
    return [Route("/api/hello", hello)]
"""


class Mistake(NamedTuple):
    what: str
    says: str
    """Part of what is said; `{file}` is the path of plugin.py."""
    code: str = GOOD
    manifest: str = 'name: "@example/hello"\nbase: /hello\n'
    entry: Any = "@example/hello"
    """In `plugins` of the configuration."""
    is_warning: bool = False
    """The plugin runs all the same."""
    needs_start: bool = False
    """Only a start can find it."""


MISTAKES = [
    Mistake(
        "a hook that is misspelled",
        "there is no hook on_inti (did you mean on_init?) ({file}:4); the hooks are aliases, ",
        "from buntime_host import hookimpl\n\n\n@hookimpl\ndef on_inti(ctx):\n    pass\n",
    ),
    Mistake(
        "an argument that the hook does not have",
        "the hook on_init may take ctx, and not context ({file}:4)",
        "from buntime_host import hookimpl\n\n\n@hookimpl\ndef on_init(context):\n    pass\n",
    ),
    Mistake(
        "no hook is marked",
        "{file} has no function marked @hookimpl and none of plugin, Plugin, default: mark on_init",
        "def on_init(ctx):\n    pass\n",
    ),
    Mistake(
        "no hook of a class is marked",
        "without any method marked @hookimpl: mark routes",
        "class Plugin:\n    def routes(self):\n        return []\n",
    ),
    Mistake(
        "one of the hooks is not marked",
        "on_shutdown is named like a hook and never called: mark it with @hookimpl ({file}:12)",
        GOOD + "\ndef on_shutdown():\n    pass\n",
        is_warning=True,
    ),
    Mistake(
        "a factory that wants more than options",
        "is called with the options alone, and wants options, database ({file}:2)",
        "class Plugin:\n    def __init__(self, options, database):\n        pass\n",
    ),
    Mistake(
        "a package that is not installed",
        "import failed: ModuleNotFoundError: No module named 'not_there_xyz' ({file}:2)",
        "import json\nimport not_there_xyz\n",
    ),
    Mistake("no Python", "import failed: SyntaxError: ", "def on_init(ctx:\n"),
    Mistake(
        "an entry file that does not exist",
        "pluginEntry server.py does not exist",
        manifest='name: "@example/hello"\nbase: /hello\npluginEntry: server.py\n',
        is_warning=True,
    ),
    Mistake(
        "an entry that the file does not have",
        "has no attribute Pluggin (did you mean Plugin?)",
        "class Plugin:\n    pass\n",
        'name: "@example/hello"\nbase: /hello\npluginEntry: plugin.py:Pluggin\n',
    ),
    Mistake(
        "a page that is not there",
        "entrypoint client/index.html is not a file of the plugin",
        manifest='name: "@example/hello"\nbase: /hello\nentrypoint: client/index.html\n',
    ),
    Mistake(
        "a path without a slash",
        "routes failed: AssertionError: Routed paths must start with '/' ({file}:10)",
        GOOD.replace('"/api', '"api'),
    ),
    Mistake(
        "a path that repeats the base",
        "the route /hello/api begins with the base, and is served at /hello/hello/api",
        GOOD.replace("/api/hello", "/hello/api"),
        is_warning=True,
    ),
    Mistake(
        "one route in the place of a list",
        "routes() must return a list of routes, also of one: [Route(…)]",
        GOOD.replace("[Route", "Route").replace(")]", ")"),
    ),
    Mistake(
        "a base of two segments",
        'manifest.yaml: base: must be "/" or one path segment such as "/my-plugin"',
        manifest='name: "@example/hello"\nbase: /hello/world\n',
    ),
    Mistake(
        "a base of the host",
        "@example/hello: base /health is reserved for the host",
        manifest='name: "@example/hello"\nbase: /health\n',
    ),
    Mistake(
        "routes without a base",
        "has routes but no base, so they are not served",
        manifest='name: "@example/hello"\n',
        is_warning=True,
    ),
    Mistake(
        "a name that begins with @, without quotes",
        "manifest.yaml: line 1: found character that cannot start any token (quote names",
        manifest="name: @example/hello\n",
    ),
    Mistake(
        "a dependency that does not exist",
        "requires @buntime/plugin-keyvall, which is not installed",
        manifest='name: "@example/hello"\ndependencies: ["@buntime/plugin-keyvall"]\n',
    ),
    Mistake(
        "a name that is not that of the manifest",
        "plugins[0]: @example/helo was not found in",
        entry="@example/helo",
    ),
    Mistake(
        "a version that is none",
        "manifest.yaml: version: 'one' is not a version such as \"1.2.0\"",
        manifest='name: "@example/hello"\nbase: /hello\nversion: one\n',
        is_warning=True,
    ),
    Mistake(
        "a field of the manifest that is misspelled",
        "manifest.yaml: dependncies: is not a field of manifests (did you mean dependencies?)",
        manifest='name: "@example/hello"\nbase: /hello\ndependncies: ["other"]\n',
        is_warning=True,
    ),
    Mistake(
        "an option of another type",
        "pause: must be a number of milliseconds or a duration such as",
        manifest='name: "@example/hello"\nbase: /hello\nconfig:\n  pause: {type: duration}\n',
        entry=["@example/hello", {"pause": "soon"}],
    ),
    Mistake(
        "an option that the manifest does not have",
        "(@example/hello): unknown options have no effect: pauses",
        manifest='name: "@example/hello"\nbase: /hello\nconfig:\n  pause: {type: duration}\n',
        entry=["@example/hello", {"pauses": "1s"}],
        is_warning=True,
    ),
    Mistake(
        "an option that the struct refuses",
        "step: must be at least 1, received 0",
        """
        from typing import Annotated
        from buntime_host import Options, hookimpl, option

        class HelloOptions(Options, frozen=True):
            step: Annotated[int, option("Step", least=1)] = 1

        class Plugin:
            def __init__(self, options: HelloOptions) -> None:
                pass
            @hookimpl
            def on_init(self) -> None:
                pass
        """,
        entry=["@example/hello", {"step": 0}],
    ),
    Mistake(
        "a failure at the start",
        "on_init failed: KeyError: 'url' ({file}:5)",
        "from buntime_host import hookimpl\n\n@hookimpl\ndef on_init(ctx):\n    ctx.config['url']",
        needs_start=True,
    ),
    Mistake(
        "a service that lacks what is asked of it",
        "needs a Store of @buntime/plugin-keyval, and the service of that lacks sing",
        """
        from typing import Protocol
        from buntime_host import hookimpl

        class Store(Protocol):
            def get(self, key: str) -> object: ...
            def sing(self) -> None: ...

        @hookimpl
        def on_init(ctx):
            ctx.require_plugin("@buntime/plugin-keyval", Store)
        """,
        'name: "@example/hello"\ndependencies: ["@buntime/plugin-keyval"]\n',
        needs_start=True,
    ),
]


def write(folder: Path, mistake: Mistake) -> Path:
    plugin = folder / "plugins" / "hello"
    plugin.mkdir(parents=True)
    (plugin / "manifest.yaml").write_text(mistake.manifest)
    (plugin / "plugin.py").write_text(dedent(mistake.code).lstrip())
    other = folder / "plugins" / "other"
    other.mkdir()
    (other / "manifest.yaml").write_text("name: other\nbase: /other\n")
    (other / "plugin.py").write_text(GOOD)
    others: list[Any] = ["other"]
    if 'plugin-keyval"' in mistake.manifest:
        adapters = {"adapters": [{"type": "sqlite", "url": "sqlite://:memory:"}]}
        others = [["@buntime/plugin-database", adapters], "@buntime/plugin-keyval"]
    configuration = folder / "buntime.jsonc"
    plugins = [mistake.entry, *others]
    configuration.write_text(json.dumps({"plugins": plugins, "pluginDirs": ["./plugins"]}))
    return configuration


def said(mistake: Mistake, folder: Path) -> str:
    return mistake.says.format(file=folder / "plugins" / "hello" / "plugin.py")


def test_there_are_enough() -> None:
    assert len(MISTAKES) >= 15


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.what)
def test_check_says_it(mistake: Mistake, tmp_path: Path) -> None:
    path = write(tmp_path, mistake)
    opens = ["--open"] if mistake.needs_start else []
    found = CliRunner().invoke(cli, ["check", "--config", str(path), *opens])
    assert said(mistake, tmp_path) in found.stderr
    assert found.exit_code == (0 if mistake.is_warning else 1)
    assert "Traceback" not in found.output


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.what)
async def test_a_start_says_it(
    mistake: Mistake, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    environ: Mapping[str, str] = {}
    config = load_config(write(tmp_path, mistake), environ=environ)
    host = Host(config, environ=environ)
    told = ""
    try:
        await host.start()
    except StartupError as error:
        told = str(error)
    else:
        state = host.statuses["@example/hello"].state
        assert state == "loaded" if mistake.is_warning else state in ("failed", "excluded")
        await host.stop()
    assert said(mistake, tmp_path) in told + caplog.text
