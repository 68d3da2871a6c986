"""Tenants on libSQL servers: a namespace each, made and deleted through sqld's admin listener."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence

import aiohttp
import msgspec
from buntime_database import DatabaseError, DatabaseUnavailable

from buntime_plugin_database.engines.libsql.adapter import LibsqlAdapter
from buntime_plugin_database.engines.libsql.errors import NamespaceMissing, translate
from buntime_plugin_database.engines.libsql.options import LibsqlOptions
from buntime_plugin_database.engines.libsql.servers import Server
from buntime_plugin_database.engines.libsql.transport import (
    TRANSPORT_ERRORS,
    namespace_headers,
    open_transport,
)
from buntime_plugin_database.shared.tenants import (
    InvalidTenant,
    TenancyNotSupported,
    TenantNotFound,
    check_tenant_id,
)

ROOT_NAMESPACE = "default"
"""sqld's own name for the database of clients that name none."""
CHECK_SECONDS = 5.0


class NamespaceTenants:
    """The tenants of one `libsql` entry, as `shared.tenants.Tenants`."""

    def __init__(
        self,
        urls: Sequence[str],
        options: LibsqlOptions,
        admin_url: str | None,
        admin_token: str | None = None,
    ) -> None:
        """The first URL is the primary's. Without `admin_url` tenants are only used."""
        self._urls = urls
        self._options = options
        self._admin_url = admin_url
        self._admin_token = admin_token
        self._separating: set[str] = set()

    def check(self, tenant: str) -> None:
        """Raise `InvalidTenant` for an invalid id, or for that of the root database."""
        if check_tenant_id(tenant) == ROOT_NAMESPACE:
            raise InvalidTenant(f"Invalid tenant id {tenant!r}: the root database's namespace")

    async def create(self, tenant: str) -> None:
        """Make the namespace; nothing happens if it exists."""
        self._needs_admin()
        await self._check_separation()
        status, message = await self._ask_admin("POST", f"{tenant}/create")
        if status == 409 or (status == 400 and "already exists" in message):
            return
        if status != 200:
            raise _refused("create", tenant, status, message)

    async def delete(self, tenant: str) -> bool:
        """Delete the namespace; False if there was none."""
        self._needs_admin()
        await self._check_separation()
        status, message = await self._ask_admin("DELETE", tenant)
        # Without its message a 404 may be that of a server other than sqld's admin listener.
        if status == 404 and "doesn't exist" in message:
            return False
        if status != 200:
            raise _refused("delete", tenant, status, message)
        return True

    async def list(self) -> list[str]:
        """Refuse: `TenancyNotSupported`, always."""
        raise TenancyNotSupported("sqld cannot list its namespaces: tenants are not listed")

    async def prepare(self, tenant: str, *, create: bool) -> None:
        """Make sure that the tenant's database is there, and its own."""
        await self._check_separation()
        if await self._has_namespace(self._urls[0], tenant):
            return
        if not create:
            raise TenantNotFound(f"Tenant not found: {tenant}")
        await self.create(tenant)

    async def open(self, tenant: str, *, create: bool) -> LibsqlAdapter:  # noqa: ARG002 - prepared
        """The adapter; nothing is sent."""
        urls = [url for url in self._urls if url in self._separating]
        if self._urls[0] not in urls:
            raise DatabaseUnavailable("the servers are not checked yet: ask for the tenant again")
        return LibsqlAdapter(urls, options=self._options._replace(namespace=tenant), tenant=tenant)

    async def _check_separation(self) -> None:
        """Ask for a namespace that cannot be there, so that no two tenants share a database.

        A server that was started without namespaces takes every name for its only database. A
        replica that cannot be asked is left out of the tenants that are opened meanwhile.
        """
        unknown = [url for url in self._urls if url not in self._separating]
        found = await asyncio.gather(*map(self._separates, unknown), return_exceptions=True)
        for url, outcome in zip(unknown, found, strict=True):
            if outcome is True:
                self._separating.add(url)
            elif outcome is False:
                raise TenancyNotSupported(
                    f"{Server(url, self._options).name} has one database for all names: start sqld"
                    " with --enable-namespaces"
                )
            elif url == self._urls[0] or not isinstance(outcome, DatabaseError):
                raise outcome

    async def _separates(self, url: str) -> bool:
        return not await self._has_namespace(url, f"no-{secrets.token_hex(8)}")

    async def _has_namespace(self, url: str, namespace: str) -> bool:
        options = self._options
        headers = namespace_headers(url, namespace, options.routing)
        # Over HTTP: a websocket to a namespace that is not there is closed without a word.
        transport = open_transport(url, options.auth_token, for_reads=True, headers=headers)
        try:
            async with asyncio.timeout(min(options.timeout_seconds, CHECK_SECONDS)):
                await transport.execute({"sql": "SELECT 1", "want_rows": True})
        except TRANSPORT_ERRORS as error:
            ours = translate(error, Server(url, options).name, wrote=False)
            if isinstance(ours, NamespaceMissing):
                return False
            raise ours from error
        finally:
            await transport.close()
        return True

    def _needs_admin(self) -> None:
        if self._admin_url is None:
            raise TenancyNotSupported("The libsql adapter needs adminUrl to make or delete tenants")

    async def _ask_admin(self, method: str, path: str) -> tuple[int, str]:
        """Status and message; `path` begins with a checked id."""
        headers = {}
        if self._admin_token is not None:
            # The form that sqld expects: the key itself, without a user.
            headers["authorization"] = f"Basic {self._admin_token}"
        elif self._options.auth_token is not None:
            headers["authorization"] = f"Bearer {self._options.auth_token}"
        url = f"{(self._admin_url or '').rstrip('/')}/v1/namespaces/{path}"
        try:
            async with (
                asyncio.timeout(self._options.timeout_seconds),
                aiohttp.ClientSession(headers=headers) as session,
                session.request(
                    method, url, json={} if method == "POST" else None, allow_redirects=False
                ) as answer,
            ):
                return answer.status, _message(await answer.read())
        except TimeoutError as error:
            raise DatabaseUnavailable(
                "the admin listener of the libSQL server did not answer in time"
            ) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise DatabaseUnavailable(
                f"the admin listener of the libSQL server cannot be reached: {error}"
            ) from error


def _message(body: bytes) -> str:
    try:
        answer = msgspec.json.decode(body, type=dict[str, str])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return ""
    return answer.get("error", "")


def _refused(what: str, tenant: str, status: int, message: str) -> DatabaseUnavailable:
    return DatabaseUnavailable(
        f"cannot {what} tenant {tenant}: the admin listener of the libSQL server answered"
        f" {status} {message[:200]}".rstrip()
    )
