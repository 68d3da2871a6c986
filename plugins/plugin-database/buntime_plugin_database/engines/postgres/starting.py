"""Making sure that a server is one that the engine works on, before anything is served from it."""

from __future__ import annotations

import logging
import ssl

import asyncpg
from buntime_database import DatabaseUnavailable, InvalidStatement

from buntime_plugin_database.engines.postgres.adapter import PostgresAdapter
from buntime_plugin_database.engines.postgres.connections import quoted, run_alone
from buntime_plugin_database.engines.postgres.errors import DRIVER_ERRORS, translate
from buntime_plugin_database.engines.postgres.statements import parse
from buntime_plugin_database.shared.starting import until_it_answers

LEAST_VERSION = 13
logger = logging.getLogger("plugin:@buntime/plugin-database")

_FINAL = (
    asyncpg.InvalidAuthorizationSpecificationError,  # a wrong password among others
    asyncpg.InvalidCatalogNameError,
    asyncpg.ClientConfigurationError,
    asyncpg.ProtocolViolationError,
    ssl.SSLCertVerificationError,
)
"""Errors that waiting does not mend."""


async def prepare(adapter: PostgresAdapter, seconds: float) -> None:
    """Wait until the server answers, check it, and make the schema if it is not there.

    Raises `DatabaseUnavailable`.
    """

    async def attempt(_: float) -> None:
        await _check(adapter)
        await _make_schema(adapter)

    await until_it_answers(
        attempt,
        seconds,
        lambda error: (
            not isinstance(error.__cause__, _FINAL) and not isinstance(error, InvalidStatement)
        ),
    )


async def _check(adapter: PostgresAdapter) -> None:
    ((version, encoding, isolation, fsync, waits),) = await adapter.query(
        "SELECT current_setting('server_version_num'), current_setting('server_encoding'),"
        " current_setting('transaction_isolation'), current_setting('fsync'),"
        " current_setting('synchronous_commit')"
    )
    name = adapter.server.reads.server
    if int(str(version)) < LEAST_VERSION * 10_000:
        raise _unfit(f"{name}: version {LEAST_VERSION} or later is needed, not {version!s}")
    if encoding != "UTF8":
        raise _unfit(f"{name}: the database has to be encoded in UTF8, not in {encoding!s}")
    if isolation != "read committed":
        raise _unfit(f"{name}: transactions have to be read committed, not {isolation!s}")

    for setting, value, loss in (
        ("fsync", fsync, "a power cut"),
        ("synchronous_commit", waits, "the death of the server"),
    ):
        if value == "off":
            logger.warning(
                "%s: %s is off there, so that writes that were answered may be lost with %s",
                name,
                setting,
                loss,
            )


async def _make_schema(adapter: PostgresAdapter) -> None:
    """A user without the right to make schemas may have been given one."""
    there = await adapter.query("SELECT 1 FROM pg_namespace WHERE nspname = ?", (adapter.schema,))
    if not there:
        # Past the writer, which keeps its notes in it.
        sql = parse(f"CREATE SCHEMA IF NOT EXISTS {quoted(adapter.schema)}")
        pool = adapter.server.writes
        try:
            await run_alone(pool, adapter.schema, sql, (), writes=True)
        except asyncpg.UniqueViolationError:
            return  # another process was faster
        except DRIVER_ERRORS as error:
            raise translate(error, pool.server) from error


def _unfit(text: str) -> DatabaseUnavailable:
    error = DatabaseUnavailable(text)
    error.__cause__ = asyncpg.ClientConfigurationError(text)
    return error
