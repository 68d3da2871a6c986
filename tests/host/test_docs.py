"""The documents name every hook and every setting, and their example works."""

from __future__ import annotations

import inspect
import re
from pathlib import Path
from typing import TYPE_CHECKING

import buntime_host
import pytest
from buntime_host import hookspecs
from buntime_host.config import IGNORED_KEYS, host_schema
from buntime_host.manifest import HOST_FIELDS
from buntime_host.schema import TYPES, Field

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
    assert len(HOOKS) == 11


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


def leaves(prefix: str, fields: dict[str, Field]) -> dict[str, Field]:
    found: dict[str, Field] = {}
    for name, field in fields.items():
        if field.properties:
            found |= leaves(f"{prefix}{name}.", dict(field.properties))
        else:
            found[prefix + name] = field
    return found


@pytest.mark.parametrize(("name", "field"), leaves("", dict(host_schema())).items())
def test_every_setting_is_documented_with_variables_and_default(name: str, field: Field) -> None:
    row = next(line for line in CONFIGURATION.splitlines() if line.startswith(f"| `{name}` |"))
    for variable in field.env:
        assert f"`{variable}`" in row
    if isinstance(field.default, list):
        text = str(field.default).replace("'", '"')
    elif isinstance(field.default, bool):
        text = str(field.default).lower()
    else:
        text = str(field.default) if field.default != "" else '""'
    if field.default is not None:
        assert f"| `{text}` |" in row


def test_ignored_keys_and_reserved_headings() -> None:
    for key in IGNORED_KEYS:
        assert f"`{key}`" in CONFIGURATION
    for heading in ("## plugin-database", "## plugin-keyval"):
        assert heading in CONFIGURATION


def test_public_names() -> None:
    for name in buntime_host.__all__:
        assert getattr(buntime_host, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nope'"):
        _ = buntime_host.nope


async def test_the_example_works(tmp_path: Path, make_host: MakeHost, call: Call) -> None:
    files = re.findall(r"<!-- example: (\S+) -->\n```\w+\n(.*?)```", PLUGINS, re.DOTALL)
    assert [name for name, _ in files] == ["manifest.yaml", "plugin.py"]
    folder = tmp_path / "plugins" / "counter"
    folder.mkdir(parents=True)
    for name, text in files:
        (folder / name).write_text(text)
    async with make_host(COUNTER_STEP="5") as host:
        assert (await call(host, "POST", "/counter/api/count")).json == {"count": 5}
        assert (await call(host, path="/counter/api/count")).json == {"count": 5}
        assert (await call(host, path="/counter/nope")).code == "NOT_FOUND"
