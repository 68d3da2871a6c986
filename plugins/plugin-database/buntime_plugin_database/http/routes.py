"""All routes of the plugin, each behind its check."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from buntime_database import DatabaseError
from buntime_host import HttpError
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from buntime_plugin_database.hrana.legacy import LegacyHttp
from buntime_plugin_database.hrana.legacy_websocket import LegacySocket
from buntime_plugin_database.hrana.pipeline import HranaHttp, no_protobuf, version
from buntime_plugin_database.hrana.streams import Streams
from buntime_plugin_database.hrana.websocket import HranaSocket
from buntime_plugin_database.http.access import Access
from buntime_plugin_database.http.config import ApiConfig
from buntime_plugin_database.http.errors import hrana_error, http_error
from buntime_plugin_database.http.query import QueryRoutes
from buntime_plugin_database.http.rows import RowRoutes
from buntime_plugin_database.http.service_routes import ServiceRoutes
from buntime_plugin_database.http.sessions import RequestSessions
from buntime_plugin_database.http.tables import TableRoutes
from buntime_plugin_database.http.targets import Targets
from buntime_plugin_database.service import DatabaseService

Endpoint = Callable[[Request], Awaitable[Response]]

HRANA_PREFIXES = ("/api", "", "/api/dev/{tenant}", "/dev/{tenant}")
"""Clients put their paths beside the last segment of a URL that does not end in a slash, so that
`…/database/api` means `…/database/v2/pipeline` to them. They cannot send headers with a websocket,
so that a tenant needs a place in the path; `dev` is what libSQL's own server calls it."""


def make_routes(
    service: DatabaseService,
    streams: Streams,
    targets: Targets,
    access: Access,
    config: ApiConfig,
) -> list[BaseRoute]:
    """The JSON API, both faces of Hrana, and the original's dialect."""
    return [
        *_api_routes(service, targets, access, config),
        *_hrana_routes(streams, targets, access),
    ]


def _api_routes(
    service: DatabaseService, targets: Targets, access: Access, config: ApiConfig
) -> list[BaseRoute]:
    sessions = RequestSessions(service, config.session_limits())
    of_service = ServiceRoutes(service)
    tables = TableRoutes(sessions, targets)
    rows = RowRoutes(sessions, targets)
    query = QueryRoutes(sessions, targets, access, config)

    def read(path: str, endpoint: Endpoint, method: str = "GET") -> Route:
        return Route(f"/api{path}", _checked(endpoint, access, write=False), methods=[method])

    def write(path: str, endpoint: Endpoint, method: str = "POST") -> Route:
        return Route(f"/api{path}", _checked(endpoint, access, write=True), methods=[method])

    return [
        read("/health", of_service.health),
        read("/adapters", of_service.adapters),
        read("/tenants", of_service.list_tenants),
        write("/tenants", of_service.create_tenant),
        write("/tenants/{id}", of_service.delete_tenant, "DELETE"),
        read("/tables", tables.tables),
        read("/tables/{name}/schema", tables.schema),
        read("/tables/{name}/rows", tables.rows),
        write("/tables/{name}/rows", rows.insert),
        write("/tables/{name}/rows", rows.update, "PATCH"),
        write("/tables/{name}/rows", rows.delete, "DELETE"),
        read("/query", query.query, "POST"),
        write("/execute", query.execute),
        write("/batch", query.batch),
    ]


def _hrana_routes(streams: Streams, targets: Targets, access: Access) -> list[BaseRoute]:
    http = HranaHttp(streams, targets)
    socket = HranaSocket(streams, targets, access)
    legacy = LegacyHttp(streams, targets)
    legacy_socket = LegacySocket(streams, targets, access, standard=socket)
    routes: list[BaseRoute] = [
        Route("/api/pipeline", _checked(legacy.pipeline, access, write=True), methods=["POST"]),
        WebSocketRoute("/api/ws", legacy_socket.serve),
    ]
    for prefix in HRANA_PREFIXES:
        for path, endpoint in (
            ("/v1/execute", http.execute),
            ("/v1/batch", http.batch),
            ("/v2/pipeline", http.pipeline),
            ("/v3/pipeline", http.pipeline),
            ("/v3/cursor", http.cursor),
        ):
            checked = _checked(endpoint, access, write=True, error_of=hrana_error)
            routes.append(Route(prefix + path, checked, methods=["POST"]))
        # Clients probe the version before they log in, and it tells nothing.
        routes += [Route(prefix + path, version) for path in ("/v1", "/v2", "/v3")]
        routes.append(Route(f"{prefix}/v3-protobuf", no_protobuf))
        routes.append(WebSocketRoute(f"{prefix}/", socket.serve))
        if prefix:
            routes.append(WebSocketRoute(prefix, socket.serve))
    return routes


def _checked(
    endpoint: Endpoint,
    access: Access,
    *,
    write: bool,
    error_of: Callable[[DatabaseError], HttpError] = http_error,
) -> Endpoint:
    async def checked(request: Request) -> Response:
        access.check(request, write=write)
        try:
            return await endpoint(request)
        except DatabaseError as error:
            raise error_of(error) from error

    return checked
