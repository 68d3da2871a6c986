"""The plugin's options: which engines there are, and where their data lives."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from buntime_plugin_database.engines.libsql.configuration import (
    TOKEN_VARIABLE,
    check_admin,
    check_servers,
    distinct,
    is_file,
    servers_of_environment,
)
from buntime_plugin_database.engines.libsql.options import LibsqlOptions, Routing
from buntime_plugin_database.engines.sqlite import SqliteOptions
from buntime_plugin_database.engines.sqlite.connection import MEMORY

ENGINES = ("sqlite", "libsql", "postgres", "mysql", "rqlite")
"""Engine names that a configuration may use; see `service.py` for those that can be opened."""


class ConfigError(ValueError):
    """The configuration of the plugin is wrong; the message says what would be right."""


class AdapterConfig(
    msgspec.Struct, frozen=True, kw_only=True, rename="camel", forbid_unknown_fields=True
):
    """One entry of `adapters`. A misspelt setting is an error: durability may hang on it."""

    type: str
    default: bool = False
    base_dir: str | None = None
    """Folder of the tenants' files; without `url` also of the root file `_default.db`."""
    url: str | None = None
    """The root database: a path, `file:…`, `sqlite://…` or `:memory:`."""
    urls: tuple[str, ...] = ()
    """Servers of a `libsql` entry: the primary, then its replicas."""
    auth_token: str | None = None
    """What a `libsql` server asks for."""
    admin_url: str | None = None
    """The listener of a `libsql` server that manages its namespaces."""
    admin_token: str | None = None
    """What that listener asks for, if sqld has an `--admin-auth-key`."""
    namespace_routing: Routing | None = None
    """How requests to a `libsql` server name the namespace."""
    operation_timeout: Annotated[int, msgspec.Meta(ge=1)] = 30_000
    """Milliseconds that a `libsql` server may take for a request."""
    read_your_writes: bool | Annotated[int, msgspec.Meta(ge=0)] = True
    """True: replicas of a `libsql` server answer only once they have what was written before. A
    number: reads go to the primary for so many milliseconds after a write."""
    synchronous: Literal["off", "normal", "full", "extra"] = "full"
    busy_timeout: Annotated[int, msgspec.Meta(ge=0)] = 5000
    """Milliseconds that a write waits for another process's lock."""
    statement_timeout: Annotated[int, msgspec.Meta(ge=0)] = 10_000
    """Milliseconds that a read or a write of an embedded database may run; 0 for ever."""
    cache_size: Annotated[int, msgspec.Meta(ge=1)] = 64
    """Page cache of each connection, in MiB."""
    readers: Annotated[int, msgspec.Meta(ge=1, le=64)] = 2
    """Threads that scan."""
    reserve: Annotated[int, msgspec.Meta(ge=0)] = 4
    """MiB beside the root database that are given up when the disk is full."""

    @property
    def is_embedded(self) -> bool:
        """Whether the engine is in this process: `sqlite`, or a `libsql` entry with a file."""
        return self.type == "sqlite" or (self.type == "libsql" and is_file(self.urls[0]))

    @property
    def has_namespaces(self) -> bool:
        """Whether the servers of a `libsql` entry keep a namespace for each tenant."""
        return self.admin_url is not None or self.namespace_routing is not None

    def libsql_options(self) -> LibsqlOptions:
        """What this entry says about a database on servers."""
        wanted = self.read_your_writes
        return LibsqlOptions(
            auth_token=self.auth_token,
            timeout_seconds=self.operation_timeout / 1000,
            namespace="default" if self.has_namespaces else None,
            routing=self.namespace_routing or "subdomain",
            read_your_writes=wanted if isinstance(wanted, bool) else wanted / 1000,
        )

    def sqlite_options(self) -> SqliteOptions:
        """What this entry says about an embedded database."""
        return SqliteOptions(
            synchronous=self.synchronous,
            busy_timeout_ms=self.busy_timeout,
            statement_timeout_ms=self.statement_timeout,
            cache_bytes=self.cache_size * 1024 * 1024,
            readers=self.readers,
            reserve_bytes=self.reserve * 1024 * 1024,
        )


