from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from buntime_host.config import load_config, parse_config
from buntime_host.errors import ConfigError
from buntime_host.options.units import parse_duration, parse_size


def parse(content: object, environ: dict[str, str] | None = None, **overrides: Any) -> Any:
    return parse_config(content, Path("/base"), environ=environ or {}, overrides=overrides)


def test_defaults() -> None:
    config = parse({})
    assert (config.host, config.port, config.environment) == ("127.0.0.1", 8000, "development")
    assert config.plugins is None
    assert config.plugin_folders == (Path("/base/plugins"),)
    assert not config.plugin_dirs_explicit
    assert (config.body_default, config.body_size.max) == (10 * 1024**2, 100 * 1024**2)
    assert (config.init_timeout, config.hook_timeout, config.shutdown_timeout) == (30, 10, 30)
    assert config.api_path == "/api"
    assert config.master_key is None
    assert not config.strict


def test_all_three_forms_of_an_entry() -> None:
    config = parse({"plugins": ["a", ["b"], ["c", {"x": 1}]]})
    assert [(e.index, e.name, e.options) for e in config.plugins] == [
        (0, "a", {}),
        (1, "b", {}),
        (2, "c", {"x": 1}),
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "top level must be an object"),
        ({"plugins": {}}, "plugins: must be an array"),
        ({"plugins": ["a", 5]}, r"plugins\[1\]: must be a name"),
        ({"plugins": [[]]}, r"plugins\[0\]: an array must be"),
        ({"plugins": [["a", {}, 1]]}, r"plugins\[0\]: an array must be"),
        ({"plugins": [[5]]}, r"plugins\[0\]: the name must be"),
        ({"plugins": [""]}, r"plugins\[0\]: the name must be"),
        ({"plugins": [["a", None]]}, r"plugins\[0\]: the options of a must be an object"),
        ({"plugins": [["a", [1]]]}, r"plugins\[0\]: the options of a must be an object"),
        ({"port": "x", "strict": 1}, "port: must be a number; strict: must be true or false"),
        ({"port": 65536}, "port: must be at most 65535"),
        ({"environment": "live"}, "environment: must be one of development, staging"),
        ({"bodySize": {"default": "10 apples"}}, "bodySize.default: must be a number of bytes"),
        ({"initTimeout": "soon"}, "initTimeout: must be a number of milliseconds"),
        ({"required": [1]}, r"required\[0\]: Expected `str`, got `int`"),
        ({"apiPrefix": "/a b"}, "apiPrefix: must be a path"),
    ],
)
def test_bad_configuration(content: object, message: str) -> None:
    with pytest.raises(ConfigError, match=r"\[buntime.jsonc\] .*" + message):
        parse(content)


def test_environment_wins_over_file_and_command_line_over_environment() -> None:
    content = {"port": 1, "logLevel": "debug"}
    environ = {"PORT": "2", "RUNTIME_LOG_LEVEL": " ", "NODE_ENV": "production"}
    config = parse(content, environ)
    assert (config.port, config.log_level, config.environment) == (2, "debug", "production")
    assert parse(content, environ, port=3).port == 3
    assert parse(content, {"PORT": "garbage"}, port=3).port == 3


def test_a_bad_variable_is_named() -> None:
    with pytest.raises(ConfigError, match="port: PORT must be a number"):
        parse({}, {"PORT": "http"})
    with pytest.raises(ConfigError, match="environment: must be one of"):
        parse({}, {"NODE_ENV": "live"})


@pytest.mark.parametrize(
    "name",
    ["RUNTIME_MASTER_KEY", "BUNTIME_MASTER_KEY", "RUNTIME_ROOT_KEY", "BUNTIME_ROOT_KEY"],
)
def test_master_key_has_four_names_and_is_trimmed(name: str) -> None:
    assert parse({}, {name: " secret "}).master_key == "secret"
    assert parse({}, {name: "  "}).master_key is None


