"""The engines that the stores of tests are on.

`@pytest.mark.engines("sqlite", "libsql")` on a test or module names those that it runs on, one
after the other; without the mark it runs on the embedded one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from buntime_database import Adapter
from buntime_plugin_database.engines.libsql.adapter import LibsqlAdapter
from buntime_plugin_database.engines.libsql.options import LibsqlOptions
from buntime_plugin_database.engines.rqlite.adapter import RqliteAdapter
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from database.libsql.support import wipe
from database.rqlite.support import wipe as wipe_node
from keyval.libsql import support as libsql
from keyval.libsql.support import open_libsql_world, open_server_world, run_sql
from keyval.postgres import support as postgres
from keyval.postgres.support import open_adapter, open_postgres_world
from keyval.rqlite import support as rqlite
from keyval.service.world import FAST, FakeClock, World, open_world
from support.beside import opened_beside
from support.live import LiveServer
from support.packages import install_beside
from support.postgres import Postgres
from support.rqlite import Rqlited, running_rqlite
from support.sampling import is_in_sample
from support.sqld import Sqld, running_sqld

SHARED_DIALECT = ("libsql", "libsql-replica", "rqlite", "odd")
"""Engines with the statements of the embedded one; they differ in how these are carried."""
SAMPLE = 6
"""One test in so many runs on each of them, unless all are asked for with `--wide`."""

BUSY_SECONDS = 60
"""A lock is waited for: whoever is faster may be so for long on a loaded machine."""
ODD = Path(__file__).parent / "plugins" / "odd"
FORGET_MESSAGES = (
    "DELETE FROM kv_queue",
    "DELETE FROM kv_dlq",
    "DELETE FROM kv_queues",
    "DELETE FROM kv_message_ids",
    "DELETE FROM kv_tasks",
    "DELETE FROM kv_schedules",
)


def sample_of_engines(test: str, names: Sequence[str]) -> list[str]:
    """The engines that a test runs on of those that its mark names.

    What holds on the embedded engine is seen once more on a sixth of the tests for each engine that
    shares its dialect: which ones depends on the name of the test alone. A test that does not run
    on the embedded engine runs on all that it names.
    """
    if "sqlite" not in names:
        return list(names)
    return [
        name
        for name in names
        if name not in SHARED_DIALECT or is_in_sample(f"{test} {name}", SAMPLE)
    ]


class Engine(Protocol):
    """Makes stores and databases; those of one test are in its folder, or on servers."""

    def empty_hosts(self) -> None:
        """Forget what hosts have written."""

    def empty_worlds(self) -> None:
        """Forget what stores of this process have written."""

    def drop_worlds(self) -> None:
        """Forget their tables, too, so that an older store can be made."""

    def open_world(
        self, folder: Path, clock: FakeClock | None = None
    ) -> AbstractAsyncContextManager[World]:
        """Open the one store of this process, once more if it is open already."""

    def open_database(self, folder: Path, name: str) -> Adapter:
        """Open the database of a name, which is empty at first; the caller closes it."""

    def code_that_opens(self, folder: Path, databases: int) -> str:
        """Python that returns the adapter of the empty database `number`."""

    def host_config(self, options: dict[str, Any], *, one_view: bool = False) -> dict[str, Any]:
        """The configuration of a host; with `one_view` hosts see each other's writes at once."""

    def forget_messages(self, server: LiveServer) -> None:
        """Empty queue and dead letters of a server past its API, which takes no part in it."""


class SqliteEngine:
    """Files in the folder of a test."""

    def empty_hosts(self) -> None:
        pass  # their folder is new

    def empty_worlds(self) -> None:
        pass

    def drop_worlds(self) -> None:
        pass

    def open_world(
        self, folder: Path, clock: FakeClock | None = None
    ) -> AbstractAsyncContextManager[World]:
        return open_world(folder / "kv.db", clock)

    def open_database(self, folder: Path, name: str) -> Adapter:
        return SqliteAdapter(str(folder / f"{name}.db"), options=FAST)

    def code_that_opens(self, folder: Path, databases: int) -> str:
        return (
            "from buntime_plugin_database.engines.sqlite import SqliteAdapter; "
            f"return SqliteAdapter({str(folder)!r} + f'/{{number}}.db')"
        )

    def host_config(self, options: dict[str, Any], *, one_view: bool = False) -> dict[str, Any]:
        busy = {"busyTimeout": BUSY_SECONDS * 1000} if one_view else {}
        adapter = {"type": "sqlite", "baseDir": "data", **busy}
        return {
            "plugins": [
                ["@buntime/plugin-database", {"adapters": [adapter]}],
                ["@buntime/plugin-keyval", options],
            ]
        }

    def forget_messages(self, server: LiveServer) -> None:
        with opened_beside(server.folder / "data" / "_default.db") as database:
            database.execute("; ".join(FORGET_MESSAGES))


