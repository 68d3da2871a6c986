"""Selects the plugins to run from those found, with their options and paths."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from buntime_host.blame import hint_at
from buntime_host.config import HostConfig, PluginEntry
from buntime_host.errors import (
    BaseRefused,
    ConfigError,
    InvalidOptions,
    ManifestError,
    StartupError,
    UnknownPlugin,
)
from buntime_host.names import known_name
from buntime_host.options.effective import effective_options
from buntime_host.options.jsonc import expand
from buntime_host.options.schema import Schema, undeclared
from buntime_host.options.units import parse_size
from buntime_host.plugins.discovery import Catalogue, FoundPlugin, find_module
from buntime_host.plugins.manifest import (
    BASE,
    BASE_RULE,
    Manifest,
    menus_problem,
    public_routes_problem,
    remarks,
)

METADATA = ("name", "version", "dependencies", "optionalDependencies", "pluginEntry", "entrypoint")
"""Members that an entry in `buntime.jsonc` cannot change."""
RESERVED = ("/.well-known", "/health", "/metrics", "/favicon.ico")


class Selected(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin that was requested; its manifest has the overrides of `buntime.jsonc` applied."""

    manifest: Manifest
    source: str
    module: str | None
    entry: Any
    """See `FoundPlugin`."""
    options: Mapping[str, Any]
    problem: str | None = None
    """Why its options are refused: the plugin fails, the others go on."""


