from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from buntime_host.config import settings_schema
from buntime_host.errors import InvalidOptions, ManifestError
from buntime_host.options.effective import deepmerge, effective_options
from buntime_host.options.schema import Schema, parse_schema
from buntime_host.plugins.manifest import find_manifest, parse_manifest, read_manifest

PATH = Path("/p/manifest.yaml")


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "manifest.yaml"
    path.write_text(text)
    return path


def test_every_field(tmp_path: Path) -> None:
    manifest = read_manifest(
        write(
            tmp_path,
            """
            name: "@buntime/plugin-x"
            version: 1.0
            base: /x
            enabled: false
            pluginEntry: server/main.py:Factory
            entrypoint: client/index.html
            dependencies: ["a"]
            optionalDependencies: ["b"]
            publicRoutes: {GET: ["/x/api/health"]}
            menus: [{title: X, icon: "lucide:x", path: /x, items: [{title: Y, path: /x/y}]}]
            injectBase: true
            env: {PUBLIC_A: 1, SECRET: s}
            maxBodySize: 1kb
            config: {url: {type: string, env: X_URL}}
            rules: []
            queue: {interval: 5}
            """,
        )
    )
    assert (manifest.name, manifest.version, manifest.base) == ("@buntime/plugin-x", "1.0", "/x")
    assert not manifest.enabled
    assert manifest.inject_base
    assert manifest.dependencies == ("a",)
    assert manifest.optional_dependencies == ("b",)
    assert manifest.max_body_size == 1024
    assert manifest.env == {"PUBLIC_A": "1", "SECRET": "s"}
    assert manifest.env_prefix == ("PUBLIC_", "VITE_")
    assert manifest.schema["url"].env == ("X_URL",)
    assert manifest.options == {"rules": [], "queue": {"interval": 5}}
    assert manifest.dir == tmp_path


def test_only_a_name_is_needed() -> None:
    manifest = parse_manifest({"name": "x"}, PATH)
    assert (manifest.version, manifest.base, manifest.enabled) == ("0.0.0", None, True)


@pytest.mark.parametrize("base", ["", "/a/b", "a", "/a b", "//", "/ä", "/a/", "/.x"])
def test_bad_bases(base: str) -> None:
    with pytest.raises(ManifestError, match='base: must be "/" or one path segment'):
        parse_manifest({"name": "x", "base": base}, PATH)


@pytest.mark.parametrize("base", ["/", "/a", "/ok_1", "/A-b"])
def test_good_bases(base: str) -> None:
    assert parse_manifest({"name": "x", "base": base}, PATH).base == base


@pytest.mark.parametrize("needs", ["read", [1], {}])
def test_actions_that_a_menu_needs_are_a_list(needs: object) -> None:
    menus = [{"title": "X", "path": "/x", "items": [{"title": "Y", "path": "/y", "needs": needs}]}]
    with pytest.raises(ManifestError, match="needs of 'Y' must be a list of actions"):
        parse_manifest({"name": "x", "menus": menus}, PATH)


def test_every_bad_field_is_listed() -> None:
    with pytest.raises(ManifestError) as caught:
        parse_manifest(
            {
                "name": " ",
                "base": 5,
                "enabled": "no",
                "dependencies": "a",
                "menus": [{"icon": "x"}],
                "publicRoutes": {"FETCH": []},
                "maxBodySize": "big",
                "env": {"A": []},
                "config": {"a": {"type": "colour"}, "b": 1, "c": {"type": "enum"}},
            },
            PATH,
        )
    for part in (
        "/p/manifest.yaml: name: is required, a non-empty string; base: must be a string",
        "enabled: must be true or false",
        "dependencies: must be a list of strings",
        "menus: must be a list of {title, icon, path, items?, needs?}",
        "publicRoutes: keys must be among ALL, GET",
        "maxBodySize: must be a number of bytes",
        "env: must be a map of names to plain values",
        "config.a.type: must be one of string",
        "config.b: must be a map with a type",
        "config.c.options: an enum needs a list of values",
    ):
        assert part in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name: @x/y", r"line 1: .*quote names that start with @"),
        ("name: [", r"line \d: "),
        ("- a", "must be a map with at least a name"),
        ("", "must be a map with at least a name"),
        ("name: !!python/object:os.system x", "could not determine a constructor"),
    ],
)
def test_unreadable_yaml(tmp_path: Path, text: str, message: str) -> None:
    path = write(tmp_path, text)
    with pytest.raises(ManifestError, match=f"^{path}: .*{message}|^{path}: {message}"):
        read_manifest(path)


def test_yml_is_the_second_name(tmp_path: Path) -> None:
    assert find_manifest(tmp_path) is None
    (tmp_path / "manifest.yml").write_text("name: b")
    assert find_manifest(tmp_path) == tmp_path / "manifest.yml"
    (tmp_path / "manifest.yaml").write_text("name: a")
    assert find_manifest(tmp_path) == tmp_path / "manifest.yaml"


def test_deepmerge() -> None:
    lower = {"a": {"x": 1, "y": 2}, "list": [1, 2], "gone": 1, "scalar": {"z": 1}}
    upper = {"a": {"y": 3, "n": {"m": None}}, "list": [3], "gone": None, "scalar": 5}
    assert deepmerge(lower, upper) == {
        "a": {"x": 1, "y": 3, "n": {}},
        "list": [3],
        "scalar": 5,
    }
    assert lower["list"] == [1, 2]


