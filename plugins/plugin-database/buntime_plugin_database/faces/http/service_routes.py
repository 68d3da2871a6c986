"""`health`, `adapters` and `tenants`: the plugin's service over HTTP."""

from __future__ import annotations

import asyncio
from time import perf_counter
from typing import Any

import msgspec
from buntime_database import DatabaseError
from buntime_host import BadRequest, flag_of, principal_of
from buntime_host.described import described
from starlette.requests import Request
from starlette.responses import Response

from buntime_plugin_database.faces.access import Access
from buntime_plugin_database.faces.bodies import json_response, read_body
from buntime_plugin_database.faces.permissions import require
from buntime_plugin_database.faces.targets import Targets
from buntime_plugin_database.service import Databases
from buntime_plugin_database.shared.tenants import InvalidTenant

HEALTH_SECONDS = 2.0


class TenantBody(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Body of `POST tenants`."""

    id: Any = None
    type: str | None = None


class ServiceRoutes:
    """The endpoints that show and change the service."""

    def __init__(self, service: Databases, targets: Targets, access: Access) -> None:
        self._service = service
        self._targets = targets
        self._access = access

    async def adapters(self, request: Request) -> Response:
        """`GET adapters`: list the configured engines; `details` tells how each of them is."""
        principal_of(request.scope).require("database:read")
        engines = self._service.get_available_types()
        answer: dict[str, Any] = {"adapters": engines, "default": self._service.get_default_type()}
        if flag_of(request, "details"):
            answer["details"] = await asyncio.gather(*(self._detail(engine) for engine in engines))
            answer["write"] = self._access.may_write(request)
            answer["tenant"] = self._targets.tenant_of_unnamed(request)
        return json_response(answer)

    async def health(self, request: Request) -> Response:
        """`GET health`: whether one engine, or each, answers a query in time."""
        engine = request.query_params.get("type")
        principal = principal_of(request.scope)
        if engine:
            require(principal, "read", engine, None)
            self._service.get_root_adapter(engine)  # an unknown engine is a mistake, not unhealthy
            problem = await self._problem(engine)
            if problem is not None:
                return json_response({"error": problem, "status": "unhealthy"}, 500)
            return json_response({"status": "healthy", "type": engine})
        principal.require("database:read")
        engines = self._service.get_available_types()
        problems = await asyncio.gather(*(self._problem(engine) for engine in engines))
        return json_response(
            {
                "status": "degraded" if any(problems) else "healthy",
                "adapters": {
                    engine: problem or "healthy"
                    for engine, problem in zip(engines, problems, strict=True)
                },
            }
        )

    async def list_tenants(self, request: Request) -> Response:
        """`GET tenants`: list the tenants that have a database of their own."""
        engine = request.query_params.get("type") or self._service.get_default_type()
        require(principal_of(request.scope), "admin", engine, None)
        tenants = await self._service.list_tenants(engine)
        return json_response({"tenants": tenants, "type": engine})

    @described(body=TenantBody, status=201)
    async def create_tenant(self, request: Request) -> Response:
        """`POST tenants`: make a tenant's database; nothing happens if it exists."""
        body = await read_body(request, TenantBody)
        engine = body.type or self._service.get_default_type()
        if not isinstance(body.id, str):
            raise BadRequest("Missing or invalid tenant id", code="INVALID_TENANT")
        require(principal_of(request.scope), "admin", engine, body.id)
        try:
            await self._service.create_tenant(body.id, engine)
        except InvalidTenant as error:
            raise BadRequest(
                f"Missing or invalid tenant id. {error}", code="INVALID_TENANT"
            ) from error
        return json_response({"ok": True, "id": body.id, "type": engine}, 201)

    async def delete_tenant(self, request: Request) -> Response:
        """`DELETE tenants/{id}`: close and delete a tenant's database."""
        tenant = request.path_params["id"]
        engine = request.query_params.get("type") or None
        meant = engine or self._service.get_default_type()
        require(principal_of(request.scope), "admin", meant, tenant)
        deleted = await self._service.delete_tenant(tenant, engine)
        return json_response({"ok": True, "deleted": deleted})

    async def _detail(self, engine: str) -> dict[str, Any]:
        started = perf_counter()
        problem = await self._problem(engine)
        seconds = perf_counter() - started
        statistics = self._service.get_root_adapter(engine).statistics()
        sizes = [statistics[name] for name in ("file_bytes", "wal_bytes") if name in statistics]
        return {
            "type": engine,
            "problem": problem,
            "latencyMs": None if problem else round(seconds * 1000, 2),
            "sizeBytes": int(sum(sizes)) if sizes else None,
        }

    async def _problem(self, engine: str) -> str | None:
        known = self._service.problems().get(engine)
        if known is not None:
            return known
        try:
            async with asyncio.timeout(HEALTH_SECONDS):
                await self._service.get_root_adapter(engine).query("SELECT 1", fresh=True)
        except TimeoutError:
            return f"no answer within {HEALTH_SECONDS:g} s"
        except DatabaseError as error:
            return str(error)
        return None
