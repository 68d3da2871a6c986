"""The engine of PostgreSQL servers as the plugin finds it: options, root database, tenants.

What needs the driver is imported when a server is opened: it is an extra, and hosts that use files
alone should not pay for loading it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Self
from urllib.parse import parse_qsl, urlsplit

import msgspec
from buntime_host import Duration, OptionError, option

from buntime_plugin_database.engines.postgres.options import PostgresOptions
from buntime_plugin_database.shared.engine import (
    Completed,
    Engine,
    EngineOptions,
    Opening,
    closed_on_failure,
)
from buntime_plugin_database.shared.tenants import Tenants

if TYPE_CHECKING:
    from buntime_plugin_database.engines.postgres.adapter import PostgresAdapter

START_SECONDS = 10.0
"""Time that a server may take to come up when both are started at once."""
URL_VARIABLES = ("DATABASE_URL", "POSTGRES_URL")
LEAST_CONNECTIONS = 3

_SCHEMES = ("postgres", "postgresql")
_SCHEMA = re.compile(r"[a-z_][a-z0-9_]{0,62}")
_HOST = re.compile(r"(?:\[[^\]]+\]|[^@:\[\]]+)(?::[0-9]{1,5})?|:[0-9]{1,5}")
"""A host of a URL, with or without a port."""
_UNQUOTED = (
    "it does not have the form postgresql://user:password@host:port/database; in a user or a"
    " password the characters : / ? # [ ] @ % are written as %3A %2F %3F %23 %5B %5D %40 %25"
)


class PostgresEntry(EngineOptions, frozen=True):
    """An entry for a database on a PostgreSQL server."""

    url: Annotated[
        str | None,
        option(
            "The database",
            "postgresql://user:password@host:port/database?sslmode=verify-full",
            doc="the database: `postgresql://user:password@host:port/database`, with parameters of"
            " libpq after a `?`, such as `sslmode`, `sslrootcert`, `target_session_attrs`; several"
            " hosts are separated by commas. By default the variable `DATABASE_URL` or"
            " `POSTGRES_URL`",
            secret=True,
        ),
    ] = None
    pool_size: Annotated[
        int,
        option(
            "Most connections to the server from each process",
            "Two of them are for writes",
            least=LEAST_CONNECTIONS,
            most=1000,
        ),
    ] = 10
    schema: Annotated[
        str,
        option(
            "Schema of the root database",
            "Created if missing; tenants have schemas of their own",
            doc="schema of the root database, created if missing; tenants have schemas of their"
            " own, whose names begin with this one",
        ),
    ] = "public"
    statement_timeout: Annotated[
        Duration,
        option("How long a statement may run before the server stops it", "0 sets no limit"),
    ] = Duration("10s")
    operation_timeout: Annotated[
        Duration,
        option(
            "How long a write waits for its turn",
            "If a connection breaks, how long the server is asked whether a write was committed",
            least=1,
        ),
    ] = Duration("30s")
    statement_cache_size: Annotated[
        int,
        option(
            "Statements that each connection keeps prepared",
            "0 behind a transaction pooler, such as PgBouncer",
            doc="statements that each connection keeps prepared; 0 behind a transaction pooler,"
            " see [PgBouncer](#behind-pgbouncer)",
            least=0,
        ),
    ] = 500

    listen_url: Annotated[
        str | None,
        option(
            "URL of the database that bypasses a pooler",
            "For notifications, which a transaction pooler does not deliver",
            doc="URL of the database that bypasses a pooler, for notifications of other hosts'"
            " writes; by default `url`, or behind a transaction pooler none",
            secret=True,
        ),
    ] = None

    def completed(self, environ: Mapping[str, str]) -> Completed[Self]:
        named = [(name, environ.get(name, "").strip()) for name in URL_VARIABLES]
        found = next(((name, url) for name, url in named if url), None)
        warnings: list[str] = []
        url = self.url
        if url is None and found is not None:
            url = found[1]
        elif url is not None and found is not None and found[1] != url:
            warnings.append(
                f"The postgres adapter has a URL in its configuration: {found[0]} is ignored"
            )
        if not url:
            raise OptionError(
                f"URL is required for {self.type} adapter, or one of {', '.join(URL_VARIABLES)}"
            )
        for name, value in (("url", url), ("listenUrl", self.listen_url)):
            problem = None if value is None else check_url(value)
            if problem is not None:
                raise OptionError(f"{name}: {problem}")
        if not _SCHEMA.fullmatch(self.schema) or self.schema.startswith("pg_"):
            raise OptionError(
                f"schema: {self.schema!r} is not a name of 1 to 63 small letters, digits and _,"
                " that begins with a letter or _, and not with pg_"
            )
        return Completed(msgspec.structs.replace(self, url=url), tuple(warnings))

    def settings(self) -> PostgresOptions:
        """Options of the database."""
        return PostgresOptions(
            schema=self.schema,
            pool_size=self.pool_size,
            statement_seconds=self.statement_timeout,
            timeout_seconds=self.operation_timeout,
            statement_cache=self.statement_cache_size,
            listen_url=self.listen_url,
        )


def check_url(url: str) -> str | None:
    """What is wrong with the URL of a server, or None; without the URL, which has secrets."""
    try:
        parts = urlsplit(url)
        query = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        return f"it is not a URL: {_UNQUOTED}"
    if parts.scheme not in _SCHEMES:
        return f"it begins with postgresql://, not with {parts.scheme[:20] or 'a path'}"
    if parts.fragment:
        return "it has a #, which in a password is written %23"
    who, _, hosts = parts.netloc.rpartition("@")
    named = hosts.split(",") if hosts else []
    if "@" in who or "@" in parts.path or not all(map(_HOST.fullmatch, named)):
        return _UNQUOTED
    wrong = next((name for name, _ in query if name in {"search_path", "options"}), None)
    if wrong is not None:
        return f"{wrong} is not taken: the option schema says which schema is meant"
    return None


async def open_root(entry: PostgresEntry, opening: Opening) -> PostgresAdapter:
    """Open the root database and wait until its server answers.

    Raises `OptionError` where the driver is not installed.
    """
    try:
        from buntime_plugin_database.engines.postgres.adapter import PostgresAdapter, PostgresServer
        from buntime_plugin_database.engines.postgres.starting import prepare
    except ModuleNotFoundError as error:
        if error.name != "asyncpg":
            raise
        raise OptionError(
            'The postgres adapter needs its driver: pip install "buntime[postgres]"'
        ) from error
    commits = opening.workers.numbers(f"database.{opening.name}.commits", 3)
    adapter = PostgresAdapter(PostgresServer(entry.url or "", entry.settings()), commits=commits)
    async with closed_on_failure(adapter):
        await prepare(adapter, START_SECONDS)
    return adapter


def tenants(entry: PostgresEntry, root: PostgresAdapter, _: Opening) -> Tenants:
    """A schema for each tenant."""
    from buntime_plugin_database.engines.postgres.tenants import SchemaTenants

    return SchemaTenants(root.server, entry.schema)


ENGINE = Engine("postgres", PostgresEntry, open_root, tenants)
