"""Which database a request is for."""

from __future__ import annotations

from collections.abc import Callable

from buntime_host import BadRequest, principal_of
from starlette.requests import HTTPConnection

from buntime_plugin_database.faces.permissions import Need, allows, require
from buntime_plugin_database.service.config import TenancyConfig
from buntime_plugin_database.shared.target import Target

TYPE_HEADER = "x-database-adapter"
TENANT_HEADER = "x-database-namespace"


class Targets:
    """Finds engine and tenant in a request.

    The request itself comes first: path, body, query, Hrana headers. Then, with tenancy enabled,
    the configured header and the default tenant.
    """

    def __init__(self, tenancy: TenancyConfig, default_type: Callable[[], str]) -> None:
        """`default_type` is the engine of requests that name none."""
        self._tenancy = tenancy
        self._default_type = default_type

    def of(
        self,
        connection: HTTPConnection,
        *,
        needs: Need,
        type: str | None = None,
        tenant: str | None = None,
    ) -> Target:
        """The target; `type` and `tenant` are those of the body, if it has them.

        It has the sender's further permissions there. Raises `PermissionDenied` without the
        permission `needs`.
        """
        query, headers = connection.query_params, connection.headers
        engine = _only("type", type, query.get("type")) or headers.get(TYPE_HEADER) or None
        tenant = _only(
            "tenant", connection.path_params.get("tenant"), tenant, query.get("tenant")
        ) or headers.get(TENANT_HEADER)
        target = Target(engine, tenant or self.tenant_of_unnamed(connection))
        principal = principal_of(connection.scope)
        if principal.unlimited:
            return target
        meant = (engine or self._default_type(), target.tenant)
        require(principal, needs, *meant)
        return target._replace(
            readonly=not allows(principal, "write", *meant),
            schema=allows(principal, "admin", *meant),
        )

    def tenant_of_unnamed(self, connection: HTTPConnection) -> str | None:
        """The tenant of a request that names none, None for the root database."""
        if not self._tenancy.enabled:
            return None
        return connection.headers.get(self._tenancy.header) or self._tenancy.default_tenant or None


def _only(name: str, *given: str | None) -> str | None:
    """Engine and tenant of path, body and query, which must not contradict each other. Raises
    `BadRequest`.
    """
    said = {text for text in given if text}
    if len(said) > 1:
        raise BadRequest(
            f"{name} is given twice, and not as the same: {' and '.join(sorted(said))}"[:200],
            code="INVALID_PARAMETER",
        )
    return said.pop() if said else None
