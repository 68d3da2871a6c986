"""The host's settings, from `buntime.jsonc`, the environment and the command line, checked and
typed.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import msgspec

from buntime_host.blame import hint_at
from buntime_host.errors import ConfigError, InvalidOptions
from buntime_host.http.below import path_prefix
from buntime_host.http.origin import origin_problem
from buntime_host.limits import EdgeLimits, read_limits
from buntime_host.options.declared import OptionError, read_options, schema_of
from buntime_host.options.effective import deepmerge, effective_options
from buntime_host.options.jsonc import JsoncError, expand, parse_jsonc
from buntime_host.options.schema import Schema, split_paths, undeclared
from buntime_host.options.settings import HostSettings, TlsOptions

FILE_NAME = "buntime.jsonc"
MAX_BYTES = 1024**2
"""The schema of `buntime.jsonc`."""

IGNORED_KEYS = ("appsDir", "appsDirs", "workspaces", "poolSize", "shell")
"""Keys of earlier Buntime versions without a meaning here; one info line names them."""


_HOST_NAME = re.compile(r"\.?[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*|\[?[0-9A-Fa-f:]+\]?")


@cache  # a private host has no use for it, and it is slow
def settings_schema() -> Schema:
    """The settings that a file or the environment may have."""
    return schema_of(HostSettings)


class PluginEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One element of `plugins`."""

    index: int
    name: str
    options: Mapping[str, Any] = {}


class HostConfig(HostSettings, frozen=True, kw_only=True):
    """All settings, with defaults applied, and values derived from them."""

    base_dir: Path
    """Folder of buntime.jsonc: relative paths start here."""
    path: Path | None
    """The file that was read; None when there is none."""
    plugins: tuple[PluginEntry, ...] | None
    """Plugins to load; None loads everything found that is not disabled."""
    plugin_folders: tuple[Path, ...]
    """`plugin_dirs` as absolute paths."""
    plugin_dirs_explicit: bool
    """Whether the folders were chosen, or are the default."""
    body_default: int
    """Limit for a plugin that names none; no more than `body_size.max`."""
    edge_limits: EdgeLimits
    """Limits of connections."""
    state_folder: Path
    """`state_dir` as an absolute path. It may not exist."""
    socket_path: Path | None
    """`socket` as an absolute path."""
    tls_files: tuple[Path, Path | None] | None
    """Certificate and key as absolute paths; None without TLS."""
    overrides: Mapping[str, Any] = {}
    """Settings from the command line; the other fields include them."""
    insecure: bool = False
    """Whether others may reach the host without a credential: `--insecure`."""
    takes_unconfigured: bool = False
    """Whether plugins take what their manifests have for hosts without a file.

    Only where a host serves without a file, or is asked about that: other commands would look at
    data that nobody meant."""
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences for the log, at warning and info level."""

    @property
    def api_path(self) -> str:
        """Path of the host's own API."""
        return f"{self.api_prefix}/api"


