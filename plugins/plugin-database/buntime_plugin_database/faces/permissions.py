"""Permissions on databases, and their checks.

The resource of a grant is an engine, which stands for its root database and those of all tenants,
or a tenant of one: `sqlite/acme`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from buntime_host import Action, Principal

Need = Literal["read", "write", "admin"]
"""Reading, changing rows, changing the schema and tenants; each comes with those before it."""

_RESOURCE = re.compile(r"([^/]+)(?:/([^/]+))?")


def database_prefix(text: str) -> bytes:
    """The resource of a grant. Raises `ValueError` with what would be right."""
    found = _RESOURCE.fullmatch(text)
    if found is None:
        raise ValueError("the resource has to be an engine, or a tenant of one: sqlite/acme")
    return resource_of(found[1], found[2])


def resource_of(engine: str, tenant: str | None) -> bytes:
    """A database in the order of grants: a name ends with a byte that none of them has."""
    names = (engine,) if tenant is None else (engine, tenant)
    return b"".join(name.encode() + b"\0" for name in names)


PERMISSIONS: Mapping[str, Action] = MappingProxyType(
    {
        "read": Action(database_prefix, doc="SQL that reads, tables and their rows, health"),
        "write": Action(database_prefix, covers=("read",), doc="SQL that changes rows too"),
        "admin": Action(
            database_prefix, covers=("write",), doc="SQL that changes the schema too, and tenants"
        ),
    }
)


def require(principal: Principal, need: Need, engine: str, tenant: str | None) -> None:
    """Raise `PermissionDenied` unless the sender may do that with a database."""
    if not principal.unlimited:
        named = engine if tenant is None else f"{engine}/{tenant}"
        principal.require(f"database:{need}", resource_of(engine, tenant), named=named)


def allows(principal: Principal, need: Need, engine: str, tenant: str | None) -> bool:
    """Whether the sender may."""
    return principal.unlimited or principal.allows(f"database:{need}", resource_of(engine, tenant))
