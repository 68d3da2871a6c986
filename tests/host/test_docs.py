"""The documents name every hook and every setting, and their example works."""

from __future__ import annotations

import inspect
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import buntime_host
import pytest
from buntime_host import Answer, DirectRequest, Host
from buntime_host.config import IGNORED_KEYS, load_config, settings_schema
from buntime_host.options.schema import TYPES, OptionField
from buntime_host.plugins import hookspecs
from buntime_host.plugins.manifest import HOST_FIELDS

if TYPE_CHECKING:
    from host.conftest import Call, MakeHost

ROOT = Path(__file__).resolve().parents[2]
PLUGINS = (ROOT / "docs" / "plugins.md").read_text("utf-8")
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text("utf-8")
HOOKS = {
    name: function
    for name, function in vars(hookspecs).items()
    if hasattr(function, f"{hookspecs.PROJECT}_spec")
}


def test_there_are_hooks() -> None:
    assert len(HOOKS) == 20


@pytest.mark.parametrize("name", HOOKS)
def test_every_hook_is_documented_with_its_arguments(name: str) -> None:
    arguments = ", ".join(inspect.signature(HOOKS[name]).parameters)
    assert f"`{name}({arguments})`" in PLUGINS
    assert HOOKS[name].__doc__


@pytest.mark.parametrize("field", sorted(HOST_FIELDS))
def test_every_manifest_field_is_documented(field: str) -> None:
    assert f"`{field}`" in PLUGINS


def test_every_option_type_is_documented() -> None:
    assert ", ".join(TYPES) in PLUGINS


def leaves(prefix: str, fields: dict[str, OptionField]) -> dict[str, OptionField]:
    found: dict[str, OptionField] = {}
    for name, field in fields.items():
        if field.properties:
            found |= leaves(f"{prefix}{name}.", dict(field.properties))
        else:
            found[prefix + name] = field
    return found


@pytest.mark.parametrize(("name", "field"), leaves("", dict(settings_schema())).items())
def test_every_setting_is_documented_with_variables_and_default(
    name: str, field: OptionField
) -> None:
    row = next(line for line in CONFIGURATION.splitlines() if line.startswith(f"| `{name}` |"))
    for variable in field.env:
        assert f"`{variable}`" in row
    if isinstance(field.default, list):
        text = str(field.default).replace("'", '"')
    elif isinstance(field.default, bool):
        text = str(field.default).lower()
    else:
        text = str(field.default)
    if field.default not in (None, ""):
        assert f"| `{text}` |" in row


def test_ignored_keys_and_reserved_headings() -> None:
    for key in IGNORED_KEYS:
        assert f"`{key}`" in CONFIGURATION
    for heading in (
        "## plugin-database",
        "## plugin-gateway",
        "## plugin-keyval",
        "## plugin-proxy",
    ):
        assert heading in CONFIGURATION


def test_public_names() -> None:
    for name in buntime_host.__all__:
        assert getattr(buntime_host, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = buntime_host.nope  # type: ignore[attr-defined] # the checker knows it, too


def blocks(kind: str) -> dict[str, str]:
    """The blocks of the guide that are marked as files, by name."""
    return dict(re.findall(rf"<!-- {kind}: (\S+) -->\n```\w+\n(.*?)```", PLUGINS, re.DOTALL))


def write_plugin(folder: Path, files: dict[str, str]) -> None:
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name).write_text(text)


async def test_the_example_works(tmp_path: Path, call: Call) -> None:
    files = blocks("example")
    assert list(files) == ["manifest.yaml", "plugin.py", "buntime.jsonc"]
    configuration = tmp_path / "buntime.jsonc"
    configuration.write_text(files.pop("buntime.jsonc"))
    write_plugin(tmp_path / "plugins" / "counter", files)
    async with Host(load_config(configuration, environ={}), environ={"COUNTER_STEP": "5"}) as host:
        assert (await call(host, "POST", "/counter/api/count")).json == {"count": 5}
        assert (await call(host, path="/counter/api/count")).json == {"count": 5}
        assert (await call(host, path="/counter/nope")).code == "NOT_FOUND"


