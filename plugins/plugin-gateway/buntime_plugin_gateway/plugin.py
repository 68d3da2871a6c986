"""The hooks of plugin-gateway."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Sequence
from typing import Any

from buntime_host import Action, PluginContext, RequestPassage, hookimpl, read_options
from starlette.routing import BaseRoute

from buntime_plugin_gateway.addresses import Addresses
from buntime_plugin_gateway.config import GatewayConfig
from buntime_plugin_gateway.cors import CorsPolicy
from buntime_plugin_gateway.limits.limiter import Limiter
from buntime_plugin_gateway.passage import GatewayPassage
from buntime_plugin_gateway.request_log import RequestLog
from buntime_plugin_gateway.routes import PERMISSIONS, GatewayRoutes

TICK_SECONDS = 1.0


class GatewayPlugin:
    """Looks at all requests of a host, and at their answers."""

    def __init__(self, _: dict[str, Any]) -> None:
        """Options come with `on_init`."""
        self._passage: GatewayPassage | None = None
        self._routes: list[BaseRoute] = []
        self._limiter: Limiter | None = None
        self._log: RequestLog | None = None
        self._ticking: asyncio.Task[None] | None = None
        self._logger = logging.getLogger(__name__)

    @hookimpl
    async def on_init(self, ctx: PluginContext) -> None:
        """Read the options. Raises `OptionError`."""
        config = read_options(GatewayConfig, ctx.config)
        self._logger = ctx.logger
        if config.rate_limit is not None:
            self._limiter = Limiter(config.rate_limit, ctx.workers)
        cors = None if config.cors is None else CorsPolicy(config.cors)
        log = self._log = RequestLog(config.log_size, ctx.workers)
        self._passage = GatewayPassage(
            Addresses(ctx.client_of), self._limiter, cors, log, log_all=config.log_all
        )
        self._routes = [*GatewayRoutes(self._limiter, cors, log, config.log_size).routes()]
        self._ticking = asyncio.create_task(self._tick_on())

    @hookimpl
    def passage(self) -> RequestPassage | None:
        """What all requests pass."""
        return self._passage

    @hookimpl
    def routes(self) -> Sequence[BaseRoute]:
        """The API."""
        return self._routes

    @hookimpl
    def permissions(self) -> dict[str, Action]:
        """What users may be permitted to do here."""
        return dict(PERMISSIONS)

    @hookimpl
    async def on_shutdown(self) -> None:
        """Count no more."""
        if self._ticking is not None:
            self._ticking.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._ticking

    async def _tick_on(self) -> None:
        while True:
            await asyncio.sleep(TICK_SECONDS)
            if self._limiter is not None:
                self._limiter.sweep(time.monotonic())
            if self._log is not None:
                self._log.share()