def test_plugin_dirs_take_lists_and_resolve_against_the_base_dir() -> None:
    config = parse({"pluginDirs": ["${DIRS}", "../x", "/abs"]}, {"DIRS": "a,b"})
    expected = ("/base/a", "/base/b", "/x", "/abs")
    assert config.plugin_folders == tuple(Path(path) for path in expected)
    assert config.plugin_dirs_explicit
    config = parse({}, {"RUNTIME_PLUGIN_DIRS": os.pathsep.join(["one", "two,three"])})
    assert config.plugin_folders == (Path("/base/one"), Path("/base/two"), Path("/base/three"))
    assert config.plugin_dirs_explicit


def test_body_default_is_capped_with_a_warning() -> None:
    config = parse({"bodySize": {"default": "2mb", "max": 1024}})
    assert (config.body_default, config.body_size.max) == (1024, 1024)
    assert any("bodySize.default" in warning for warning in config.warnings)


def test_old_keys_are_noted_in_one_line_and_unknown_ones_warned_about() -> None:
    config = parse({"poolSize": 5, "workspaces": [], "shell": "x", "plguins": [], "$schema": "x"})
    assert config.notes == (
        "[buntime.jsonc] has no effect in this version: poolSize, workspaces, shell",
    )
    assert config.warnings == (
        "[buntime.jsonc] unknown keys are ignored: plguins (did you mean plugins?)",
    )


@pytest.mark.parametrize("homepage", ["cpanel", {"app": "cpanel", "shell": True}])
def test_homepage_may_be_an_object(homepage: object) -> None:
    assert parse({"homepage": homepage}).homepage == "cpanel"


@pytest.mark.parametrize(("given", "path"), [("/_", "/_/api"), ("x/", "/x/api"), ("/", "/api")])
def test_api_prefix(given: str, path: str) -> None:
    assert parse({}, {"RUNTIME_API_PREFIX": given}).api_path == path


def test_load_reads_the_file_and_takes_its_folder_as_base(tmp_path: Path) -> None:
    file = tmp_path / "conf" / "my.jsonc"
    file.parent.mkdir()
    file.write_text('\ufeff{"port": 1,} // c', "utf-8")
    config = load_config(file, environ={})
    assert (config.port, config.base_dir, config.path) == (1, file.parent, file)


def test_load_without_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    config = load_config(environ={})
    assert (config.base_dir, config.path) == (tmp_path, None)
    with pytest.raises(ConfigError, match=r"Cannot read .*nope.jsonc: No such file"):
        load_config(Path("nope.jsonc"), environ={})


def test_load_of_a_broken_file(tmp_path: Path) -> None:
    file = tmp_path / "buntime.jsonc"
    file.write_text('{"a": }')
    with pytest.raises(ConfigError, match=r"^\[buntime.jsonc\] Failed to parse: line 1"):
        load_config(file, environ={})
    file.write_bytes(b"\xff\xfe{")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_config(file, environ={})


@pytest.mark.parametrize(
    ("value", "size"),
    [(0, 0), (5, 5), ("5", 5), ("1kb", 1024), ("1.5 MB", 1572864), ("2gb", 2 * 1024**3)],
)
def test_sizes(value: object, size: int) -> None:
    assert parse_size(value) == size


@pytest.mark.parametrize("value", [-1, True, 1.5, "x", "", "1tb", "-1kb", None])
def test_bad_sizes(value: object) -> None:
    with pytest.raises(ValueError, match="must be a number of bytes"):
        parse_size(value)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (500, 0.5),
        ("500", 0.5),
        ("30s", 30),
        ("5m", 300),
        ("1h", 3600),
        (".5 Hours", 1800),
        ("2 days", 172_800),
    ],
)
def test_durations(value: object, seconds: float) -> None:
    assert parse_duration(value) == seconds


@pytest.mark.parametrize("value", [-1, True, "x", "", None, "5 fortnights"])
def test_bad_durations(value: object) -> None:
    with pytest.raises(ValueError, match="must be a number of milliseconds"):
        parse_duration(value)
