"""Starts plugins in order and stops them in reverse, one at a time, each within its time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.middleware import Middleware
from starlette.types import ASGIApp

from buntime_host.access import Actions, short_name
from buntime_host.access.credentials import credential_in, key_credential
from buntime_host.access.gate import Gate, unauthorized
from buntime_host.access.permissions import CheckLimits
from buntime_host.blame import place_of
from buntime_host.config import HostConfig
from buntime_host.errors import (
    HookTimeout,
    InvalidOptions,
    InvalidPlugin,
    PluginError,
    RequiredPluginFailed,
    StartupError,
)
from buntime_host.http.passage import RequestPassage
from buntime_host.names import known_name
from buntime_host.plugins.answers import (
    fallback_of,
    function_of,
    menus_of,
    middleware_of,
    operations_in,
    passage_of,
    permissions_of,
)
from buntime_host.plugins.background import Background, Claim, Surroundings
from buntime_host.plugins.context import AppInfo, GlobalConfig, PluginContext, Runtime
from buntime_host.plugins.fallback import Fallback
from buntime_host.plugins.hooks import Hook, HookRegistry, run_hook, unmarked_problems
from buntime_host.plugins.loader import make_plugin
from buntime_host.plugins.manifest import Manifest
from buntime_host.plugins.plan import Plan, is_required
from buntime_host.plugins.selection import Selected
from buntime_host.plugins.services import Services
from buntime_host.plugins.status import PluginStatus
from buntime_host.plugins.task_clock import TaskClock
from buntime_host.routing.aliases import full_aliases
from buntime_host.routing.mounts import application, route_paths, route_problems
from buntime_host.version import __version__
from buntime_host.workers import Numbers, Workers

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

    from buntime_host.described import Operation

logger = logging.getLogger("PluginLoader")

FAILURE_NUMBERS = "host.task_failures"
"""Name of the counts that all workers share, one for each plugin in load order."""


class RunningPlugin(msgspec.Struct, frozen=True, kw_only=True):
    """A running plugin."""

    name: str
    selected: Selected
    app: ASGIApp | None
    routes: Any
    """The result of `routes()`."""
    permissions: Actions | None
    """The permissions of its users; None if it checks none."""
    check_limits: CheckLimits | None
    """Checks limits of keys; None if anything goes."""
    aliases: Mapping[str, str]
    """Older paths, and their present equivalents."""
    middleware: tuple[Middleware, ...]
    fallback: Fallback | None
    """Serves paths that are below no base."""
    passage: RequestPassage | None
    """Sees every request."""
    claim: Claim | None
    """Distinguishes hosts that share a store."""
    info: AppInfo


class Lifecycle:
    """The plugins of one host, from import to shutdown."""

    def __init__(
        self,
        config: HostConfig,
        statuses: Mapping[str, PluginStatus],
        closing: asyncio.Event,
        gate: Gate,
        workers: Workers,
        client_of: Callable[[Mapping[str, Any]], str | None],
        mounted_at: Callable[[str], str | None],
        environ: Mapping[str, str],
        clock: TaskClock,
    ) -> None:
        self._config = config
        self._environ = environ
        self._clock = clock
        self.statuses = statuses
        self._closing = closing
        self._gate = gate
        self._workers = workers
        self._client_of = client_of
        self._mounted_at = mounted_at
        self.hooks = HookRegistry()
        self.services = Services()
        self.running: list[RunningPlugin] = []
        """In load order."""
        self.loading: str | None = None
        """The plugin that is being loaded or initialised."""
        self._background: dict[str, Background] = {}
        self._failures: Numbers | None = None
        self._places: dict[str, int] = {}

    async def start(self, plan: Plan) -> None:
        """Load and initialise the plugins of `plan`; the failure of one does not stop the others.

        Raises `RequiredPluginFailed` if a required one fails or nothing could be loaded at all, or
        the `StartupError` that a plugin raised; plugins that run by then are shut down again.
        """
        names = [selected.manifest.name for selected in plan.order]
        self._places = {name: place for place, name in enumerate(names)}
        self._failures = self._workers.numbers(FAILURE_NUMBERS, len(names)) if names else None
        for selected in plan.order:
            self.loading = selected.manifest.name
            status = self.statuses[selected.manifest.name]
            try:
                self._check_dependencies(selected)
                await self._load(selected, status)
            except PluginError as error:
                if isinstance(error.__cause__, StartupError):
                    raise error.__cause__ from None  # the plugin refuses the start as a whole
                await self._failed(selected, status, error)
        self.loading = None
        wanted = [s for s in self.statuses.values() if s.state != "disabled"]
        if wanted and not self.running:
            reasons = "; ".join(f"{status.name}: {status.reason}" for status in wanted)
            raise RequiredPluginFailed(f"no plugin could be loaded: {reasons}")
        for status in wanted:
            if status.state != "loaded":
                logger.error("Plugin %s %s: %s", status.name, status.state, status.reason)

    def _check_dependencies(self, selected: Selected) -> None:
        up = {plugin.name for plugin in self.running}
        for name in selected.manifest.dependencies:
            if known_name(name, up) is None:
                known = known_name(name, self.statuses)
                state = self.statuses[known].state if known is not None else "not loaded"
                raise InvalidPlugin(f"requires {name}, which {state}")
        if selected.problem is not None:
            raise InvalidOptions(selected.problem)

    async def _failed(self, selected: Selected, status: PluginStatus, error: PluginError) -> None:
        name = selected.manifest.name
        place = place_of(error, selected.manifest.dir)
        status.state, status.reason = "failed", f"{error} ({place})" if place else str(error)
        logger.debug("Traceback of %s", name, exc_info=error)
        if is_required(self._config, name):
            await self.stop(budget=self._config.shutdown_timeout)
            raise RequiredPluginFailed(f"required plugin {name}: {status.reason}") from error

    async def _load(self, selected: Selected, status: PluginStatus) -> None:
        manifest = selected.manifest
        name = manifest.name
        begun = time.perf_counter()
        log = logging.getLogger(f"plugin:{name}")
        late = f'Plugin "{name}" initialization'
        plugin = await self._timed(
            partial(make_plugin, selected, self.hooks.carries_hooks, log.warning, self._environ),
            what="factory",
            late=late,
        )
        self.hooks.register(name, plugin)
        status.hooks = self.hooks.names(name)
        for problem in unmarked_problems(self.hooks, plugin):
            log.warning("%s", problem)
        self._background[name] = self._background_of(name, log)
        try:
            await self._call(name, "on_init", late, ctx=self._context(selected, log))
            service = await self._call(name, "provides")
            running = await self._asked(selected, log)
            menus = menus_of(await self._call(name, "menus"))
        except BaseException:
            # Half-opened resources would otherwise stay open for the life of the process.
            await self._shut_down(name, self._config.hook_timeout)
            raise
        self.services.add(name, service)
        self.running.append(running)
        status.state = "loaded"
        status.menus = status.menus if menus is None else menus
        status.provides = type(service).__name__ if service is not None else None
        status.served = running.app is not None and manifest.base is not None
        status.routes = route_paths(running.routes)
        status.init_ms = round((time.perf_counter() - begun) * 1000, 3)
        logger.debug("Loaded: %s (%s)", name, manifest.dir)

    async def _asked(self, selected: Selected, log: logging.Logger) -> RunningPlugin:
        """A plugin that is initialised, with what its hooks say. Raises `PluginError`."""
        manifest = selected.manifest
        ask = partial(self._call, manifest.name)
        routes = await ask("routes")
        app = application(routes, _page_of(manifest))
        for problem in route_problems(routes, manifest.base):
            log.warning("%s", problem)
        return RunningPlugin(
            name=manifest.name,
            selected=selected,
            app=app,
            routes=routes,
            permissions=permissions_of(await ask("permissions"), manifest.permissions),
            check_limits=function_of(await ask("limits"), "limits"),
            aliases=full_aliases(await ask("aliases"), manifest.base),
            middleware=middleware_of(await ask("middleware")),
            fallback=self._only_one(fallback_of(await ask("fallback"))),
            passage=passage_of(await ask("passage")),
            claim=function_of(await ask("claims"), "claims"),
            info=app_info(selected),
        )

    def _background_of(self, name: str, log: logging.Logger) -> Background:
        return Background(
            Surroundings(
                plugin=name,
                logger=log,
                clock=self._clock,
                count_failure=partial(self._count_failure, name),
                claim=self._claim,
                is_first_worker=self._workers.number == 0,
            )
        )

    def _claim(self) -> Claim | None:
        return next((plugin.claim for plugin in self.running if plugin.claim is not None), None)

    def _count_failure(self, name: str) -> None:
        if self._failures is not None:
            self._failures.own[self._places[name]] += 1

    def task_failures(self) -> dict[str, int]:
        """How often background work failed, in all workers, for each plugin that has some."""
        if self._failures is None:
            return {}
        totals = zip(self._places, map(int, self._failures.totals()), strict=True)
        has_some = {name for name, background in self._background.items() if background.is_used}
        return {name: total for name, total in totals if total or name in has_some}

    def _context(self, selected: Selected, log: logging.Logger) -> PluginContext:
        config, manifest = self._config, selected.manifest
        declared = (manifest.name, *manifest.dependencies, *manifest.optional_dependencies)
        return PluginContext(
            name=manifest.name,
            base=manifest.base,
            config=dict(selected.options),
            environ=self._environ,
            global_config=GlobalConfig(config.plugin_folders, config.environment),
            logger=log,
            runtime=Runtime(config.api_path, __version__),
            base_dir=config.base_dir,
            closing=self._closing,
            lookup=self.services.lookup_for(manifest.name, declared, log),
            background=self._background[manifest.name],
            authorize=partial(_authorize, self._gate, f"{short_name(manifest.name)}:*"),
            add_token=partial(
                self._gate.add_token,
                plugin=short_name(manifest.name),
                scope=f"{short_name(manifest.name)}:*",
            ),
            recognise=partial(_recognise, self._gate),
            workers=self._workers,
            client_of=self._client_of,
            mounted_at=self._mounted_at,
        )

    def _only_one(self, fallback: Fallback | None) -> Fallback | None:
        """Raise `InvalidPlugin` for a second one."""
        other = next((plugin.name for plugin in self.running if plugin.fallback is not None), None)
        if fallback is not None and other is not None:
            raise InvalidPlugin(f"fallback() is that of {other} already, and only one can have it")
        return fallback

    async def _call(self, name: str, hook: str, late: str | None = None, **arguments: Any) -> Any:
        """Call one hook of one plugin; return None if it does not have it. Raises `PluginError`."""
        found = self.hooks.get(name, hook)
        if found is None:
            return None
        return await self._timed(partial(found, **arguments), what=hook, late=late)

    async def _timed(
        self, call: Callable[[], Any | Awaitable[Any]], *, what: str, late: str | None
    ) -> Any:
        timeout = self._config.init_timeout
        return await run_hook(call, what=what, timeout=timeout, late=late)

    async def operations(self, plugin: RunningPlugin) -> list[Operation]:
        """The descriptions of a plugin's routes; none if the hook fails."""
        from buntime_host.described import operations_of

        if self.hooks.get(plugin.name, "openapi") is None:
            return [*operations_of(plugin.routes)]
        try:
            told = await self._call(plugin.name, "openapi")
            return operations_in(told)
        except PluginError as error:
            logger.warning("Plugin %s: %s", plugin.name, error)
            return []

    async def server_started(self, server: Any) -> None:
        """Run every `on_server_start`, in load order; failures are logged."""
        for plugin in self.running:
            try:
                await self._call(plugin.name, "on_server_start", server=server)
            except PluginError as error:
                logger.error("Plugin %s: %s", plugin.name, error)  # noqa: TRY400 - one line is enough

    async def stop(self, *, budget: float) -> bool:
        """Shut all plugins down, last loaded first, within `budget` seconds in total.

        Each has its own limit besides. Returns whether the budget was enough for all of them.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + budget
        in_time = True
        while self.running:
            plugin = self.running.pop()
            left = deadline - loop.time()
            if left <= 0:
                in_time = False
                logger.error("No time left to shut down plugin %s", plugin.name)
                left = 0
            ended = await self._shut_down(plugin.name, min(left, self._config.hook_timeout))
            if not ended and left < self._config.hook_timeout:
                in_time = False  # it was the budget that cut it off
            self.statuses[plugin.name].state = "stopped"
        return in_time

    async def _shut_down(self, name: str, timeout: float) -> bool:
        """Run the last hook of a plugin; whether it ended before the timeout."""
        ended = True
        # The service is withdrawn even while the plugin closes it.
        self.services.remove(name)
        background = self._background.pop(name, None)
        if background is not None:
            await background.end(timeout)
        hook = self.hooks.get(name, "on_shutdown")
        if hook is not None and timeout > 0:
            try:
                await run_hook(hook, what="on_shutdown", timeout=timeout)
            except PluginError as error:
                logger.error("Plugin %s: %s", name, error)  # noqa: TRY400 - one line is enough
                logger.debug("Traceback of %s", name, exc_info=error)
                ended = not isinstance(error, HookTimeout)
        self.hooks.unregister(name)
        return ended

    def hooks_named(self, hook: str) -> dict[str, Hook]:
        """A hook of all running plugins that have it, by plugin."""
        found = ((plugin.name, self.hooks.get(plugin.name, hook)) for plugin in self.running)
        return {name: hook for name, hook in found if hook is not None}


def _authorize(gate: Gate, scope: str, connection: HTTPConnection) -> None:
    """Raise `Unauthorized` or `PermissionDenied`, unless the sender may do all of a plugin."""
    if gate.is_open:
        return
    said = credential_in(connection.scope["headers"])
    if said is None:
        raise unauthorized()
    gate.principal(said, gate.peer_of(connection.scope)).require(scope)


def _recognise(gate: Gate, connection: HTTPConnection, token: str) -> None:
    """See `PluginContext.recognise`."""
    if not gate.is_open:
        text = token.encode("utf-8", "replace")
        found = gate.principal(key_credential(text), gate.peer_of(connection.scope))
        connection.scope["state"]["principal"] = found


def _page_of(manifest: Manifest) -> ASGIApp | None:
    """Its page. Raises `InvalidPlugin` if it is not there."""
    if manifest.entrypoint is None:
        return None
    from buntime_host.plugins.static import page_of  # Starlette's files: a store here has no page

    return page_of(manifest)


def app_info(selected: Selected) -> AppInfo:
    """The plugin as request hooks see it."""
    manifest = selected.manifest
    return AppInfo(
        name=(manifest.base or "").removeprefix("/") or "root",
        plugin=manifest.name,
        version=manifest.version,
        dir=manifest.dir,
        config=selected.options,
        public_routes=manifest.public_routes,
    )