class PluginSelection(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome: plugins in the order of the array (or of discovery), disabled ones included."""

    plugins: tuple[Selected, ...]
    not_listed: tuple[FoundPlugin, ...] = ()
    errors: tuple[StartupError, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def enabled(self) -> tuple[Selected, ...]:
        """Those that shall be loaded."""
        return tuple(plugin for plugin in self.plugins if plugin.manifest.enabled)


def select(config: HostConfig, catalogue: Catalogue, environ: Mapping[str, str]) -> PluginSelection:
    """Match the configuration with what was found; raises nothing, see `PluginSelection.errors`."""
    errors: list[StartupError] = []
    warnings: list[str] = []
    wanted = _wanted(config, catalogue, errors)
    plugins = []
    for found, entry in wanted:
        try:
            plugins.append(_select(found, entry, config, environ, warnings))
        except StartupError as error:
            errors.append(error)
    errors += _broken_manifests(config, catalogue, warnings)
    errors += _base_conflicts(config, plugins)
    errors += _unknown_required(config, plugins)
    names = {plugin.manifest.name for plugin in plugins}
    return PluginSelection(
        plugins=tuple(plugins),
        not_listed=tuple(f for name, f in catalogue.found.items() if name not in names),
        errors=tuple(errors),
        warnings=tuple(warnings),
    )


def _wanted(
    config: HostConfig, catalogue: Catalogue, errors: list[StartupError]
) -> list[tuple[FoundPlugin, PluginEntry | None]]:
    if config.plugins is None:
        return [(found, None) for found in catalogue.found.values()]
    wanted: list[tuple[FoundPlugin, PluginEntry | None]] = []
    indexes: dict[str, int] = {}
    for entry in config.plugins:
        try:
            found = catalogue.find(entry.name) or find_module(entry.name)
        except ManifestError as error:
            errors.append(error)
            continue
        if found is None:
            if all(broken.name != entry.name for broken in catalogue.broken):
                errors.append(_unknown(config, entry, catalogue))
            continue
        name = found.manifest.name
        if name in indexes:
            errors.append(
                ConfigError(f"plugins[{indexes[name]}] and plugins[{entry.index}] are both {name}")
            )
            continue
        indexes[name] = entry.index
        wanted.append((found, entry))
    return wanted


def _unknown(config: HostConfig, entry: PluginEntry, catalogue: Catalogue) -> UnknownPlugin:
    folders = ", ".join(str(folder) for folder in config.plugin_folders) or "no folder"
    unreadable = [broken.error for broken in catalogue.broken if broken.name is None]
    hint = f"; unreadable manifests: {'; '.join(unreadable)}" if unreadable else ""
    meant = hint_at(entry.name, catalogue.found)
    return UnknownPlugin(
        f"plugins[{entry.index}]: {entry.name} was not found in {folders}, among the installed"
        f" packages, or as a module{meant}{hint}"
    )


def _broken_manifests(
    config: HostConfig, catalogue: Catalogue, warnings: list[str]
) -> list[StartupError]:
    """A broken manifest matters if its plugin was requested; otherwise it is only worth a line."""
    errors: list[StartupError] = []
    listed = None if config.plugins is None else {entry.name for entry in config.plugins}
    for broken in catalogue.broken:
        asked_for = listed is None or (
            broken.name is not None and known_name(broken.name, listed) is not None
        )
        if asked_for and broken.name not in catalogue.found:
            errors.append(ManifestError(broken.error))
        else:
            warnings.append(broken.error)
    return errors


def _select(
    found: FoundPlugin,
    entry: PluginEntry | None,
    config: HostConfig,
    environ: Mapping[str, str],
    warnings: list[str],
) -> Selected:
    given = dict(entry.options) if entry is not None else {}
    label = f"plugins[{entry.index}] ({found.manifest.name})" if entry is not None else ""
    for key in METADATA:
        if key in given:
            raise ConfigError(f"{label}: {key} belongs to the manifest and cannot be changed here")
    manifest = _override(found.manifest, given, label)
    if entry is None and manifest.only_if_listed:
        manifest = msgspec.structs.replace(manifest, enabled=False)
    if manifest.max_body_size is not None and manifest.max_body_size > config.body_size.max:
        warnings.append(f"{manifest.name}: maxBodySize was lowered to bodySize.max")
        manifest = msgspec.structs.replace(manifest, max_body_size=config.body_size.max)
    problem = None
    options: dict[str, Any] = {}
    if manifest.enabled:
        warnings += remarks(found.manifest)
        unknown = [it for it in undeclared(manifest.schema, given) if it not in manifest.options]
        if unknown and not config.strict:
            warnings.append(f"{label}: unknown options have no effect: {', '.join(unknown)}")
        defaults = manifest.unconfigured if config.takes_unconfigured else {}
        own = expand(
            {**manifest.options, **defaults},
            environ,
            lambda text: warnings.append(f"{manifest.path}: {text}"),
        )
        try:
            options = effective_options(manifest.schema, own, given, environ)
        except InvalidOptions as error:
            problem = str(error)
        else:
            if unknown and config.strict:
                problem = _no_such_options(unknown, manifest.schema)
    return Selected(
        manifest=manifest,
        source=found.source,
        module=found.module,
        entry=found.entry,
        options=options,
        problem=problem,
    )


def _no_such_options(unknown: Sequence[str], schema: Schema) -> str:
    # The options of a section are not known here.
    named = (name if "." in name else name + hint_at(name, schema) for name in unknown)
    return f"there are no such options: {', '.join(named)}"


def _override(manifest: Manifest, given: dict[str, Any], label: str) -> Manifest:
    """Take the options with a meaning for the host out of `given` and apply them."""
    changes: dict[str, Any] = {}
    base = given.pop("base", None)
    if base is not None:
        if not isinstance(base, str) or not BASE.fullmatch(base):
            raise ConfigError(f"{label}: base {BASE_RULE}")
        changes["base"] = base
        changes["menus"] = tuple(_moved(manifest.menus, manifest.base or "", base))
    for key, field in (("enabled", "enabled"), ("onRequestFailOpen", "on_request_fail_open")):
        flag = given.pop(key, None)
        if flag is not None:
            if not isinstance(flag, bool):
                raise ConfigError(f"{label}: {key} must be true or false")
            changes[field] = flag
    size = given.pop("maxBodySize", None)
    if size is not None:
        try:
            changes["max_body_size"] = parse_size(size)
        except ValueError as error:
            raise ConfigError(f"{label}: maxBodySize {error}") from None
    menus = given.pop("menus", None)
    if menus is not None:
        if (problem := menus_problem(menus)) is not None:
            raise ConfigError(f"{label}: menus {problem}")
        changes["menus"] = tuple(menus)
    public = given.pop("publicRoutes", None)
    if public is not None:
        if (problem := public_routes_problem(public)) is not None:
            raise ConfigError(f"{label}: publicRoutes {problem}")
        changes["public_routes"] = _union(manifest.public_routes, public)
    return msgspec.structs.replace(manifest, **changes)


def _moved(menus: Iterable[Mapping[str, Any]], before: str, base: str) -> list[Mapping[str, Any]]:
    """The menus of a plugin that has another base than its manifest says."""
    moved: list[Mapping[str, Any]] = []
    for menu in menus:
        path, items = menu.get("path"), menu.get("items")
        if isinstance(path, str) and f"{path}/".startswith(f"{before}/"):
            menu = {**menu, "path": base.rstrip("/") + path[len(before) :]}
        moved.append({**menu, "items": _moved(items, before, base)} if items else menu)
    return moved


def _union(one: Any, other: Any) -> Any:
    if isinstance(one, list) and isinstance(other, list):
        return list(dict.fromkeys([*one, *other]))
    merged: dict[str, list[str]] = {}
    for routes in (one, other):
        by_method = routes if isinstance(routes, dict) else {"ALL": routes or []}
        for method, paths in by_method.items():
            merged[method] = list(dict.fromkeys([*merged.get(method, []), *(paths or [])]))
    return merged


def _base_conflicts(config: HostConfig, plugins: list[Selected]) -> list[StartupError]:
    errors: list[StartupError] = []
    # Of the API's path only the first segment matters: that is what a request is routed by.
    reserved = {*RESERVED, "/" + config.api_path.split("/")[1]}
    owners: dict[str, str] = {}
    for plugin in plugins:
        base, name = plugin.manifest.base, plugin.manifest.name
        if base is None or not plugin.manifest.enabled:
            continue
        if base in reserved:
            errors.append(BaseRefused(f"{name}: base {base} is reserved for the host"))
        elif base in owners:
            errors.append(
                BaseRefused(f"Route collision: {owners[base]} and {name} both want base {base}")
            )
        else:
            owners[base] = name
    return errors


def _unknown_required(config: HostConfig, plugins: list[Selected]) -> list[StartupError]:
    names = {plugin.manifest.name for plugin in plugins}
    return [
        UnknownPlugin(f"required: {name} is not among the plugins to load")
        for name in config.required
        if known_name(name, names) is None
    ]