class TenancyConfig(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """How databases of tenants are chosen, and how they come into being."""

    enabled: bool = False
    """Whether requests without an explicit tenant are for the tenant of `header`, or the default;
    a tenant that is named explicitly is served either way."""
    header: str = "x-tenant-id"
    default_tenant: str | None = "default"
    auto_create: bool = False
    """Create a tenant's database when it is first asked for."""
    max_tenants: Annotated[int, msgspec.Meta(ge=1)] = 1000
    """Tenant databases of one engine that may be open at a time."""


class DatabaseConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The whole configuration, checked."""

    adapters: tuple[AdapterConfig, ...]
    default: str
    tenancy: TenancyConfig
    warnings: tuple[str, ...] = ()


def parse_config(
    options: Mapping[str, Any], environ: Mapping[str, str] | None = None
) -> DatabaseConfig:
    """Check the options of the plugin; variables stand in for servers that they do not name.

    Raises `ConfigError` in the words of the contract: no adapter, a type twice, two defaults, an
    unknown type, an engine without a place for its data.
    """
    raw = options.get("adapters")
    if raw is None and "adapter" in options:
        raw = [options["adapter"]]  # the oldest spelling, one engine
    if not raw:
        raise ConfigError("No adapters configured. At least one adapter is required.")
    try:
        adapters = msgspec.convert(raw, tuple[AdapterConfig, ...])
        tenancy = msgspec.convert(options.get("tenancy") or {}, TenancyConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(f"adapters or tenancy: {error}") from error
    warnings: list[str] = []
    adapters = tuple(_with_servers(adapter, environ or {}, warnings) for adapter in adapters)
    defaults = [adapter.type for adapter in adapters if adapter.default]
    if len(defaults) > 1:
        raise ConfigError(
            f"Multiple default adapters: {defaults[0]} and {defaults[1]}. Only one can be default."
        )
    seen: set[str] = set()
    for adapter in adapters:
        if adapter.type not in ENGINES:
            raise ConfigError(f"Unknown adapter type: {adapter.type}")
        if adapter.type in seen:
            raise ConfigError(
                f"Duplicate adapter type: {adapter.type}. Each type can only appear once."
            )
        seen.add(adapter.type)
        _check_location(adapter)
        if adapter.has_namespaces and tenancy.enabled and tenancy.default_tenant == "default":
            warnings.append(
                "tenancy.defaultTenant is default, which on a libSQL server is the root database"
                " and no tenant: choose another"
            )
    default = defaults[0] if defaults else adapters[0].type
    return DatabaseConfig(
        adapters=adapters, default=default, tenancy=tenancy, warnings=tuple(warnings)
    )


def sqlite_root(adapter: AdapterConfig, base: Path) -> str:
    """Path of the root database of an embedded entry; relative paths start at `base`.

    Raises `ConfigError` for a URL of something else than a file.
    """
    url = adapter.url or (adapter.urls[0] if adapter.urls else None)
    if url:
        return _sqlite_path(url, base)
    return str(base / (adapter.base_dir or "") / "_default.db")


def _with_servers(
    adapter: AdapterConfig, environ: Mapping[str, str], warnings: list[str]
) -> AdapterConfig:
    """A `libsql` entry with all its servers in `urls`.

    Variables count only where the entry has none: they would become its replicas by accident.
    """
    if adapter.type != "libsql":
        return adapter
    given = ((adapter.url,) if adapter.url else ()) + adapter.urls
    of_environment = servers_of_environment(environ)
    urls = distinct(given)
    if given and not urls and not of_environment:
        raise ConfigError("libsql adapter requires at least one valid URL in urls[]")
    if urls and of_environment and urls != of_environment:
        warnings.append(
            "The libsql adapter has URLs in its configuration: those in the environment"
            f" ({', '.join(of_environment)}) are ignored"
        )
    token = adapter.auth_token or environ.get(TOKEN_VARIABLE) or None
    return msgspec.structs.replace(adapter, url=None, urls=urls or of_environment, auth_token=token)


def _check_location(adapter: AdapterConfig) -> None:
    if adapter.type == "sqlite":
        if not (adapter.url or adapter.base_dir):
            raise ConfigError("URL is required for sqlite adapter (or baseDir)")
    elif adapter.type == "libsql":
        if not adapter.urls:
            raise ConfigError("libsql adapter requires at least one URL in urls[]")
        problem = check_servers(adapter.urls) or check_admin(adapter.admin_url)
        if problem is not None:
            raise ConfigError(problem)
    elif not adapter.url:
        raise ConfigError(f"URL is required for {adapter.type} adapter")


def _sqlite_path(url: str, base: Path) -> str:
    path = url
    for scheme in ("sqlite://", "sqlite:", "file:"):
        if url.startswith(scheme):
            path = url.removeprefix(scheme)
            break
    if "://" in path:
        raise ConfigError(f"{url} is not the URL of an SQLite file")
    if path != url and "?" in path:
        raise ConfigError(f"{url}: parameters of the URL are not supported")
    return MEMORY if path == MEMORY else str(base / path)
