"""The plugin's options: which engines there are, and where their data lives."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, NamedTuple

from buntime_host import OptionError, Options, option, read_options

from buntime_plugin_database.service.engines import Engines
from buntime_plugin_database.shared.engine import AnyEngine


class Entry(NamedTuple):
    """One entry of `adapters`, checked."""

    type: str
    """The name by which it is asked for."""
    engine: AnyEngine
    """The engine that serves it."""
    options: Any
    """An instance of `engine.options`."""


class TenancyConfig(Options, frozen=True):
    """How databases of tenants are chosen and created.

    A tenant that a request names explicitly is served whether `enabled` or not.
    """

    enabled: Annotated[
        bool,
        option(
            "Choose the tenant by a header of the request",
            doc="choose the tenant of a request by a header",
        ),
    ] = False
    header: Annotated[str, option("Header that names the tenant")] = "x-tenant-id"
    default_tenant: Annotated[str | None, option("Tenant for requests without the header")] = (
        "default"
    )
    auto_create: Annotated[
        bool,
        option(
            "Create a tenant's database at first use",
            doc="create a tenant's database when it is first used",
        ),
    ] = False
    max_tenants: Annotated[
        int, option("Tenant databases that each engine may have open at once", least=1)
    ] = 1000


class ServiceOptions(Options, frozen=True):
    """The options of the plugin that concern databases."""

    adapters: Annotated[
        tuple[dict[str, Any], ...],
        option(
            "Adapters",
            "Engines, each type once; the first is the default unless another says default",
            doc="engines, each type once; see [databases](databases.md) for their options",
        ),
    ] = ()
    tenancy: Annotated[TenancyConfig, option("Tenancy")] = TenancyConfig()


class DatabaseConfig(NamedTuple):
    """The whole configuration, checked."""

    adapters: tuple[Entry, ...]
    default: str
    tenancy: TenancyConfig
    engines: Engines
    """The engines that entries may name."""
    warnings: tuple[str, ...] = ()


def parse_config(
    options: Mapping[str, Any],
    environ: Mapping[str, str] | None = None,
    engines: Engines | None = None,
) -> DatabaseConfig:
    """Check the options of the plugin; variables stand in for servers that they do not name.

    Raises `OptionError` in the words of the contract: no adapter, a type twice, two defaults, an
    unknown type, an engine without a place for its data.
    """
    engines = engines or Engines()
    if options.get("adapters") is None and "adapter" in options:
        options = {**options, "adapters": [options["adapter"]]}  # the oldest spelling, one engine
    given = read_options(ServiceOptions, options)
    tenancy = given.tenancy
    if not given.adapters:
        raise OptionError("No adapters configured. At least one adapter is required.")
    warnings: list[str] = []
    adapters: dict[str, Entry] = {}
    for index, raw_entry in enumerate(given.adapters):
        entry = _parse_entry(raw_entry, index, environ or {}, engines, warnings)
        if entry.type in adapters:
            raise OptionError(
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
        raise OptionError(
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
        raise OptionError(f"adapters[{index}].type: must be the name of an engine")
    engine = engines.named(kind)
    try:
        stand_in = engine.stand_in(raw, environ)
        if stand_in is not None:
            engine, raw = engines.named(stand_in.engine), stand_in.entry
            warnings += stand_in.warnings
        completed = read_options(engine.options, raw).completed(environ)
    except OptionError as error:
        raise OptionError(f"adapters[{index}]: {error}") from error
    warnings += completed.warnings
    return Entry(kind, engine, completed.options)
