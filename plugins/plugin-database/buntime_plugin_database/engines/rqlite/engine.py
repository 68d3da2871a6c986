"""The engine of clusters as the plugin finds it: options of an entry, root database, tenants.

What needs the HTTP client is imported when a cluster is opened: hosts that use files alone should
not pay for loading it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self
from urllib.parse import urlsplit

import msgspec
from buntime_host import Duration, OptionError, option

from buntime_plugin_database.engines.rqlite.options import ReadLevel, RqliteOptions
from buntime_plugin_database.shared.engine import (
    Completed,
    Engine,
    EngineOptions,
    Opening,
    closed_on_failure,
)
from buntime_plugin_database.shared.tenants import NoTenants, Tenants
from buntime_plugin_database.shared.urls import shown

if TYPE_CHECKING:
    from buntime_plugin_database.engines.rqlite.adapter import RqliteAdapter

START_SECONDS = 10.0
"""Time that a cluster may take to elect a leader when all are started at once."""


class RqliteEntry(EngineOptions, frozen=True):
    """An entry for a cluster."""

    urls: Annotated[
        tuple[str, ...],
        option(
            "Nodes of the cluster",
            "They name the others. By default those of the environment",
            doc="nodes of the cluster, `http` or `https`; they name the others. By default those"
            " in the variable `RQLITE_URL`, separated by commas",
        ),
    ] = ()
    user: Annotated[
        str | None,
        option(
            "User name, for nodes with `-auth`",
            doc="user name, for nodes with `-auth`; by default the variable `RQLITE_USER`",
        ),
    ] = None
    password: Annotated[
        str | None,
        option(
            "Password of that user",
            doc="password of that user; by default the variable `RQLITE_PASSWORD`",
            secret=True,
        ),
    ] = None
    read_level: Annotated[
        ReadLevel,
        option(
            "How current a read is guaranteed to be",
            doc="how current a read is guaranteed to be: `weak`, `linearizable` or `none`; see"
            " below",
        ),
    ] = "weak"
    freshness: Annotated[
        Duration,
        option(
            "How stale a follower's answer may be",
            "Only for readLevel none; 0 does not check",
            least=0,
        ),
    ] = Duration(0)
    statement_timeout: Annotated[
        Duration,
        option(
            "How long a read may run before the node stops it",
            "0 sets no limit. Writes are not stopped, as each node would stop at a different point",
            least=0,
        ),
    ] = Duration("10s")
    operation_timeout: Annotated[
        Duration,
        option(
            "How long the cluster may take for a request",
            "This includes the election of a leader",
            least=1,
        ),
    ] = Duration("20s")
    tls_ca: Annotated[
        str | None, option("File with the certificates to trust", "By default those of the system")
    ] = None
    tls_cert: Annotated[
        str | None, option("File with a client certificate", "For nodes that require one")
    ] = None
    tls_key: Annotated[str | None, option("File with the key of that certificate")] = None
    tls_verify: Annotated[
        bool, option("Check the certificates of the nodes", "Turn this off only in tests")
    ] = True

    def completed(self, environ: Mapping[str, str]) -> Completed[Self]:
        given = self.urls or tuple(environ.get("RQLITE_URL", "").split(","))
        urls = tuple(dict.fromkeys(url.strip() for url in given if url.strip()))
        if not urls:
            raise OptionError("rqlite adapter requires at least one URL in urls[]")
        for url in urls:
            _check_url(url)
        user = self.user or environ.get("RQLITE_USER") or None
        password = self.password or environ.get("RQLITE_PASSWORD") or None
        if password is not None and user is None:
            raise OptionError("rqlite adapter: password needs user")
        if self.tls_key is not None and self.tls_cert is None:
            raise OptionError("rqlite adapter: tlsKey needs tlsCert")
        if self.freshness and self.read_level != "none":
            raise OptionError("rqlite adapter: freshness is of readLevel none alone")
        entry = msgspec.structs.replace(self, urls=urls, user=user, password=password)
        return Completed(entry)

    def settings(self, base_dir: Path) -> RqliteOptions:
        """Options of the database. Raises `OptionError` for files without valid certificates."""
        return RqliteOptions(
            user=self.user,
            password=self.password,
            read_level=self.read_level,
            freshness_seconds=self.freshness,
            statement_seconds=self.statement_timeout,
            timeout_seconds=self.operation_timeout,
            tls=self._tls(base_dir),
        )

    def _tls(self, base_dir: Path) -> ssl.SSLContext | None:
        if not (self.tls_ca or self.tls_cert) and self.tls_verify:
            return None
        try:
            context = ssl.create_default_context(
                cafile=None if self.tls_ca is None else str(base_dir / self.tls_ca)
            )
            if self.tls_cert is not None:
                key = None if self.tls_key is None else str(base_dir / self.tls_key)
                context.load_cert_chain(str(base_dir / self.tls_cert), key)
        except OSError as error:
            raise OptionError(f"rqlite adapter: tlsCa, tlsCert, tlsKey: {error}") from error
        if not self.tls_verify:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        good = parts.scheme in ("http", "https") and bool(parts.hostname)
        _ = parts.port
    except ValueError:
        good = False
    if not good:
        raise OptionError(f"rqlite adapter: {shown(url)} is not an HTTP URL")
    if "@" in parts.netloc:
        raise OptionError(
            f"rqlite adapter: {shown(url)} has a user: user and password are options of their own"
        )
    if parts.path not in ("", "/") or parts.query or parts.fragment:
        raise OptionError(f"rqlite adapter: {shown(url)} is more than scheme, host and port")


async def open_root(entry: RqliteEntry, opening: Opening) -> RqliteAdapter:
    """Open the root database and wait until the cluster has a leader."""
    adapter = await asyncio.to_thread(_make_adapter, entry, opening)
    async with closed_on_failure(adapter):
        await adapter.wait_until_ready(START_SECONDS)
    return adapter


def _make_adapter(entry: RqliteEntry, opening: Opening) -> RqliteAdapter:
    from buntime_plugin_database.engines.rqlite.adapter import RqliteAdapter

    return RqliteAdapter(
        entry.urls,
        options=entry.settings(opening.base_dir),
        commits=opening.workers.numbers(f"database.{opening.name}.commits", 3),
    )


def tenants(entry: RqliteEntry, _: RqliteAdapter, opening: Opening) -> Tenants:  # noqa: ARG001 - as every engine
    """None: a cluster has one database, and everybody who may use it sees all of it."""
    return NoTenants(
        "The rqlite adapter has no tenants: a cluster has one database. Use a cluster for each,"
        " or another adapter for tenants"
    )


ENGINE = Engine("rqlite", RqliteEntry, open_root, tenants)
