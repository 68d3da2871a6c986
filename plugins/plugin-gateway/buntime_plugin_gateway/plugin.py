"""The hooks of plugin-gateway."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from buntime_host import (
    Action,
    OptionError,
    PluginContext,
    RequestPassage,
    Workers,
    hookimpl,
    read_options,
)
from starlette.routing import BaseRoute

from buntime_plugin_gateway.addresses import Addresses
from buntime_plugin_gateway.cache import ResponseCache
from buntime_plugin_gateway.compression import Compression
from buntime_plugin_gateway.config import GatewayConfig, listed
from buntime_plugin_gateway.cors import CorsPolicy
from buntime_plugin_gateway.events import leave_signals_alone
from buntime_plugin_gateway.history import MetricsHistory
from buntime_plugin_gateway.limits.limiter import Limiter
from buntime_plugin_gateway.parts import Parts
from buntime_plugin_gateway.passage import GatewayPassage
from buntime_plugin_gateway.request_log import RequestLog
from buntime_plugin_gateway.routes import PERMISSIONS, GatewayRoutes
from buntime_plugin_gateway.shell.excludes import StoredExcludes, is_basename
from buntime_plugin_gateway.shell.files import read_files
from buntime_plugin_gateway.shell.serving import HOST, Shell

if TYPE_CHECKING:
    from prometheus_client import Metric

KEYVAL = "@buntime/plugin-keyval"
TICK = "1s"
FLUSH_SECONDS = 2.0
"""The time for the last write of the history when the host ends."""


class GatewayPlugin:
    """Handles all requests of a host, and their answers."""

    def __init__(self, options: dict[str, Any]) -> None:
        """Raises `OptionError` for invalid options, so that a check without a start finds them."""
        _check(read_options(GatewayConfig, options))
        self._parts: Parts | None = None
        self._passage: GatewayPassage | None = None
        self._routes: Sequence[BaseRoute] = ()
        self._writes_history = False
        self._logger = logging.getLogger(__name__)

    @hookimpl
    async def on_init(self, ctx: PluginContext) -> None:
        """Read the options. Raises `OptionError`, and what the store raises."""
        config = read_options(GatewayConfig, ctx.config)
        self._logger = ctx.logger
        leave_signals_alone()
        kv = ctx.get_plugin(KEYVAL)
        parts = _parts(config, ctx, kv)
        if config.shell_dir:
            parts = await _with_shell(parts, config, ctx, kv)
        if parts.history is not None and ctx.workers.number == 0:
            await parts.history.migrate(_now_ms())
        self._parts = parts
        self._passage = GatewayPassage(Addresses(ctx.client_of), parts, log_all=config.log_all)
        self._routes = GatewayRoutes(parts, config.log_size, ctx.closing).routes()
        self._writes_history = parts.history is not None and ctx.workers.number == 0
        ctx.every(TICK, self._tick)

    @hookimpl
    def passage(self) -> RequestPassage | None:
        """The passage of all requests."""
        return self._passage

    @hookimpl
    def routes(self) -> Sequence[BaseRoute]:
        """The API."""
        return self._routes

    @hookimpl
    def metrics(self) -> Iterable[Metric]:
        """The metrics of the gateway for the host's `/metrics`."""
        if self._parts is None:
            return ()
        from buntime_plugin_gateway.metrics import families

        return families(self._parts)

    @hookimpl
    def permissions(self) -> dict[str, Action]:
        """The actions that can be permitted."""
        return dict(PERMISSIONS)

    @hookimpl
    async def on_shutdown(self) -> None:
        """Write the last counts, and stop watching the store."""
        parts = self._parts
        if parts is None:
            return
        if parts.excludes is not None:
            await parts.excludes.stop()
        if parts.history is not None and self._writes_history:
            parts.history.take(_now_ms())
            try:
                async with asyncio.timeout(FLUSH_SECONDS):
                    await parts.history.flush()
            except TimeoutError:
                self._logger.warning("The last counts were not written in %g s", FLUSH_SECONDS)

    async def _tick(self) -> None:
        parts = self._parts
        if parts is None:
            return
        if parts.limiter is not None:
            parts.limiter.sweep(time.monotonic())
        parts.log.share()
        if parts.history is not None and self._writes_history:
            await parts.history.tick(_now_ms())


def _check(config: GatewayConfig) -> None:
    alone = Workers.alone()
    if config.rate_limit is not None:
        Limiter(config.rate_limit, alone)
    if config.cors is not None:
        CorsPolicy(config.cors)
    if config.compression is not None:
        Compression(config.compression)
    if config.cache is not None:
        ResponseCache(config.cache, alone, lambda _: False, frozenset())
    for text in listed(config.shell_excludes):
        if not is_basename(text):
            raise OptionError(
                f"shellExcludes: {text!r} is not the first segment of a path: letters, digits, _"
                " and -"
            )


def _parts(config: GatewayConfig, ctx: PluginContext, kv: Any) -> Parts:
    """The parts that the options turn on, except for the shell."""
    limiter = None if config.rate_limit is None else Limiter(config.rate_limit, ctx.workers)
    history = None
    if limiter is not None and kv is not None:
        history = MetricsHistory(kv, limiter.totals, ctx.logger)
    elif limiter is not None:
        ctx.logger.warning("Persistence disabled: %s is not loaded", KEYVAL)
    cors = None if config.cors is None else CorsPolicy(config.cors)
    compression = None if config.compression is None else Compression(config.compression)
    cache = None
    if config.cache is not None:
        seen_to = {"origin"} if cors is not None else set()
        seen_to |= {"accept-encoding"} if compression is not None else set()
        name = ctx.name

        def never(path: bytes) -> bool:
            return ctx.mounted_at(path.decode("latin-1")) in (HOST, name)

        cache = ResponseCache(config.cache, ctx.workers, never, frozenset(seen_to))
    return Parts(
        log=RequestLog(config.log_size, ctx.workers),
        limiter=limiter,
        cors=cors,
        cache=cache,
        compression=compression,
        history=history,
    )


async def _with_shell(parts: Parts, config: GatewayConfig, ctx: PluginContext, kv: Any) -> Parts:
    folder = Path(ctx.base_dir, config.shell_dir)
    files = await asyncio.to_thread(read_files, folder)
    excludes = listed(config.shell_excludes)
    stored = None
    if kv is not None:
        stored = StoredExcludes(kv, ctx.logger)
        await stored.start()

    def added() -> Mapping[str, int]:
        return {} if stored is None else stored.added_at

    shell = Shell(folder, files, frozenset(excludes), added, ctx.mounted_at)
    return parts._replace(shell=shell, excludes=stored)


def _now_ms() -> int:
    return int(time.time() * 1000)
