"""The plugin's options: which engines there are, and where their data lives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

import msgspec

from buntime_plugin_database.service.engines import Engines
from buntime_plugin_database.shared.engine import AnyEngine, ConfigError


class Entry(NamedTuple):
    """One entry of `adapters`, checked."""

    type: str
    """The name by which it is asked for."""
    engine: AnyEngine
    """What serves it."""
    options: Any
    """An instance of `engine.options`."""


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

    adapters: tuple[Entry, ...]
    default: str
    tenancy: TenancyConfig
    engines: Engines
    """What the entries were found among."""
    warnings: tuple[str, ...] = ()


def parse_config(
    options: Mapping[str, Any],
    environ: Mapping[str, str] | None = None,
    engines: Engines | None = None,
) -> DatabaseConfig:
    """Check the options of the plugin; variables stand in for servers that they do not name.

    Raises `ConfigError` in the words of the contract: no adapter, a type twice, two defaults, an
    unknown type, an engine without a place for its data.
    """
    engines = engines or Engines()
    raw = options.get("adapters")
    if raw is None and "adapter" in options:
        raw = [options["adapter"]]  # the oldest spelling, one engine
    if not raw:
        raise ConfigError("No adapters configured. At least one adapter is required.")
    try:
        raw_entries = msgspec.convert(raw, tuple[dict[str, Any], ...])
        tenancy = msgspec.convert(options.get("tenancy") or {}, TenancyConfig)
    except msgspec.ValidationError as error:
        raise ConfigError(f"adapters or tenancy: {error}") from error
    warnings: list[str] = []
    adapters: dict[str, Entry] = {}
    for index, raw_entry in enumerate(raw_entries):
        entry = _parse_entry(raw_entry, index, environ or {}, engines, warnings)
        if entry.type in adapters:
            raise ConfigError(
                f"Duplicate adapter type: {entry.type}. Each type can only appear once."
            )
        adapters[entry.type] = entry
        taken = entry.options.root_tenant()
        if tenancy.enabled and taken is not None and tenancy.default_tenant == taken:
            warnings.append(
                f"tenancy.defaultTenant is {taken}, which for the {entry.type} adapter is the root"
                " database and no tenant: choose another"
            )
    defaults = [entry.type for entry in adapters.values() if entry.options.default]
    if len(defaults) > 1:
        raise ConfigError(
            f"Multiple default adapters: {defaults[0]} and {defaults[1]}. Only one can be default."
        )
    return DatabaseConfig(
        adapters=tuple(adapters.values()),
        default=defaults[0] if defaults else next(iter(adapters)),
        tenancy=tenancy,
        engines=engines,
        warnings=tuple(warnings),
    )


def _parse_entry(
    raw: Mapping[str, Any],
    index: int,
    environ: Mapping[str, str],
    engines: Engines,
    warnings: list[str],
) -> Entry:
    kind = raw.get("type")
    if not isinstance(kind, str):
        raise ConfigError(f"adapters[{index}].type: must be the name of an engine")
    engine = engines.named(kind)
    try:
        stand_in = engine.stand_in(raw, environ)
        if stand_in is not None:
            engine, raw = engines.named(stand_in.engine), stand_in.entry
            warnings += stand_in.warnings
        options = msgspec.convert(raw, engine.options)
    except msgspec.ValidationError as error:
        raise ConfigError(str(error).replace("`$", f"`adapters[{index}]")) from error
    completed = options.completed(environ)
    warnings += completed.warnings
    return Entry(kind, engine, completed.options)
