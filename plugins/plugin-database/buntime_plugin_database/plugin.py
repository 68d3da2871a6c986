"""The hooks of plugin-database."""

from __future__ import annotations

import os
from typing import Any

from buntime_host import PluginContext, hookimpl, read_options
from buntime_host.access import Actions
from starlette.routing import BaseRoute

from buntime_plugin_database.faces.access import Access
from buntime_plugin_database.faces.config import FaceOptions
from buntime_plugin_database.faces.hrana.streams import StreamLimits, Streams
from buntime_plugin_database.faces.permissions import PERMISSIONS
from buntime_plugin_database.faces.routes import make_routes
from buntime_plugin_database.faces.targets import Targets
from buntime_plugin_database.service import Databases, open_service
from buntime_plugin_database.service.config import parse_config


class DatabasePlugin:
    """Opens the configured databases and provides a `Databases`."""

    def __init__(self, _: dict[str, Any]) -> None:
        """Options come with `on_init`."""
        self._service: Databases | None = None
        self._streams: Streams | None = None
        self._routes: list[BaseRoute] = []

    @hookimpl
    async def on_init(self, ctx: PluginContext) -> None:
        """Open the root databases.

        Raises `OptionError`, `StartupError` or `DatabaseUnavailable`.
        """
        config = parse_config(ctx.config, os.environ)
        for warning in config.warnings:
            ctx.logger.warning("%s", warning)
        faces = read_options(FaceOptions, ctx.config)
        self._service = await open_service(config, ctx.base_dir, ctx.workers)
        api = faces.api
        limits = StreamLimits(
            api.max_streams, api.max_streams_per_client, api.idle_timeout, api.session_limits()
        )
        self._streams = Streams(self._service, limits, ctx.workers, ctx.client_of)
        for token in faces.tokens():
            ctx.add_token(token)
        access = Access(
            faces.tokens(), write=api.write, authorize=ctx.authorize, recognise=ctx.recognise
        )
        targets = Targets(config.tenancy, self._service.get_default_type)
        self._routes = make_routes(self._service, self._streams, targets, access, api)
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
    def routes(self) -> list[BaseRoute]:
        """The HTTP API and Hrana."""
        return self._routes

    @hookimpl
    def permissions(self) -> Actions:
        """What users may be permitted to do with databases."""
        return PERMISSIONS

    @hookimpl
    async def health(self) -> str | None:
        """What is wrong with the root databases, or None."""
        return None if self._service is None else await self._service.check()

    @hookimpl
    async def diagnose(self) -> list[str]:
        """What is damaged in the files of root databases."""
        return [] if self._service is None else await self._service.diagnose()

    @hookimpl
    async def on_shutdown(self) -> None:
        """Close all streams, then all databases. Nothing happens if `on_init` never ran."""
        service, self._service = self._service, None
        if self._streams is not None:
            await self._streams.close()
        if service is not None:
            await service.close()
