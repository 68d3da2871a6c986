"""The hooks of plugin-keyval."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from buntime_database import DatabaseService
from buntime_host import OptionError, PluginContext, hookimpl
from buntime_host.access import Actions, CheckLimits
from buntime_host.plugins.background import Claim
from buntime_keyval import InvalidInput, LockHeld
from uuid_utils import uuid4

from buntime_plugin_keyval.config import LEGACY_PATH, KeyValConfig, parse_config
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.faces.http.app import KeyValApp
from buntime_plugin_keyval.features.encryption.keys import open_sealing
from buntime_plugin_keyval.features.feature import AnyFeature, migrate_features
from buntime_plugin_keyval.features.stream.values import logged_ranges
from buntime_plugin_keyval.model.clock import Clock
from buntime_plugin_keyval.requests.permissions import PERMISSIONS
from buntime_plugin_keyval.requests.quotas import check_limits
from buntime_plugin_keyval.service import FEATURES, KeyValService
from buntime_plugin_keyval.storage.moves import check_complete
from buntime_plugin_keyval.storage.schema import migrate

if TYPE_CHECKING:
    from buntime_host.described import Operation
    from buntime_keyval.shared import AsyncRunner
    from prometheus_client.core import Metric

    from buntime_plugin_keyval.faces.local.kv import LocalKv

DATABASE = "@buntime/plugin-database"


class KeyValPlugin:
    """Opens the store in a database of plugin-database, serves it and provides a `LocalKv`."""

    FEATURES: ClassVar[Sequence[AnyFeature]] = FEATURES

    def __init__(
        self, _: dict[str, Any], *, clock: Clock | None = None, is_alone: bool = False
    ) -> None:
        """Options come with `on_init`. `clock` is by default that of the system.

        With `is_alone` there are no other plugins to provide the store for.
        """
        self._clock = clock
        self._is_alone = is_alone
        self._app = KeyValApp(self.FEATURES)
        self._legacy_base = False
        self._service: KeyValService | None = None
        self._kv: LocalKv | None = None
        self._runners: list[AsyncRunner] = []
        self._drain_s = 0.0
        self._closing: asyncio.Task[None] | None = None

    @hookimpl
    def check_options(self, options: Mapping[str, Any]) -> Sequence[str]:
        """Check the options; there are no warnings. Raises `OptionError`."""
        parse_config(options)
        return ()

    @hookimpl
    async def on_init(self, ctx: PluginContext) -> None:
        """Migrate the schema and start. Raises `OptionError` or `DatabaseError`."""
        config = parse_config(ctx.config)
        self._legacy_base = config.legacy_base
        store = await self._open_store(ctx, config)
        service = KeyValService(config, store, ctx.client_of, self.FEATURES)
        kv = None if self._is_alone and not config.tasks.modules else _local(service)
        if kv is not None:
            self._runners = _make_runners(config.tasks.modules, kv)
        self._drain_s = float(config.tasks.drain)
        await service.begin()
        service.start()
        self._service = self._app.service = service
        self._kv = kv
        self._closing = asyncio.create_task(self._end_streams(ctx.closing, service))
        for runner in self._runners:
            await runner.start()
            ctx.logger.info("%s runs tasks: %s", runner.name, ", ".join(runner.names))
        where = store.adapter.type if config.own_database() else config.database or "default"
        ctx.logger.info("KeyVal initialized (database: %s)", where)

    @hookimpl
    def provides(self) -> LocalKv | None:
        """The store for other plugins; None before `on_init`, and if there are none."""
        return self._kv

    @hookimpl
    def routes(self) -> KeyValApp:
        return self._app

    @hookimpl
    def openapi(self) -> Iterable[Operation]:
        from buntime_plugin_keyval.faces.http.described import describe_routes

        return describe_routes(self._app.table)

    @hookimpl
    def permissions(self) -> Actions:
        return PERMISSIONS

    @hookimpl
    def limits(self) -> CheckLimits:
        return check_limits

    @hookimpl
    def aliases(self) -> dict[str, str]:
        """The path of the first version, as an alias."""
        return {LEGACY_PATH: "/api"} if self._legacy_base else {}

    @hookimpl
    def claims(self) -> Claim | None:
        """A claim by which one of all hosts does something, made of the store's locks."""
        return None if self._kv is None else partial(_claim, self._kv)

    @hookimpl
    async def metrics(self) -> Iterable[Metric]:
        if self._service is None:
            return ()
        from buntime_plugin_keyval.features.metrics.families import to_families

        return to_families(await self._service.report())

    @hookimpl
    async def health(self) -> str | None:
        """A problem of the store, or None; plugin-database reports those of the database."""
        return None if self._service is None else self._service.problem()

    @hookimpl
    async def on_shutdown(self) -> None:
        """Answer 503 from now on, and finish accepted work. Does nothing if never initialised."""
        self._app.service = None
        if self._closing is not None:
            self._closing.cancel()
        await self._stop_runners()
        if self._kv is not None:
            await self._kv.close()  # first, so that handlers of messages can still write
        if self._service is not None:
            await self._service.close()

    async def _open_store(self, ctx: PluginContext, config: KeyValConfig) -> Store:
        """Open the store, with its schema migrated."""
        databases: DatabaseService | None = ctx.get_plugin(DATABASE)
        if databases is None:
            raise RuntimeError(f"plugin-keyval requires {DATABASE} to be loaded first")
        own_database = config.own_database()
        if own_database is None:
            adapter = databases.get_root_adapter(config.database or None)
        else:
            adapter = await databases.open_adapter("keyval", own_database)
        store = Store(
            adapter,
            logger=ctx.logger,
            clock=self._clock,
            workers=ctx.workers,
            limits=config.limits,
            sealing=open_sealing(config.encryption, ctx.base_dir),
            logged=logged_ranges(config.changes),
        )
        await migrate(adapter, store.clock.wall())
        await migrate_features(adapter, store.clock.wall(), self.FEATURES)
        moved_to = await check_complete(store.db)
        if moved_to is not None:
            ctx.logger.warning(
                "The store was moved to %s: this one takes no writes any more", moved_to
            )
        return store

    async def _end_streams(self, closing: asyncio.Event, service: KeyValService) -> None:
        """End streams, and take no more tasks, when the host is closing.

        It waits for open responses before it shuts plugins down.
        """
        await closing.wait()
        await asyncio.gather(service.end_streams(), self._stop_runners())

    async def _stop_runners(self) -> None:
        await asyncio.gather(*(runner.stop(self._drain_s) for runner in self._runners))


def _local(service: KeyValService) -> LocalKv:
    """The store's Python API. Imported here, since a plugin that is alone does not need it."""
    from buntime_plugin_keyval.faces.local.kv import LocalKv

    return LocalKv(service)


def _make_runners(modules: Sequence[str], kv: LocalKv) -> list[AsyncRunner]:
    from buntime_keyval.shared import runner_of_module

    try:
        return [runner_of_module(name, kv) for name in modules]
    except InvalidInput as error:
        raise OptionError(f"tasks.modules: {error}") from error


async def _claim(kv: LocalKv, name: str, seconds: float) -> bool:
    """See `buntime_host.plugins.background.Claim`: a lock of a new owner, never released."""
    try:
        await kv.locks.acquire(name, owner=str(uuid4()), duration=round(seconds * 1000))
    except LockHeld:
        return False
    return True
