"""The hooks of plugin-database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from buntime_host import PluginContext, hookimpl
from buntime_host.access import Actions

from buntime_plugin_database.faces.permissions import PERMISSIONS
from buntime_plugin_database.service import Databases, open_service
from buntime_plugin_database.service.config import parse_config

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

    from buntime_plugin_database.faces.served import Served


class DatabasePlugin:
    """Opens the configured databases and provides a `Databases`."""

    def __init__(self, _: dict[str, Any]) -> None:
        """Options come with `on_init`."""
        self._service: Databases | None = None
        self._served: Served | None = None

    @hookimpl
    def check_options(
        self, options: Mapping[str, Any], environ: Mapping[str, str]
    ) -> Sequence[str]:
        """Warnings about the options. Raises `OptionError`."""
        return parse_config(options, environ).warnings

    @hookimpl
    async def on_init(self, ctx: PluginContext) -> None:
        """Open the root databases.

        Raises `OptionError`, `StartupError` or `DatabaseUnavailable`.
        """
        config = parse_config(ctx.config, ctx.environ)
        for warning in config.warnings:
            ctx.logger.warning("%s", warning)
        self._service = await open_service(config, ctx.base_dir, ctx.workers)
        if ctx.base is not None:  # requests do not reach databases that this process has for itself
            from buntime_plugin_database.faces.served import serve

            self._served = serve(ctx, self._service, config.tenancy)
        ctx.logger.info(
            "Databases open: %s (default %s)",
            ", ".join(self._service.get_available_types()),
            config.default,
        )

    @hookimpl
    def provides(self) -> Databases | None:
        """The service; None before `on_init` and after `on_shutdown`."""
        return self._service

    @hookimpl
    def routes(self) -> list[BaseRoute] | None:
        """The HTTP API and Hrana; None if the plugin has no path."""
        return None if self._served is None else self._served.routes

    @hookimpl
    def permissions(self) -> Actions:
        """Permissions on databases."""
        return PERMISSIONS

    @hookimpl
    async def health(self) -> str | None:
        """The problems with the root databases, or None."""
        return None if self._service is None else await self._service.check()

    @hookimpl
    async def diagnose(self) -> list[str]:
        """Damages in the files of root databases."""
        return [] if self._service is None else await self._service.diagnose()

    @hookimpl
    async def on_shutdown(self) -> None:
        """Close all streams, then all databases. Nothing happens if `on_init` never ran."""
        service, self._service = self._service, None
        if self._served is not None:
            await self._served.streams.close()
        if service is not None:
            await service.close()
