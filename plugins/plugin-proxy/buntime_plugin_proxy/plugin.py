"""The hooks of plugin-proxy."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from buntime_host import (
    Action,
    Fallback,
    HttpError,
    OptionError,
    PluginContext,
    hookimpl,
    read_options,
)
from starlette.middleware import Middleware
from starlette.routing import BaseRoute

from buntime_plugin_proxy.config import ProxyConfig
from buntime_plugin_proxy.forward.app import ProxyApp, ShadowMiddleware
from buntime_plugin_proxy.forward.counts import ForwardCounts
from buntime_plugin_proxy.forward.direct import DirectForwarder
from buntime_plugin_proxy.forward.headers import Sender
from buntime_plugin_proxy.forward.http import HttpForwarder
from buntime_plugin_proxy.forward.websocket import WebSocketForwarder
from buntime_plugin_proxy.routes import PERMISSIONS, RuleRoutes
from buntime_plugin_proxy.rules.reading import BadRule, rule_from
from buntime_plugin_proxy.rules.rule import Rule
from buntime_plugin_proxy.rules.store import DynamicRules
from buntime_plugin_proxy.rules.table import RuleMatch, RuleTable
from buntime_plugin_proxy.upstream.pool import UpstreamPool

if TYPE_CHECKING:
    from prometheus_client import Metric

KEYVAL = "@buntime/plugin-keyval"
TICK = "1s"
ON_LOOP = 50
"""The most rules that are prepared on the event loop; more are prepared in a thread."""
STATIC = "static-"
"""The prefix of the ids of rules of the configuration."""


class ProxyService:
    """The service for other plugins: which paths of rules need no credential."""

    def __init__(self, plugin: ProxyPlugin) -> None:
        self._plugin = plugin

    def is_public(self, path: str, method: str = "GET") -> bool:
        """Whether a path, as it was sent, is public for the method by any rule."""
        return self._plugin.table.is_public(method, path.encode())

    def isPublic(self, path: str, method: str = "GET") -> bool:
        """Same as `is_public`, spelled as in Buntime's documents."""
        return self.is_public(path, method)


class ProxyPlugin:
    """Serves paths below no plugin's base by rules, and the API of rules."""

    def __init__(self, _: dict[str, Any]) -> None:
        """Options come with `on_init`."""
        self.table = RuleTable()
        """The rules in force."""
        self._static: tuple[Rule, ...] = ()
        self._dynamic: DynamicRules | None = None
        self._pool: UpstreamPool | None = None
        self._counts: ForwardCounts | None = None
        self._app: ProxyApp | None = None
        self._shadowed: frozenset[str] = frozenset()
        self._mounted_at: Callable[[str], str | None] = lambda _: None

    @hookimpl
    async def on_init(self, ctx: PluginContext) -> None:
        """Read the rules. Raises `OptionError`, and the store's exceptions."""
        config = read_options(ProxyConfig, ctx.config)
        self._mounted_at = ctx.mounted_at
        self._shadowed = frozenset(_base(base) for base in config.allow_shadow)
        self._static = static_rules(config.rules, ctx.logger)
        self.table = RuleTable(self._static)
        try:
            pool = self._pool = UpstreamPool(config, ctx.logger)
        except ValueError as error:
            raise OptionError(str(error)) from error
        sender = Sender(ctx.client_of)
        counts = self._counts = ForwardCounts(ctx.workers)
        ctx.every(TICK, counts.tell)
        self._app = ProxyApp(
            lambda: self.table,
            HttpForwarder(pool, sender, config, counts, ctx.closing, ctx.logger),
            WebSocketForwarder(pool, sender, config, counts, ctx.logger),
            DirectForwarder(pool, sender, counts),
            counts,
            pool.guard,
            config.max_hops,
        )
        kv = ctx.get_plugin(KEYVAL)
        if kv is None:
            ctx.logger.info("Rules of the configuration only: %s is not loaded", KEYVAL)
            return
        self._dynamic = DynamicRules(kv, self._put_in_force, ctx.logger)
        await self._dynamic.start()

    @hookimpl
    def provides(self) -> ProxyService:
        """The service for plugins that check senders."""
        return ProxyService(self)

    @hookimpl
    def routes(self) -> Sequence[BaseRoute]:
        """The API of rules."""
        routes = RuleRoutes(
            lambda: self.table, lambda: self._dynamic, self._reserved, self._refusal
        )
        return routes.routes()

    @hookimpl
    def metrics(self) -> Iterable[Metric]:
        """The proxy's families for the host's `/metrics`."""
        if self._counts is None or self._pool is None:
            return ()
        from buntime_plugin_proxy.forward.metrics import families

        return families(self._counts.totals(), self.table, self._pool)

    @hookimpl
    def fallback(self) -> Fallback | None:
        """The application for paths outside of all bases."""
        if self._app is None:
            return None
        return Fallback(self._app, lambda method, path: self.table.is_public(method, path))

    @hookimpl
    def middleware(self) -> Sequence[Middleware]:
        """The middleware before plugins whose paths rules may take; empty if there are none."""
        if not self._shadowed or self._app is None:
            return ()
        return (Middleware(ShadowMiddleware, proxy=self._app, bases=self._shadowed),)

    @hookimpl
    def permissions(self) -> dict[str, Action]:
        """The permissions of the proxy."""
        return dict(PERMISSIONS)

    @hookimpl
    async def on_shutdown(self) -> None:
        """Forget the rules and end all connections."""
        if self._dynamic is not None:
            await self._dynamic.stop()
        if self._pool is not None:
            await self._pool.close()
        if self._counts is not None:
            self._counts.tell()

    def _reserved(self, path: bytes) -> str | None:
        """The owner of a path that no rule may have; None if rules may."""
        text = path.decode("latin-1")
        base = "/" + unquote(text[1:].partition("/")[0])
        return None if base in self._shadowed else self._mounted_at(text)

    def _refusal(self, method: str, path: bytes, match: RuleMatch) -> HttpError | None:
        """The refusal of a request that matches a rule."""
        return None if self._app is None else self._app.refusal(method, path, match)

    async def _put_in_force(self, rules: Sequence[Rule]) -> None:
        if len(rules) <= ON_LOOP:
            self.table = RuleTable(self._static, rules)
        else:
            self.table = await asyncio.to_thread(RuleTable, self._static, rules)


def static_rules(given: Sequence[dict[str, Any]], logger: logging.Logger) -> tuple[Rule, ...]:
    """The rules of the configuration; invalid ones are left out, with a warning.

    A rule with an id keeps it, whatever its position.
    """
    rules: dict[str, Rule] = {}
    for index, fields in enumerate(given):
        name = f"{STATIC}{str(fields.get('id', index)).removeprefix(STATIC)}"
        if name in rules:
            raise OptionError(f"rules.{index}.id: {name} is that of another rule already")
        try:
            rules[name] = rule_from(fields, name, order=index)
        except BadRule as error:
            logger.warning("Rule %d of the configuration is left out: %s", index, error)
    return tuple(rules.values())


def _base(text: str) -> str:
    if not text.startswith("/") or "/" in text[1:]:
        raise OptionError(f"allowShadow: {text!r} has to be / or a base such as /keyval")
    return text