def load_config(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> HostConfig:
    """Read `path`, by default `buntime.jsonc` in the working directory, which may be absent.

    `overrides` are settings from the command line; they win over everything. Raises `ConfigError`.
    """
    file = (path or Path(FILE_NAME)).absolute()
    if not file.exists() and path is None:
        return parse_config({}, file.parent, environ=environ, overrides=overrides)
    try:
        if file.stat().st_size > MAX_BYTES:
            raise ConfigError(f"[{file.name}] {file} has more than {MAX_BYTES} bytes")
        text = file.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(f"[{file.name}] Cannot read {file}: {reason}") from None
    try:
        content = parse_jsonc(text)
    except JsoncError as error:
        raise ConfigError(f"[{file.name}] Failed to parse: {error}") from None
    return parse_config(content, file.parent, path=file, environ=environ, overrides=overrides)


def private_config(plugins: Mapping[str, Mapping[str, Any]], base_dir: Path) -> HostConfig:
    """The configuration of a host that an application sets up: plugins by name with their options,
    all of them required.

    Relative paths in options start at `base_dir`, and nothing else is read.
    """
    settings = HostSettings(strict=True)
    return _with_settings(
        settings,
        base_dir=base_dir,
        path=None,
        plugins=tuple(
            PluginEntry(index=index, name=name, options=options)
            for index, (name, options) in enumerate(plugins.items())
        ),
        plugin_folders=(),
        plugin_dirs_explicit=True,
        body_default=settings.body_size.default,
        edge_limits=read_limits(settings),
        state_folder=_state_folder(settings.state_dir, (), base_dir),
        socket_path=None,
        tls_files=None,
    )


def without_file(config: HostConfig) -> HostConfig:
    """The configuration of a host that serves without a file."""
    note = (
        f"there is no {FILE_NAME} in {config.base_dir}: all installed plugins run with their"
        " defaults (`buntime init` writes one)"
    )
    return msgspec.structs.replace(config, takes_unconfigured=True, notes=(*config.notes, note))


def parse_config(
    raw: object,
    base_dir: Path,
    *,
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> HostConfig:
    """Check the content of a `buntime.jsonc` whose folder is `base_dir`. Raises `ConfigError`."""
    environ = os.environ if environ is None else environ
    label = f"[{path.name if path else FILE_NAME}]"
    raw = {} if raw is None else raw
    if not isinstance(raw, dict):
        raise ConfigError(f"{label} the top level must be an object")
    warnings: list[str] = []
    content: dict[str, Any] = expand(raw, environ, lambda text: warnings.append(f"{label} {text}"))
    schema = settings_schema()
    given = {key: value for key, value in content.items() if key in schema}
    notes = _remarks(content, schema, label, warnings)
    homepage = given.get("homepage")
    if isinstance(homepage, dict):
        given["homepage"] = homepage.get("app")  # `shell` belongs to the gateway plugin
    given = deepmerge(given, overrides or {})
    # The command line wins over the environment, so the variables of its settings are not read.
    visible = _without(environ, schema, overrides or {})
    try:
        values = effective_options(schema, {}, given, visible)
        settings = read_options(HostSettings, values)
        edge_limits = read_limits(settings)
    except (InvalidOptions, OptionError) as error:
        raise ConfigError(f"{label} {error}") from None
    _check_names(settings, label)
    sizes = settings.body_size
    if sizes.default > sizes.max:
        warnings.append(f"{label} bodySize.default is above bodySize.max and was lowered to it")
    folders = [
        Path(os.path.normpath(base_dir / folder)) for folder in split_paths(settings.plugin_dirs)
    ]
    return _with_settings(
        settings,
        base_dir=base_dir,
        path=path,
        plugins=_entries(content["plugins"], label) if "plugins" in content else None,
        plugin_folders=tuple(folders),
        plugin_dirs_explicit="pluginDirs" in given
        or any(environ.get(name, "").strip() for name in schema["pluginDirs"].env),
        api_prefix=_prefix(settings.api_prefix, label),
        base_path=_base_path(settings.base_path, label),
        body_default=min(sizes.default, sizes.max),
        master_key=(settings.master_key or "").strip() or None,
        edge_limits=edge_limits,
        state_folder=_state_folder(settings.state_dir, folders, base_dir),
        socket_path=_below(base_dir, settings.socket),
        tls_files=_tls_files(settings.tls, base_dir, label),
        overrides=overrides or {},
        warnings=tuple(warnings),
        notes=notes,
    )


def _with_settings(settings: HostSettings, **derived: Any) -> HostConfig:
    said = {name: getattr(settings, name) for name in settings.__struct_fields__}
    return HostConfig(**{**said, **derived})


def _check_names(settings: HostSettings, label: str) -> None:
    """Raise `ConfigError` for an origin or a host that cannot be one."""
    for origin in settings.trusted_origins:
        if (problem := origin_problem(origin)) is not None:
            raise ConfigError(f"{label} trustedOrigins: {origin!r} is not an origin: {problem}")
    for name in settings.trusted_hosts:
        if not _HOST_NAME.fullmatch(name.strip()):
            raise ConfigError(
                f'{label} trustedHosts: {name!r} is not a host name: write "app.example", or'
                ' ".example" for all names below it, without a port'
            )


def _remarks(
    content: Mapping[str, Any], schema: Schema, label: str, warnings: list[str]
) -> tuple[str, ...]:
    ignored = [key for key in content if key in IGNORED_KEYS]
    known = (*schema, *IGNORED_KEYS, "plugins", "$schema")
    unknown = [
        f"{path}{hint_at(path, known)}" for path in undeclared(schema, content) if path not in known
    ]
    if unknown:
        warnings.append(f"{label} unknown keys are ignored: {', '.join(unknown)}")
    if not ignored:
        return ()
    return (f"{label} has no effect in this version: {', '.join(ignored)}",)


def _without(
    environ: Mapping[str, str], schema: Schema, overrides: Mapping[str, Any]
) -> Mapping[str, str]:
    hidden = set(_variables(schema, overrides))
    return {name: value for name, value in environ.items() if name not in hidden}


def _variables(schema: Schema, values: Mapping[str, Any]) -> Iterator[str]:
    """The variables of those settings, nested ones included."""
    for name, value in values.items():
        if name in schema:
            yield from schema[name].env
            if isinstance(value, Mapping):
                yield from _variables(schema[name].properties, value)


def _below(base_dir: Path, given: str | None) -> Path | None:
    return Path(os.path.normpath(base_dir / given.strip())) if given and given.strip() else None


def _tls_files(given: TlsOptions, base_dir: Path, label: str) -> tuple[Path, Path | None] | None:
    cert, key = _below(base_dir, given.cert), _below(base_dir, given.key)
    if cert is None and key is not None:
        raise ConfigError(f"{label} tls.key: has no effect without tls.cert")
    return None if cert is None else (cert, key)


def _state_folder(given: str | None, plugins: Sequence[Path], base_dir: Path) -> Path:
    if given and given.strip():
        return Path(os.path.normpath(base_dir / given.strip()))
    shown = (folder for folder in plugins if not folder.name.startswith("."))
    return next(shown, base_dir) / ".buntime"


def _prefix(value: str, label: str) -> str:
    prefix = value.strip().rstrip("/")
    if prefix and not prefix.startswith("/"):
        prefix = f"/{prefix}"
    if prefix and not re.fullmatch(r"(/[a-zA-Z0-9_-]+)+", prefix):
        raise ConfigError(f'{label} apiPrefix: must be a path such as "/_", not {value!r}')
    return prefix


def _base_path(value: str, label: str) -> str:
    prefix = path_prefix(value)
    if prefix is None:
        raise ConfigError(f'{label} basePath: must be a path such as "/store", not {value!r}')
    return prefix


def _entries(raw: object, label: str) -> tuple[PluginEntry, ...]:
    if not isinstance(raw, list):
        raise ConfigError(f"{label} plugins: must be an array")
    return tuple(_entry(item, index, label) for index, item in enumerate(raw))


def _entry(raw: object, index: int, label: str) -> PluginEntry:
    where = f"{label} plugins[{index}]"
    name: object = raw
    options: object = {}
    if isinstance(raw, list):
        if len(raw) not in (1, 2):
            raise ConfigError(f"{where}: an array must be [name] or [name, options]")
        name = raw[0]
        options = raw[1] if len(raw) == 2 else {}
    elif not isinstance(raw, str):
        raise ConfigError(f"{where}: must be a name, [name] or [name, options]")
    if not isinstance(name, str) or not name.strip():
        raise ConfigError(f"{where}: the name must be a non-empty string")
    if not isinstance(options, dict):
        raise ConfigError(f"{where}: the options of {name} must be an object")
    return PluginEntry(index=index, name=name.strip(), options=options)
