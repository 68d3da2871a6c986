"""The engine of servers as the plugin finds it: options of an entry, root database, tenants.

What needs the client library is imported when a server is opened: hosts that use files alone
should not pay for loading it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, Self

import msgspec
from buntime_host import Duration, OptionError, option, read_options

from buntime_plugin_database.engines.libsql.configuration import (
    TOKEN_VARIABLE,
    check_admin,
    check_servers,
    distinct,
    is_file,
    servers_of_environment,
)
from buntime_plugin_database.engines.libsql.options import LibsqlOptions, Routing
from buntime_plugin_database.shared.engine import (
    Completed,
    Engine,
    EngineOptions,
    Opening,
    StandIn,
    closed_on_failure,
)
from buntime_plugin_database.shared.tenants import NoTenants, Tenants

if TYPE_CHECKING:
    from buntime_plugin_database.engines.libsql.adapter import LibsqlAdapter

START_SECONDS = 10.0
"""Time that a server may take to come up when both are started at once."""


class LibsqlEntry(EngineOptions, frozen=True):
    """An entry for a primary and its replicas."""

    url: Annotated[str | None, option("The primary", "Comes before those of urls")] = None
    urls: Annotated[
        tuple[str, ...],
        option(
            "The primary, then its replicas",
            "By default those of the environment",
            doc="the primary, then its replicas: `http`, `https`, `ws`, `wss`, `libsql`; by"
            " default those of the environment. A path or `file:` uses the embedded engine",
        ),
    ] = ()
    auth_token: Annotated[
        str | None,
        option(
            "Token sent to all servers",
            doc="token sent to all servers, as a bearer token; by default the variable"
            " `DATABASE_LIBSQL_AUTH_TOKEN`",
            secret=True,
        ),
    ] = None
    admin_url: Annotated[
        str | None,
        option(
            "URL of the primary's admin listener, which creates and deletes namespaces",
            doc="URL of the primary's admin listener, which creates and deletes namespaces; see"
            " [Tenants](#tenants)",
        ),
    ] = None
    admin_token: Annotated[
        str | None,
        option(
            "Token for the admin listener",
            doc="token for the admin listener, its `--admin-auth-key`; by default `authToken`,"
            " sent as a bearer token",
            secret=True,
        ),
    ] = None
    namespace_routing: Annotated[
        Routing | None,
        option(
            "How a request names the namespace",
            doc="how a request names the namespace: `subdomain`, the default, or `header`; see"
            " [Tenants](#tenants)",
        ),
    ] = None
    operation_timeout: Annotated[
        Duration,
        option(
            "How long a server may take for a request",
            "Then, or if a connection breaks, it is asked for as long again whether a write was"
            " committed",
            least=1,
        ),
    ] = Duration("30s")
    read_your_writes: Annotated[
        bool | int | float | str,
        option(
            "Whether replicas wait for earlier writes before they answer",
            "With a duration, reads go to the primary for that long after a write",
            doc="whether a read from a replica shows earlier writes; see below",
        ),
    ] = True

    @property
    def has_namespaces(self) -> bool:
        """Whether the servers keep a namespace for each tenant."""
        return self.admin_url is not None or self.namespace_routing is not None

    def completed(self, environ: Mapping[str, str]) -> Completed[Self]:
        found = self.with_servers(environ)
        entry = found.options
        if not entry.urls:
            raise OptionError("libsql adapter requires at least one URL in urls[]")
        try:
            entry.settings()
        except ValueError as error:
            raise OptionError(f"readYourWrites: {error}, or true or false") from None
        problem = check_servers(entry.urls) or check_admin(entry.admin_url)
        if problem is not None:
            raise OptionError(problem)
        return found

    def with_servers(self, environ: Mapping[str, str]) -> Completed[Self]:
        """The entry with all its servers in `urls`.

        Variables count only where it has none: they would become its replicas by accident.
        """
        given = ((self.url,) if self.url else ()) + self.urls
        of_environment = servers_of_environment(environ)
        urls = distinct(given)
        if given and not urls and not of_environment:
            raise OptionError("libsql adapter requires at least one valid URL in urls[]")
        warnings: list[str] = []
        if urls and of_environment and urls != of_environment:
            warnings.append(
                "The libsql adapter has URLs in its configuration: those in the environment"
                f" ({', '.join(of_environment)}) are ignored"
            )
        token = self.auth_token or environ.get(TOKEN_VARIABLE) or None
        urls = urls or of_environment
        entry = msgspec.structs.replace(self, url=None, urls=urls, auth_token=token)
        return Completed(entry, tuple(warnings))

    def root_tenant(self) -> str | None:
        return "default" if self.has_namespaces else None

    def settings(self) -> LibsqlOptions:
        """Options of the databases."""
        wanted = self.read_your_writes
        return LibsqlOptions(
            auth_token=self.auth_token,
            timeout_seconds=self.operation_timeout,
            namespace="default" if self.has_namespaces else None,
            routing=self.namespace_routing or "subdomain",
            read_your_writes=wanted if isinstance(wanted, bool) else Duration(wanted),
        )


_OWN = frozenset(field.encode_name for field in msgspec.structs.fields(LibsqlEntry))


def file_entry(entry: Mapping[str, Any], environ: Mapping[str, str]) -> StandIn | None:
    """An entry whose server is a file, in the form of the embedded engine.

    Its other options are those of that engine; options of servers mean nothing to a file.
    """
    own = {name: value for name, value in entry.items() if name in _OWN}
    options, warnings = read_options(LibsqlEntry, own).with_servers(environ)
    if not options.urls or not is_file(options.urls[0]):
        return None
    problem = check_servers(options.urls)
    if problem is not None:
        raise OptionError(problem)
    rest = {name: value for name, value in entry.items() if name not in _OWN}
    shared = {"type": options.type, "default": options.default}
    return StandIn("sqlite", {**rest, **shared, "url": options.urls[0]}, warnings)


async def open_root(entry: LibsqlEntry, opening: Opening) -> LibsqlAdapter:
    """Open the root database and wait until its primary answers."""
    adapter = await asyncio.to_thread(_make_adapter, entry, opening)
    async with closed_on_failure(adapter):
        await adapter.wait_until_ready(START_SECONDS)
    return adapter


def _make_adapter(entry: LibsqlEntry, opening: Opening) -> LibsqlAdapter:
    from buntime_plugin_database.engines.libsql.adapter import LibsqlAdapter
    from buntime_plugin_database.engines.libsql.positions import NUMBERS

    numbers = opening.workers.numbers
    return LibsqlAdapter(
        entry.urls,
        options=entry.settings(),
        commits=numbers(f"database.{opening.name}.commits", 3),
        reads=numbers(f"database.{opening.name}.reads", 3),
        positions=numbers(f"database.{opening.name}.position", NUMBERS),
    )


def tenants(entry: LibsqlEntry, _: LibsqlAdapter, opening: Opening) -> Tenants:
    """A namespace for each tenant, if the servers have namespaces."""
    if not entry.has_namespaces:
        return NoTenants("The libsql adapter needs adminUrl to have tenants")
    from buntime_plugin_database.engines.libsql.namespaces import NamespaceTenants

    options, urls = entry.settings(), entry.urls
    if opening.workers.count > 1 and options.read_your_writes is not False:
        urls = urls[:1]  # workers tell each other of positions in the root database only
    return NamespaceTenants(urls, options, entry.admin_url, entry.admin_token)


ENGINE = Engine("libsql", LibsqlEntry, open_root, tenants, file_entry)
