"""Plans the order of plugins from the configuration, before any plugin code runs.

`buntime serve`, `buntime plugins` and `buntime check` all look at the same plan.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from buntime_host.config import HostConfig
from buntime_host.errors import ConfigError, RequiredPluginFailed, StartupError
from buntime_host.names import known_name
from buntime_host.plugins.discovery import Catalogue, FoundPlugin, discover
from buntime_host.plugins.resolver import Node, Resolution, resolve
from buntime_host.plugins.selection import PluginSelection, Selected, select
from buntime_host.plugins.status import PluginStatus


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """The plan of a start, and its obstacles."""

    selection: PluginSelection
    resolution: Resolution
    warnings: tuple[str, ...]
    errors: tuple[StartupError, ...]
    """Reasons not to start at all."""

    @property
    def order(self) -> tuple[Selected, ...]:
        """The plugins to load, in starting order."""
        by_name = {plugin.manifest.name: plugin for plugin in self.selection.plugins}
        return tuple(by_name[name] for name in self.resolution.order)


def make_plan(
    config: HostConfig, environ: Mapping[str, str] | None = None, given: Sequence[FoundPlugin] = ()
) -> Plan:
    """Discover, select and order plugins. Nothing is raised, see `Plan.errors`.

    Plugins that are `given` win over those found by the same name; where the configuration names no
    others, no folder is searched.
    """
    environ = os.environ if environ is None else environ
    catalogue = _catalogue(config, {one.manifest.name: one for one in given})
    selection = select(config, catalogue, environ)
    enabled = selection.enabled
    resolution = resolve(
        [
            Node(
                name=plugin.manifest.name,
                dependencies=plugin.manifest.dependencies,
                optional_dependencies=plugin.manifest.optional_dependencies,
            )
            for plugin in enabled
        ],
        disabled={p.manifest.name for p in selection.plugins if not p.manifest.enabled},
        not_listed={found.manifest.name for found in selection.not_listed},
    )
    return Plan(
        selection=selection,
        resolution=resolution,
        warnings=(*config.warnings, *catalogue.warnings, *selection.warnings),
        errors=(
            *_unusable_files(config),
            *selection.errors,
            *_unmet(config, selection, resolution),
        ),
    )


def _catalogue(config: HostConfig, given: dict[str, FoundPlugin]) -> Catalogue:
    """The plugins that the configuration may name."""
    if config.plugins is not None and all(entry.name in given for entry in config.plugins):
        return Catalogue(found=given)
    catalogue = discover(config.plugin_folders, dirs_win=config.plugin_dirs_explicit)
    return msgspec.structs.replace(catalogue, found={**catalogue.found, **given})


def is_required(config: HostConfig, name: str) -> bool:
    """Whether the host must not run without plugin `name`, if it is enabled."""
    return config.strict or known_name(name, config.required) is not None


def _unusable_files(config: HostConfig) -> Iterator[ConfigError]:
    """Problems with files that the settings name."""
    if config.tls_files is not None:
        from buntime_host.tls import Certificate

        try:
            Certificate(*config.tls_files)
        except ConfigError as error:
            yield error


def _unmet(
    config: HostConfig, selection: PluginSelection, resolution: Resolution
) -> list[StartupError]:
    errors: list[StartupError] = []
    for plugin in selection.plugins:
        name = plugin.manifest.name
        if not plugin.manifest.enabled:
            if known_name(name, config.required) is not None:
                errors.append(RequiredPluginFailed(f"required plugin {name} is disabled"))
            continue
        reason = resolution.excluded.get(name) or plugin.problem
        if reason is not None and is_required(config, name):
            errors.append(RequiredPluginFailed(f"required plugin {name}: {reason}"))
    return errors


def statuses(config: HostConfig, plan: Plan) -> dict[str, PluginStatus]:
    """The first status of every plugin: those to load in starting order, then the others."""
    loading = [status_of(config, plugin) for plugin in plan.order]
    others = []
    for plugin in plan.selection.plugins:
        name = plugin.manifest.name
        if name in plan.resolution.order:
            continue
        status = status_of(config, plugin)
        if plugin.manifest.enabled:
            status.state, status.reason = "excluded", plan.resolution.excluded[name]
        else:
            status.state, status.reason = "disabled", "enabled is false"
        others.append(status)
    return {status.name: status for status in (*loading, *others)}


def status_of(config: HostConfig, plugin: Selected) -> PluginStatus:
    """A fresh status of a plugin that will be loaded."""
    manifest = plugin.manifest
    return PluginStatus(
        name=manifest.name,
        version=manifest.version,
        state="loading",
        base=manifest.base,
        source=plugin.source,
        path=str(manifest.dir),
        required=is_required(config, manifest.name),
        dependencies=manifest.dependencies,
        optional_dependencies=manifest.optional_dependencies,
        menus=tuple(dict(item) for item in manifest.menus),
    )
