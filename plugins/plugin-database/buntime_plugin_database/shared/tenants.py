"""Tenants: their names, and the interface of an engine's tenants."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NoReturn, Protocol

from buntime_database import Adapter, InvalidStatement, Session, SessionLimits

_TENANT_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,62}")


class InvalidTenant(InvalidStatement):
    """The tenant id is not one that every engine can carry."""

    code = "INVALID_TENANT"


class TenantNotFound(InvalidStatement):
    """No such tenant, and tenants are not created on first use."""

    code = "TENANT_NOT_FOUND"


class TenancyNotSupported(InvalidStatement):
    """The engine, or its configuration, cannot do this for tenants."""

    code = "TENANCY_NOT_SUPPORTED"


class CountedSession(Session, Protocol):
    """A session that says when it ends."""

    def when_closed(self, call: Callable[[], object]) -> None:
        """Have `call` called once the session is closed."""


class OpenDatabase(Adapter, Protocol):
    """The database of a tenant."""

    def is_current(self) -> bool:
        """Whether it is still the tenant's: another process may have deleted that."""

    async def open_session(self, limits: SessionLimits | None = None) -> CountedSession: ...


class Tenants(Protocol):
    """The tenants of one engine. Methods raise `DatabaseError`, `TenancyNotSupported` included.

    `check` is asked first; the other methods get only what it accepts.
    """

    def check(self, tenant: str) -> None:
        """Raise `InvalidTenant` for a name that no tenant may have."""

    async def create(self, tenant: str) -> None:
        """Make the tenant's database; nothing happens if it exists."""

    async def delete(self, tenant: str) -> bool:
        """Delete the tenant's database, which is closed; False if there was none."""

    async def list(self) -> list[str]:
        """Ids of the tenants that have a database, sorted."""

    async def prepare(self, tenant: str, *, create: bool) -> None:
        """Slow preparations before `open`, whose callers wait for each other."""

    async def open(self, tenant: str, *, create: bool) -> OpenDatabase:
        """Open the tenant's database. Raises `TenantNotFound` unless it may be made."""


class NoTenants:
    """An engine without tenants; implements `Tenants`, and refuses everything."""

    def __init__(self, reason: str) -> None:
        """`reason` is the message for callers that name a tenant."""
        self._reason = reason

    def check(self, tenant: str) -> None:
        check_tenant_id(tenant)
        self._refuse()

    async def create(self, tenant: str) -> NoReturn:  # noqa: ARG002 - as in `Tenants`
        self._refuse()

    async def delete(self, tenant: str) -> NoReturn:  # noqa: ARG002 - as in `Tenants`
        self._refuse()

    async def list(self) -> NoReturn:
        self._refuse()

    async def prepare(self, tenant: str, *, create: bool) -> NoReturn:  # noqa: ARG002 - as in `Tenants`
        self._refuse()

    async def open(self, tenant: str, *, create: bool) -> NoReturn:  # noqa: ARG002 - as in `Tenants`
        self._refuse()

    def _refuse(self) -> NoReturn:
        raise TenancyNotSupported(self._reason)


def is_tenant_id(name: str) -> bool:
    """Whether it is 1 to 63 letters, digits, `_` or `-`, the first of them a letter or digit."""
    return _TENANT_ID.fullmatch(name) is not None


def check_tenant_id(tenant: str) -> str:
    """Return the id as it is; ids are refused, never rewritten, so no two can meet.

    Raises `InvalidTenant` unless it is one.
    """
    if not is_tenant_id(tenant):
        raise InvalidTenant(
            f"Invalid tenant id {tenant[:80]!r}: use 1 to 63 letters, digits, '_' or '-', "
            "starting with a letter or digit"
        )
    return tenant
