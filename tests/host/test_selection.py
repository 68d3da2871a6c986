from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from buntime_host.config import parse_config
from buntime_host.plugins.discovery import discover
from buntime_host.plugins.selection import PluginSelection, select

if TYPE_CHECKING:
    from host.conftest import AddPlugin


@pytest.fixture
def choose(tmp_path: Path) -> Any:
    def run(config: dict[str, Any], /, **environ: str) -> PluginSelection:
        parsed = parse_config(config, tmp_path, environ=environ)
        catalogue = discover(parsed.plugin_folders, dirs_win=True, installed=())
        return select(parsed, catalogue, environ)

    return run


def names(selection: PluginSelection) -> list[str]:
    return [plugin.manifest.name for plugin in selection.enabled]


def errors(selection: PluginSelection) -> str:
    return "\n".join(str(error) for error in selection.errors)


def test_without_a_plugins_key_everything_enabled_loads(choose: Any, add_plugin: AddPlugin) -> None:
    add_plugin("a")
    add_plugin("b", "", enabled=False)
    selection = choose({})
    assert names(selection) == ["a"]
    assert [plugin.manifest.name for plugin in selection.plugins] == ["a", "b"]
    assert selection.not_listed == ()


def test_with_a_plugins_key_exactly_those_load(choose: Any, add_plugin: AddPlugin) -> None:
    add_plugin("a")
    add_plugin("b", "", enabled=False)
    add_plugin("c")
    selection = choose({"plugins": ["c", ["b", {"enabled": True}]]})
    assert names(selection) == ["c", "b"]
    assert [found.manifest.name for found in selection.not_listed] == ["a"]
    assert names(choose({"plugins": ["b", ["c", {"enabled": False}]]})) == []


def test_some_are_loaded_only_where_they_are_listed(choose: Any, add_plugin: AddPlugin) -> None:
    add_plugin("a")
    add_plugin("b", "", onlyIfListed=True)
    assert names(choose({})) == ["a"]
    assert names(choose({"plugins": ["b"]})) == ["b"]


def test_short_names(choose: Any, add_plugin: AddPlugin) -> None:
    add_plugin("@buntime/plugin-keyval")
    assert names(choose({"plugins": ["@buntime/keyval"]})) == ["@buntime/plugin-keyval"]
    assert "keyval was not found" in errors(choose({"plugins": ["keyval"]}))


def test_an_unknown_plugin_says_where_it_was_looked_for(
    choose: Any, tmp_path: Path, add_plugin: AddPlugin
) -> None:
    (add_plugin("x") / "manifest.yaml").write_text("name: [")
    text = errors(choose({"plugins": ["@me/none"]}))
    assert text.startswith("plugins[0]: @me/none was not found in")
    assert str(tmp_path / "plugins") in text
    assert "unreadable manifests" in text


def test_a_plugin_twice_names_both_indexes(choose: Any, add_plugin: AddPlugin) -> None:
    add_plugin("@buntime/plugin-a")
    text = errors(choose({"plugins": ["@buntime/plugin-a", ["@buntime/a", {}]]}))
    assert text == "plugins[0] and plugins[1] are both @buntime/plugin-a"


def test_a_broken_manifest_matters_only_when_asked_for(choose: Any, add_plugin: AddPlugin) -> None:
    add_plugin("good")
    (add_plugin("bad") / "manifest.yaml").write_text("name: bad\nbase: 5")
    assert "base: must be a string" in errors(choose({"plugins": ["bad"]}))
    assert "base: must be a string" in errors(choose({}))
    selection = choose({"plugins": ["good"]})
    assert selection.errors == ()
    assert len(selection.warnings) == 1


@pytest.mark.parametrize("base", ["/api", "/.well-known", "/health", "/favicon.ico"])
def test_reserved_bases(choose: Any, add_plugin: AddPlugin, base: str) -> None:
    add_plugin("a")
    text = errors(choose({"plugins": [["a", {"base": base}]]}))
    assert "reserved for the host" in text or "must be" in text


def test_the_api_prefix_is_reserved_instead_of_api(choose: Any, add_plugin: AddPlugin) -> None:
    add_plugin("a", "", base="/_")
    add_plugin("b", "", base="/api")
    assert errors(choose({}, RUNTIME_API_PREFIX="/_")) == "a: base /_ is reserved for the host"