SCHEMA = {
    "url": {"type": "string", "env": ["X_URL", "OLD_URL"], "required": True},
    "count": {"type": "number", "env": "X_COUNT", "min": 1, "max": 9},
    "on": {"type": "boolean", "env": "X_ON"},
    "mode": {"type": "enum", "env": "X_MODE", "options": ["a", "b"], "default": "a"},
    "list": {"type": "array", "env": "X_LIST"},
    "some": {"type": "boolean or array", "env": "X_SOME"},
    "one": {"type": "string or array", "env": "X_ONE"},
    "part": {
        "type": "object",
        "optional": True,
        "properties": {"n": {"type": "number", "env": "X_PART", "default": 7}},
    },
    "size": {"type": "size", "env": "X_SIZE"},
    "wait": {"type": "duration", "env": "X_WAIT"},
    "raw": {"type": "object", "env": "X_RAW"},
    "nested": {
        "type": "object",
        "properties": {
            "key": {"type": "password", "env": "X_KEY"},
            "deep": {"type": "object", "properties": {"n": {"type": "number", "default": 7}}},
        },
    },
}


def options_of(
    manifest: dict[str, object], jsonc: dict[str, object], environ: dict[str, str]
) -> dict[str, object]:
    problems: list[str] = []
    schema = parse_schema(SCHEMA, "config", problems)
    assert problems == []
    return effective_options(schema, manifest, jsonc, environ)


def test_environment_over_jsonc_over_manifest_over_default() -> None:
    manifest: dict[str, object] = {"url": "m", "count": 1, "nested": {"key": "m", "other": 1}}
    assert options_of(manifest, {"url": "j", "extra": 1}, {}) == {
        "url": "j",
        "count": 1,
        "mode": "a",
        "nested": {"key": "m", "other": 1, "deep": {"n": 7}},
        "extra": 1,
    }
    environ = {
        "X_URL": " ",
        "OLD_URL": "e",
        "X_COUNT": "3",
        "X_ON": "1",
        "X_MODE": "b",
        "X_LIST": "a, b\nc,",
        "X_SOME": "a,b",
        "X_SIZE": "5mb",
        "X_WAIT": "250",
        "X_RAW": '{"q": [1]}',
        "X_KEY": "k",
    }
    assert options_of(manifest, {"url": "j", "on": False}, environ) == {
        "url": "e",
        "count": 3,
        "on": True,
        "mode": "b",
        "list": ["a", "b", "c"],
        "some": ["a", "b"],
        "size": "5mb",
        "wait": 250,
        "raw": {"q": [1]},
        "nested": {"key": "k", "other": 1, "deep": {"n": 7}},
    }


@pytest.mark.parametrize(("text", "value"), [("TRUE", True), ("0", False), ("x", ["x"])])
def test_all_nothing_or_some(text: str, value: object) -> None:
    assert options_of({"url": "m"}, {}, {"X_SOME": text})["some"] == value
    assert options_of({"url": "m"}, {"some": value}, {})["some"] == value
    with pytest.raises(InvalidOptions, match="some: must be true, false or an array"):
        options_of({"url": "m"}, {"some": "x"}, {})


@pytest.mark.parametrize("value", ["x", ["x"]])
def test_one_or_some(value: object) -> None:
    assert options_of({"url": "m"}, {"one": value}, {})["one"] == value
    assert options_of({"url": "m"}, {"one": value}, {"X_ONE": "a, b"})["one"] == ["a", "b"]
    with pytest.raises(InvalidOptions, match="one: must be a string or an array"):
        options_of({"url": "m"}, {"one": 5}, {})


def test_a_section_is_there_where_somebody_writes_of_it() -> None:
    assert "part" not in options_of({"url": "m"}, {}, {})
    assert options_of({"url": "m"}, {"part": {}}, {})["part"] == {}
    assert options_of({"url": "m"}, {}, {"X_PART": "5"})["part"] == {"n": 5}


def test_all_bad_options_are_listed() -> None:
    with pytest.raises(InvalidOptions) as caught:
        options_of(
            {"count": 0, "mode": "c", "list": "x", "nested": {"key": 5}, "size": "x"},
            {"wait": []},
            {"X_ON": "maybe", "X_RAW": "[1]"},
        )
    assert str(caught.value) == (
        "on: X_ON must be true, 1, false or 0; raw: X_RAW must be a JSON object; "
        "url: is required (or set X_URL or OLD_URL); count: must be at least 1; "
        "mode: must be one of a, b; list: must be an array; "
        'size: must be a number of bytes or a size such as "10mb"; '
        'wait: must be a number of milliseconds or a duration such as "30s"; '
        "nested.key: must be a string"
    )


def test_null_removes_what_the_manifest_says() -> None:
    with pytest.raises(InvalidOptions, match="url: is required"):
        options_of({"url": "m"}, {"url": None}, {})


def shapes(schema: Schema) -> dict[str, Any]:
    """What a schema checks and where it finds values."""
    return {
        name: (it.type, it.env, it.options, it.min, it.max, shapes(it.properties))
        for name, it in schema.items()
    }


def test_the_hosts_own_manifest_is_valid() -> None:
    schema = read_manifest(Path(__file__).parents[2] / "manifest.yaml").schema
    assert {"host", "port", "masterKey", "bodySize"} <= set(schema)
    assert shapes(schema) == shapes(settings_schema())