class OddEngine(SqliteEngine):
    """Files of an engine that speaks another dialect: see `plugins/odd`.

    It is installed for all of this process, and for those that it starts.
    """

    def __init__(self, site: Path) -> None:
        install_beside(ODD, site)
        self._adapter: type[SqliteAdapter] = import_module("example_odd.engine").OddAdapter

    def open_world(
        self, folder: Path, clock: FakeClock | None = None
    ) -> AbstractAsyncContextManager[World]:
        return open_world(folder / "kv.db", clock, adapter_type=self._adapter)

    def open_database(self, folder: Path, name: str) -> Adapter:
        return self._adapter(str(folder / f"{name}.db"), options=FAST)

    def code_that_opens(self, folder: Path, databases: int) -> str:
        return (
            "from example_odd.engine import OddAdapter; "
            f"return OddAdapter({str(folder)!r} + f'/{{number}}.db')"
        )

    def host_config(self, options: dict[str, Any], *, one_view: bool = False) -> dict[str, Any]:
        adapters = [{"type": "odd", "path": "data/_default.db"}]
        return {
            "plugins": [
                ["@buntime/plugin-database", {"adapters": adapters}],
                ["@buntime/plugin-keyval", options],
            ]
        }


class Servers:
    """Servers that the tests of one process share, each started when the first test needs it."""

    def __init__(
        self,
        stack: ExitStack,
        new_folder: Callable[[str], Path],
        postgres: Callable[[], Postgres],
    ) -> None:
        self._stack = stack
        self._namespaces = stack.enter_context(ExitStack())
        self._namespaced: Sqld | None = None
        self.new_folder = new_folder
        self._postgres = postgres

    @cached_property
    def of_hosts(self) -> list[Sqld]:
        """A primary and a replica."""
        return self._start("sqld", replicas=1)

    @cached_property
    def of_worlds(self) -> list[Sqld]:
        """For stores of this process: a host on the same ones would sweep what these keep."""
        return self._start("sqld-of-worlds", replicas=1)

    @property
    def namespaced(self) -> Sqld:
        """A server with a database for each namespace, until `end_namespaces`."""
        if self._namespaced is None:
            opening = running_sqld(self.new_folder("namespaced"), namespaces=True)
            (self._namespaced,) = self._namespaces.enter_context(opening)
        return self._namespaced

    def end_namespaces(self) -> None:
        """End that server: a hundred namespaces take half a processor while nobody asks."""
        self._namespaced = None
        self._namespaces.close()

    @cached_property
    def node_of_hosts(self) -> Rqlited:
        """A node of rqlite."""
        return self._start_node("rqlite")

    @cached_property
    def node_of_worlds(self) -> Rqlited:
        """The same for stores of this process."""
        return self._start_node("rqlite-of-worlds")

    @cached_property
    def postgres(self) -> PostgresEngine:
        """A server with a database for hosts, and one for stores of this process."""
        return PostgresEngine(self._postgres())

    @cached_property
    def odd(self) -> OddEngine:
        """No server; installed once."""
        return OddEngine(self.new_folder("site"))

    def _start(self, name: str, **options: Any) -> list[Sqld]:
        return self._stack.enter_context(running_sqld(self.new_folder(name), **options))

    def _start_node(self, name: str) -> Rqlited:
        (node,) = self._stack.enter_context(running_rqlite(self.new_folder(name)))
        return node


