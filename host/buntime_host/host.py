"""The host: configuration in, a served set of plugins out."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
from starlette.types import Receive, Scope, Send

from buntime_host.access import Permissible, short_name
from buntime_host.access.administration import KeyAdministration
from buntime_host.access.audit import Audit
from buntime_host.access.database_store import PLUGIN as KEY_DATABASE
from buntime_host.access.database_store import DatabaseKeys, NoteOfKeys
from buntime_host.access.file_store import FileKeys
from buntime_host.access.gate import Gate
from buntime_host.access.keyring import Keyring
from buntime_host.access.public import PublicRoutes
from buntime_host.access.signed import Signed
from buntime_host.access.store import KeyStore
from buntime_host.access.trusted_hosts import TrustedHosts, is_loopback
from buntime_host.blame import describe
from buntime_host.config import HostConfig, load_config
from buntime_host.connections.edge import REASONS, Edge, EdgeMetrics
from buntime_host.errors import ConfigError, RequiredPluginFailed, ServiceUnavailable, StartupError
from buntime_host.http.below import Below
from buntime_host.http.clients import client_of_request
from buntime_host.http.origin import OriginPolicy
from buntime_host.http.passage import one_passage
from buntime_host.http.problem import problem_of, refuse_websocket, send_problem
from buntime_host.lifecycle import Lifecycle, RunningPlugin, app_info
from buntime_host.observe.http_numbers import HttpNumbers
from buntime_host.observe.log_output import dropped_lines
from buntime_host.observe.observer import Observer
from buntime_host.options.settings import ObserveOptions
from buntime_host.plugins.discovery import FoundPlugin
from buntime_host.plugins.hooks import Hook
from buntime_host.plugins.plan import Plan, make_plan, statuses
from buntime_host.plugins.status import PluginStatus
from buntime_host.plugins.task_clock import SystemTaskClock, TaskClock
from buntime_host.routing.aliases import Aliases
from buntime_host.routing.mount_table import MountTable
from buntime_host.routing.mounts import Mount, NotRunning, fallback_mount, mount_at
from buntime_host.tls import Certificate
from buntime_host.workers import Workers

if TYPE_CHECKING:
    from buntime_host.routes.core_routes import CoreRoutes
    from buntime_host.routes.openapi import ApiPart
    from buntime_host.routing.dispatch import RequestDispatcher

REFUSED_NUMBERS = "host.refused"
"""Name of the counts that all workers share."""

logger = logging.getLogger("App")


def _observing(observer: Observer) -> Callable[..., RequestDispatcher]:
    # It loads the client library of servers, which a store without a server does not need.
    from buntime_host.connections.observed import ObservedDispatcher

    return partial(ObservedDispatcher, observer)


class Host:
    """One set of plugins. Start it, serve with it as an ASGI application, stop it.

    `async with host:` does the first and the last; an ASGI server does so through lifespan. Several
    hosts may live in one process: they share nothing.
    """

    def __init__(
        self,
        config: HostConfig,
        *,
        environ: Mapping[str, str] | None = None,
        workers: Workers | None = None,
        is_private: bool = False,
        clock: TaskClock | None = None,
        given: Sequence[FoundPlugin] = (),
    ) -> None:
        """A private host gets requests only from this process (`InProcess`), and reads no keys.

        `clock` is for what plugins do in the background; by default that of the system. `given` are
        plugins that are passed in and need not be found.
        """
        self.config = config
        self.workers = workers or Workers.alone()
        """The processes that serve the same configuration, of which this is one."""
        self.closing = asyncio.Event()
        """Set when shutdown is announced; plugins have it as `ctx.closing`."""
        self.statuses: Mapping[str, PluginStatus] = {}
        self.table: MountTable | None = None
        """Where plugins are served; None until the host has started."""
        self.dispatcher: RequestDispatcher | None = None
        """Serves requests of others; None until the host has started, and for a private one."""
        self.health_hooks: Mapping[str, Hook] = {}
        self.metrics_hooks: Mapping[str, Hook] = {}
        self.diagnose_hooks: Mapping[str, Hook] = {}
        counts = self.workers.numbers(REFUSED_NUMBERS, len(REASONS))
        self.edge = Edge(config.edge_limits, counts.own)
        """Limits of connections; used by `buntime serve`, not by other servers."""
        self._refused = counts
        self._environ = environ
        self._is_private = is_private
        self.certificate = None if config.tls_files is None else Certificate(*config.tls_files)
        """The certificate of `buntime serve`; None without TLS."""
        self._clock = clock or SystemTaskClock()
        self._given = given
        self._documents: dict[bool, dict[str, msgspec.Raw]] = {}
        """The members of the OpenAPI document, for an open host and for one that asks for
        credentials."""
        self.gate = _gate(config)
        """The gate that recognises senders."""
        self.gate.client_of = partial(
            client_of_request,
            client_of=self.edge.client_of,
            header=config.edge_limits.forwarded_header,
        )
        self.signed = Signed(self.gate, self.workers)
        """Sessions of web pages, and tickets of streams."""
        self.gate.sessions = self.signed
        self.keys = KeyAdministration(self.gate.keyring, self.gate.refresh)
        """The keys, for the API and for commands."""
        self.observer = _observer(config, self.workers, self.gate)
        """Observes requests; None where nothing is reported."""
        self._lifecycle: Lifecycle | None = None
        self._announced_at: float | None = None

    @property
    def ready(self) -> bool:
        """Whether it has started and is not closing."""
        return self.table is not None and not self.closing.is_set()

    @property
    def loading(self) -> str | None:
        """The plugin that is being loaded or initialised."""
        return self._lifecycle.loading if self._lifecycle is not None else None

    @property
    def task_failures(self) -> Mapping[str, int]:
        """How often background work of each plugin failed, in all workers."""
        return self._lifecycle.task_failures() if self._lifecycle is not None else {}

    @property
    def edge_metrics(self) -> EdgeMetrics:
        """The metrics of connections."""
        return EdgeMetrics(
            refused=dict(zip(REASONS, self._refused.totals(), strict=True)),
            connections=len(self.edge.connections),
            upload_bytes=self.edge.uploads.held,
            unsent_bytes=self.edge.unsent.held,
            dropped_lines=dropped_lines(),
        )

    @property
    def http_numbers(self) -> HttpNumbers | None:
        """The counts of requests; None if they are not counted."""
        return None if self.observer is None else self.observer.numbers

    async def start(self) -> None:
        """Load all plugins. Raises `StartupError`, after releasing everything again."""
        plan = make_plan(self.config, self._environ, self._given)
        for note in self.config.notes:
            logger.info("%s", note)
        for warning in plan.warnings:
            logger.warning("%s", warning)
        unlisted = [found.manifest.name for found in plan.selection.not_listed]
        if unlisted:
            logger.info("Found, but not in plugins of the configuration: %s", ", ".join(unlisted))
        if plan.errors:
            raise _combined(plan.errors)
        self.statuses = statuses(self.config, plan)
        lifecycle = Lifecycle(
            self.config,
            self.statuses,
            self.closing,
            self.gate,
            self.workers,
            self.gate.client_of,
            self._mounted_at,
            os.environ if self._environ is None else self._environ,
            self._clock,
        )
        self._lifecycle = lifecycle
        try:
            await lifecycle.start(plan)
            if not self._is_private:
                await self._open_keys(lifecycle)
            self.health_hooks = lifecycle.hooks_named("health")
            self.metrics_hooks = lifecycle.hooks_named("metrics")
            self.diagnose_hooks = lifecycle.hooks_named("diagnose")
            if self._is_private:
                self.table = MountTable(self._mounts(lifecycle, plan), Aliases({}))
            else:
                self.dispatcher = self._dispatcher(lifecycle, plan)
                self.table = self.dispatcher.table
                if self.dispatcher.has_pages_elsewhere:
                    self.edge.says_to_origin = self.dispatcher.says_to_origin
        except BaseException:
            await self.gate.close()
            await lifecycle.stop(budget=self.config.shutdown_timeout)
            raise

    def service(self, plugin: str) -> Any:
        """The service of a plugin, by its name; None if it provides none, or is not up."""
        return self._lifecycle.services.get(plugin) if self._lifecycle is not None else None

    async def openapi(self, root: str = "") -> bytes:
        """The OpenAPI document of the routes served now, as JSON.

        It is made on the first call. `root` is the prefix of all paths for the client.
        """
        from buntime_host.routes.openapi import ApiPart, document

        is_open = self.gate.is_open
        if is_open not in self._documents:
            running = self._lifecycle.running if self._lifecycle is not None else []
            parts = [
                ApiPart(name="host", base="/", operations=self._core().operations()),
                *[await self._described(plugin) for plugin in running],
            ]
            found = await asyncio.to_thread(document, parts, is_open=is_open)
            self._documents[is_open] = {
                name: msgspec.Raw(msgspec.json.encode(value)) for name, value in found.items()
            }
        return msgspec.json.encode({**self._documents[is_open], "servers": [{"url": root or "/"}]})

    def _core(self) -> CoreRoutes:
        """The host's own routes, which a private host does not need."""
        from buntime_host.routes.core_routes import CoreRoutes

        return CoreRoutes(self, api=self.config.api_path, homepage=self.config.homepage)

    async def _described(self, plugin: RunningPlugin) -> ApiPart:
        from buntime_host.routes.openapi import ApiPart

        manifest = plugin.selected.manifest
        lifecycle = self._lifecycle
        serves = lifecycle is not None and manifest.base is not None
        return ApiPart(
            name=plugin.name,
            base=manifest.base or "",
            operations=await lifecycle.operations(plugin) if lifecycle and serves else [],
            text=manifest.description,
        )

    async def _open_keys(self, lifecycle: Lifecycle) -> None:
        """Read the keys. Raises `ConfigError` if there are none and others may reach the host."""
        gate = self.gate
        gate.keyring.permissible = _permissible(lifecycle)
        store = _key_store(self.config, lifecycle)
        if store is not None:
            await gate.open(store)
        else:
            gate.lock("the database that has them is not there")
        config = self.config
        is_safe = is_loopback(config.host) or config.insecure
        is_safe = is_safe or config.master_key is not None or gate.foreign is not None
        if not is_safe and not gate.keyring.has_keys:
            raise ConfigError(
                f"refusing to listen on {config.host} without a key: set RUNTIME_MASTER_KEY, make"
                " one with `buntime keys create`, or use --insecure"
            )

    def _mounts(self, lifecycle: Lifecycle, plan: Plan) -> dict[str, Mount]:
        """The plugins at their bases."""
        mounts = self._not_running(plan)
        for plugin in lifecycle.running:
            manifest = plugin.selected.manifest
            if plugin.app is not None and manifest.base is not None:
                mounts[manifest.base] = mount_at(
                    manifest.base,
                    plugin.app,
                    self._body_limit(plugin),
                    plugin.info,
                    asks_for=(
                        f"{short_name(plugin.name)}:*" if plugin.permissions is None else None
                    ),
                    public=PublicRoutes(manifest.public_routes, manifest.base),
                )
        return mounts

    def _dispatcher(self, lifecycle: Lifecycle, plan: Plan) -> RequestDispatcher:
        from buntime_host.routing.dispatch import RequestDispatcher
        from buntime_host.routing.request_hooks import RequestHook

        config = self.config
        mounts = self._core().mounts(config.body_default) | self._mounts(lifecycle, plan)
        running = lifecycle.running
        manifests = {plugin.name: plugin.selected.manifest for plugin in running}
        aliases: dict[str, str] = {}
        for plugin in running:
            if plugin.app is not None and manifests[plugin.name].base is not None:
                aliases |= plugin.aliases
        passage = one_passage(
            [(plugin.name, plugin.passage) for plugin in running if plugin.passage is not None]
        )
        make = RequestDispatcher if self.observer is None else _observing(self.observer)
        try:
            return make(
                mounts,
                limit=config.body_default,
                origins=OriginPolicy(config.trusted_origins, passage),
                passage=passage,
                aliases=Aliases(aliases),
                middleware=[one for plugin in running for one in plugin.middleware],
                on_request=[
                    RequestHook(name, hook, manifests[name].on_request_fail_open)
                    for name, hook in lifecycle.hooks_named("on_request").items()
                ],
                on_response=[
                    RequestHook(name, hook)
                    for name, hook in lifecycle.hooks_named("on_response").items()
                ],
                gate=self.gate,
                tickets=self.signed,
                audit=Audit(config.auth.audit),
                api=config.api_path,
                fallback=self._fallback(running),
                below=Below(config.base_path, self.edge.client_of),
            )
        except Exception as error:
            # Going on without it might leave a check out, so this is fatal.
            raise RequiredPluginFailed(f"a plugin's middleware: {describe(error)}") from error

    def _fallback(self, running: Sequence[RunningPlugin]) -> Mount | None:
        """What serves the paths below no base: that of the one plugin that has one."""
        for plugin in running:
            if plugin.fallback is not None:
                return fallback_mount(plugin.fallback, self._body_limit(plugin), plugin.info)
        return None

    def _body_limit(self, plugin: RunningPlugin) -> int:
        limit = plugin.selected.manifest.max_body_size
        return self.config.body_default if limit is None else limit

    def _not_running(self, plan: Plan) -> dict[str, Mount]:
        """Mounts at the bases of plugins that should run, and do not."""
        mounts = {}
        for selected in plan.selection.enabled:
            status, base = self.statuses[selected.manifest.name], selected.manifest.base
            if base is not None and status.state != "loaded":
                app = NotRunning(status.name, status.reason or status.state)
                mounts[base] = mount_at(base, app, self.config.body_default, app_info(selected))
        return mounts

    def _mounted_at(self, path: str) -> str | None:
        """See `PluginContext.mounted_at`."""
        return None if self.table is None else self.table.whose(path)

    async def server_started(self, server: Any = None) -> None:
        """Tell the plugins that the socket listens."""
        if self._lifecycle is not None:
            await self._lifecycle.server_started(server)

    def announce_closing(self) -> None:
        """Begin to shut down: readiness is 503 and `ctx.closing` is set. Safe to call again."""
        if self._announced_at is None:
            self._announced_at = time.monotonic()
            self.closing.set()

    async def close_websockets(self) -> None:
        """Close every websocket with 1001."""
        if self.dispatcher is not None:
            await self.dispatcher.sockets.close_all()

    async def stop(self) -> bool:
        """Shut all plugins down, last loaded first.

        Time since `announce_closing` counts against the overall cap. Returns whether it sufficed.
        """
        self.announce_closing()
        await self.close_websockets()
        if self._lifecycle is None:
            return True
        await self.gate.close()
        spent = time.monotonic() - (self._announced_at or 0)
        return await self._lifecycle.stop(budget=self.config.shutdown_timeout - spent)

    async def __aenter__(self) -> Host:
        """Start."""
        await self.start()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        """Stop."""
        await self.stop()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application, with lifespan for servers other than `buntime serve`."""
        if scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif self.dispatcher is not None:
            await self.dispatcher(scope, receive, send)
        elif scope["type"] == "websocket":
            await refuse_websocket(scope, send, problem_of(ServiceUnavailable()))
        else:
            await send_problem(send, problem_of(ServiceUnavailable()))

    async def _lifespan(self, receive: Receive, send: Send) -> None:
        await receive()
        try:
            await self.start()
            await self.server_started()
        except StartupError as error:
            await send({"type": "lifespan.startup.failed", "message": str(error)})
            return
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await self.stop()
        await send({"type": "lifespan.shutdown.complete"})


def create_app(config: str | Path | HostConfig | None = None) -> Host:
    """The host as an ASGI application: `uvicorn "buntime_host:create_app" --factory`.

    `config` is the path of a `buntime.jsonc`, or a finished `HostConfig`; by default the variable
    `BUNTIME_CONFIG` names the file, else it is `./buntime.jsonc`. Raises `ConfigError`.

    A server other than `buntime serve` does not announce its shutdown before it drains: give it a
    limit for open streams (uvicorn: `--timeout-graceful-shutdown`).
    """
    if isinstance(config, HostConfig):
        return Host(config)
    path = config or os.environ.get("BUNTIME_CONFIG") or None
    return Host(load_config(Path(path) if path is not None else None))


def _gate(config: HostConfig) -> Gate:
    alone = is_loopback(config.host)
    gate = Gate(
        Keyring(),
        master_key=config.master_key,
        closed=not alone and not config.insecure,
        insecure=config.insecure,
        hosts=TrustedHosts(config.trusted_hosts) if alone else None,
    )
    if config.auth.jwt.is_configured:
        # Only hosts with tokens pay for the library.
        from buntime_host.access.jwt_tokens import JwtTokens

        gate.foreign = JwtTokens(config.auth.jwt, gate.keyring)
        gate.is_open = False
    return gate


def _observer(config: HostConfig, workers: Workers, gate: Gate) -> Observer | None:
    options = config.observe
    if options == ObserveOptions():
        return None
    return Observer(options, workers, gate.peer_of)


def _permissible(lifecycle: Lifecycle) -> Permissible:
    """The permissions of the plugins that run."""
    return Permissible(
        {short_name(plugin.name): plugin.permissions or {} for plugin in lifecycle.running},
        {
            short_name(plugin.name): plugin.check_limits
            for plugin in lifecycle.running
            if plugin.check_limits is not None
        },
    )


def _key_store(config: HostConfig, lifecycle: Lifecycle) -> KeyStore | None:
    """The store of keys: the default database of a plugin that has one, or else a file.

    None if the database is known to have keys, and is missing now.
    """
    databases = lifecycle.services.get(KEY_DATABASE)
    note = NoteOfKeys(config.state_folder)
    if databases is not None:
        return DatabaseKeys(databases.get_root_adapter(), note)
    return None if note.is_there() else FileKeys(config.state_folder)


def _combined(errors: tuple[StartupError, ...]) -> StartupError:
    if len(errors) == 1:
        return errors[0]
    return StartupError("; ".join(str(error) for error in errors))