async def test_the_plugin_without_asgi_is_as_good(
    tmp_path: Path, make_host: MakeHost, call: Call
) -> None:
    manifest = {"manifest.yaml": 'name: "@example/counter"\nbase: /counter\n'}
    write_plugin(tmp_path / "plugins" / "counter", {**manifest, **blocks("direct")})
    async with make_host() as host:
        assert (await call(host, "POST", "/counter/api/count", body=b"5")).json == {"count": 5}
        assert (await call(host, "POST", "/counter/api/nope")).status == 404
        assert host.dispatcher is not None
        app = host.dispatcher.direct.mounts[b"/counter"].app
        assert app.is_direct("POST", b"/api/count")
        assert app.answer(DirectRequest("GET", b"/api/count", b"", [])) == Answer(
            200, '{"count": 5}'
        )


async def test_the_passage_counts(tmp_path: Path, make_host: MakeHost, call: Call) -> None:
    files = blocks("example")
    del files["buntime.jsonc"]
    write_plugin(tmp_path / "plugins" / "counter", files)
    manifest = {"manifest.yaml": 'name: "@example/meter"\n'}
    write_plugin(tmp_path / "plugins" / "meter", {**manifest, **blocks("meter")})
    async with make_host() as host:
        answers = [await call(host, path="/counter/api/count") for _ in range(6)]
        assert [answer.headers.get("x-left") for answer in answers] == [*"43210", None]
        assert answers[-1].code == "TOO_MANY_REQUESTS"


async def test_the_guard_protects(tmp_path: Path, make_host: MakeHost, call: Call) -> None:
    files = blocks("example")
    del files["buntime.jsonc"]
    write_plugin(tmp_path / "plugins" / "counter", files)
    manifest = {"manifest.yaml": 'name: "@example/guard"\nversion: 1.0.0\n'}
    write_plugin(tmp_path / "plugins" / "guard", {**manifest, **blocks("guard")})
    async with make_host() as host:
        refused = await call(host, path="/counter/api/count")
        assert refused.status == 403
        allowed = {"x-counter-key": "s3cret"}
        answer = await call(host, path="/counter/api/count", headers=allowed)
        assert answer.json == {"count": 0}


async def test_what_is_done_in_the_background(
    tmp_path: Path, make_host: MakeHost, call: Call
) -> None:
    manifest = {"manifest.yaml": 'name: "@example/reporter"\n'}
    write_plugin(tmp_path / "plugins" / "reporter", {**manifest, **blocks("background")})
    async with make_host() as host:
        assert host.service("@example/reporter").reports == 0
        assert b"task_failures_total" in (await call(host, path="/metrics")).body


async def test_what_is_written_about_routes(
    tmp_path: Path, make_host: MakeHost, call: Call
) -> None:
    manifest = {"manifest.yaml": 'name: "@example/greeter"\nbase: /greeter\n'}
    write_plugin(tmp_path / "plugins" / "greeter", {**manifest, **blocks("described")})
    async with make_host() as host:
        answer = await call(host, "POST", "/greeter/api/greetings?times=2", body=b'{"who": "Ada"}')
        assert [greeting["who"] for greeting in answer.json] == ["Ada", "Ada"]
        document = (await call(host, path="/api/openapi.json")).json
    said = document["paths"]["/greeter/api/greetings"]["post"]
    assert said["summary"] == "Greet somebody, once or several times"
    assert "201" in said["responses"]


@pytest.mark.slow
def test_the_test_of_a_plugin_runs(tmp_path: Path) -> None:
    write_plugin(tmp_path / "tests", blocks("testing"))
    (tmp_path / "tests" / "pytest.ini").write_text("[pytest]\nanyio_mode = auto\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", tmp_path / "tests"],
        capture_output=True,
        text=True,
    )
    assert "1 passed" in done.stdout, done.stdout + done.stderr