def test_two_plugins_at_one_base(choose: Any, add_plugin: AddPlugin) -> None:
    add_plugin("a", "", base="/x")
    add_plugin("b", "", base="/x")
    assert errors(choose({})) == "Route collision: a and b both want base /x"
    assert errors(choose({"plugins": ["a", ["b", {"base": "/y"}]]})) == ""
    assert errors(choose({"plugins": ["a", ["b", {"enabled": False}]]})) == ""


def test_host_options_are_applied_and_the_rest_is_the_plugins(
    choose: Any, add_plugin: AddPlugin
) -> None:
    add_plugin("a", "", base="/a", publicRoutes=["/a/x"], queue={"n": 1, "m": 1})
    given = {
        "base": "/b",
        "publicRoutes": {"GET": ["/b/y"]},
        "menus": [{"title": "T"}],
        "maxBodySize": "1gb",
        "queue": {"n": 2},
    }
    (plugin,) = choose({"plugins": [["a", given]]}).plugins
    assert plugin.manifest.base == "/b"
    assert plugin.manifest.public_routes == {"ALL": ["/a/x"], "GET": ["/b/y"]}
    assert plugin.manifest.menus == ({"title": "T"},)
    assert plugin.manifest.max_body_size == 100 * 1024**2
    assert plugin.options == {"queue": {"n": 2, "m": 1}}


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "b"}, "name belongs to the manifest"),
        ({"dependencies": []}, "dependencies belongs to the manifest"),
        ({"pluginEntry": "x.py"}, "pluginEntry belongs to the manifest"),
        ({"base": "/a/b"}, "base must be"),
        ({"base": 5}, "base must be"),
        ({"enabled": "no"}, "enabled must be true or false"),
        ({"maxBodySize": "big"}, "maxBodySize must be a number"),
        ({"menus": {}}, "menus must be a list"),
        ({"publicRoutes": 5}, "publicRoutes must be a list"),
    ],
)
def test_bad_host_options(
    choose: Any, add_plugin: AddPlugin, given: dict[str, Any], message: str
) -> None:
    add_plugin("a")
    assert f"plugins[0] (a): {message}" in errors(choose({"plugins": [["a", given]]}))


def test_variables_in_manifest_options_are_expanded(choose: Any, add_plugin: AddPlugin) -> None:
    folder = add_plugin("a", "", urls=["${URL}", "${NOPE}"])
    selection = choose({}, URL="http://x")
    assert selection.plugins[0].options == {"urls": ["http://x", ""]}
    assert selection.warnings == (
        (
            f"{folder}/manifest.yaml: urls[1]: environment variable NOPE is not set,"
            " using an empty string"
        ),
    )


def test_options_that_nobody_declared_are_named(choose: Any, add_plugin: AddPlugin) -> None:
    limits = {"type": "object", "properties": {"most": {"type": "number"}}}
    known = {"token": {"type": "string"}, "limits": limits, "any": {"type": "object"}}
    add_plugin("a", "", config=known, mode="fast")
    add_plugin("free")
    given = {"tokn": "secret", "limits": {"most": 1, "mots": 2}, "any": {"x": 1}, "mode": "slow"}
    selection = choose({"plugins": [["a", given], ["free", {"x": {"y": 1}}]]})
    assert selection.warnings == (
        "plugins[0] (a): unknown options have no effect: tokn, limits.mots",
    )
    assert names(selection) == ["a", "free"]
    assert [plugin.problem for plugin in selection.plugins] == [None, None]
    strict = choose({"plugins": [["a", given]], "strict": True})
    assert strict.warnings == ()
    assert strict.plugins[0].problem == (
        "there are no such options: tokn (did you mean token?), limits.mots"
    )


def test_bad_options_fail_the_plugin_only(choose: Any, add_plugin: AddPlugin) -> None:
    add_plugin("a", "", config={"n": {"type": "number", "env": "A_N"}})
    (plugin,) = choose({}, A_N="x").plugins
    assert plugin.problem == "n: A_N must be a number"
    assert choose({}, A_N="4").plugins[0].options == {"n": 4}


def test_required_plugins_must_exist(choose: Any, add_plugin: AddPlugin) -> None:
    add_plugin("a")
    assert errors(choose({"required": ["a"]})) == ""
    assert "required: b is not among" in errors(choose({"required": ["b"]}))