class LibsqlEngine:
    """Real servers; hosts have a replica, stores of this process only `with_replica`.

    Some tests of those count what happens meanwhile, and replicas lag.
    """

    def __init__(self, servers: Servers, *, with_replica: bool) -> None:
        self._servers = servers
        self._with_replica = with_replica
        self._namespaces: dict[tuple[Path, str], str] = {}

    def empty_hosts(self) -> None:
        libsql.empty(self._servers.of_hosts[0])

    def empty_worlds(self) -> None:
        libsql.empty(self._servers.of_worlds[0])

    def drop_worlds(self) -> None:
        asyncio.run(wipe([self._servers.of_worlds[0].url]))

    def open_world(
        self, folder: Path, clock: FakeClock | None = None
    ) -> AbstractAsyncContextManager[World]:
        servers = self._servers.of_worlds
        return open_libsql_world(servers if self._with_replica else servers[:1], clock)

    def open_database(self, folder: Path, name: str) -> Adapter:
        server = self._servers.namespaced
        if (folder, name) not in self._namespaces:
            self._namespaces[folder, name] = server.create_namespace()
        options = LibsqlOptions(namespace=self._namespaces[folder, name])
        return LibsqlAdapter([server.url], options=options)

    def code_that_opens(self, folder: Path, databases: int) -> str:
        server = self._servers.namespaced
        names = [server.create_namespace() for _ in range(databases)]
        return (
            "from buntime_plugin_database.engines.libsql.adapter import LibsqlAdapter; "
            "from buntime_plugin_database.engines.libsql.options import LibsqlOptions; "
            f"options = LibsqlOptions(namespace={names!r}[number]); "
            f"return LibsqlAdapter([{server.url!r}], options=options)"
        )

    def host_config(self, options: dict[str, Any], *, one_view: bool = False) -> dict[str, Any]:
        servers = self._servers.of_hosts
        return libsql.config_of(servers[:1] if one_view else servers, options)

    def forget_messages(self, server: LiveServer) -> None:
        run_sql(self._servers.of_hosts[0], *FORGET_MESSAGES)


class RqliteEngine:
    """A real node; hosts and stores of this process have one each, and no others."""

    def __init__(self, servers: Servers) -> None:
        self._servers = servers

    def empty_hosts(self) -> None:
        rqlite.empty(self._servers.node_of_hosts)

    def empty_worlds(self) -> None:
        rqlite.empty(self._servers.node_of_worlds)

    def drop_worlds(self) -> None:
        wipe_node(self._servers.node_of_worlds)

    def open_world(
        self, folder: Path, clock: FakeClock | None = None
    ) -> AbstractAsyncContextManager[World]:
        return open_server_world(RqliteAdapter([self._servers.node_of_worlds.url]), clock)

    def open_database(self, folder: Path, name: str) -> Adapter:
        raise NotImplementedError("a node has one database")

    def code_that_opens(self, folder: Path, databases: int) -> str:
        raise NotImplementedError("a node has one database")

    def host_config(self, options: dict[str, Any], *, one_view: bool = False) -> dict[str, Any]:
        adapter = {"type": "rqlite", "urls": [self._servers.node_of_hosts.url]}
        return {
            "plugins": [
                ["@buntime/plugin-database", {"adapters": [adapter]}],
                ["@buntime/plugin-keyval", options],
            ]
        }

    def forget_messages(self, server: LiveServer) -> None:
        self._servers.node_of_hosts.run(*FORGET_MESSAGES)


class PostgresEngine:
    """Databases of a server."""

    def __init__(self, server: Postgres) -> None:
        self._server = server
        self._of_hosts = server.create_database()
        self._of_worlds = server.create_database()
        self._databases: dict[tuple[Path, str], str] = {}

    def empty_hosts(self) -> None:
        postgres.empty(self._server, self._of_hosts)

    def empty_worlds(self) -> None:
        postgres.empty(self._server, self._of_worlds)

    def drop_worlds(self) -> None:
        self._of_worlds = self._server.create_database()

    def open_world(
        self, folder: Path, clock: FakeClock | None = None
    ) -> AbstractAsyncContextManager[World]:
        return open_postgres_world(self._server.url_of(self._of_worlds), clock)

    def open_database(self, folder: Path, name: str) -> Adapter:
        if (folder, name) not in self._databases:
            self._databases[folder, name] = self._server.create_database()
        return open_adapter(self._server.url_of(self._databases[folder, name]))

    def code_that_opens(self, folder: Path, databases: int) -> str:
        urls = [self._server.url_of(self._server.create_database()) for _ in range(databases)]
        return (
            "from buntime_plugin_database.engines.postgres.adapter import PostgresAdapter, "
            "PostgresServer; "
            "from buntime_plugin_database.engines.postgres.options import PostgresOptions; "
            f"return PostgresAdapter(PostgresServer({urls!r}[number], PostgresOptions()))"
        )

    def host_config(self, options: dict[str, Any], *, one_view: bool = False) -> dict[str, Any]:
        return postgres.config_of(self._server.url_of(self._of_hosts), options)

    def forget_messages(self, server: LiveServer) -> None:
        self._server.run("; ".join(FORGET_MESSAGES), self._of_hosts)


ENGINES: dict[str, Callable[[Servers], Engine]] = {
    "sqlite": lambda servers: SqliteEngine(),
    "odd": lambda servers: servers.odd,
    "postgres": lambda servers: servers.postgres,
    "libsql": lambda servers: LibsqlEngine(servers, with_replica=False),
    "rqlite": RqliteEngine,
    "libsql-replica": lambda servers: LibsqlEngine(servers, with_replica=True),
}
