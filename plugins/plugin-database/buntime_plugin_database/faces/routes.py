"""All routes of the plugin, each behind its check."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import wraps

from buntime_database import DatabaseError, OutcomeUnknown
from buntime_host import HttpError, check_parameters, noticed_of
from buntime_host.described import JsonSchema, described, operation_of
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute

from buntime_plugin_database.faces.access import Access
from buntime_plugin_database.faces.bodies import refuse_body
from buntime_plugin_database.faces.config import ApiConfig
from buntime_plugin_database.faces.errors import NotSupported, http_error
from buntime_plugin_database.faces.hrana.errors import answer_of
from buntime_plugin_database.faces.hrana.legacy import LegacyHttp
from buntime_plugin_database.faces.hrana.legacy_websocket import LegacySocket
from buntime_plugin_database.faces.hrana.pipeline import HranaHttp, no_protobuf, version
from buntime_plugin_database.faces.hrana.streams import Streams
from buntime_plugin_database.faces.hrana.websocket import HranaSocket
from buntime_plugin_database.faces.http.changes import ChangeRoutes
from buntime_plugin_database.faces.http.query import QueryRoutes
from buntime_plugin_database.faces.http.rows import RowRoutes
from buntime_plugin_database.faces.http.service_routes import ServiceRoutes
from buntime_plugin_database.faces.http.sessions import RequestSessions
from buntime_plugin_database.faces.http.tables import TableRoutes
from buntime_plugin_database.faces.http.values import BLOB_FORMS
from buntime_plugin_database.faces.large import InHand, LargeResults
from buntime_plugin_database.faces.targets import Targets
from buntime_plugin_database.service import Databases

Endpoint = Callable[[Request], Awaitable[Response]]

TARGET = ("type", "tenant")
"""Query parameters that name a database."""

PARAMETERS: Mapping[str, str | JsonSchema] = {
    "type": "The engine, as `GET adapters` names it; without it the default one",
    "tenant": "Tenant whose database is used; by default none",
    "counts": {"type": "boolean", "description": "Whether to count the rows of each table"},
    "details": {"type": "boolean", "description": "Whether to report the state of each engine"},
    "rowid": {"type": "boolean", "description": "Whether rows without a key get a name"},
    "limit": {"type": "integer", "minimum": 1, "description": "How many rows at most"},
    "offset": {"type": "integer", "minimum": 0, "description": "How many rows to leave out"},
    "orderBy": "The column to sort by",
    "dir": {"enum": ["asc", "desc"], "description": "Which way to sort"},
    "filter": 'Values of columns, as JSON: `{"name": "Ada"}`',
    "blob": {"enum": [*BLOB_FORMS], "description": "How bytes are told"},
}
"""Descriptions of the query parameters."""

HRANA_PREFIXES = ("/api", "", "/api/dev/{tenant}", "/dev/{tenant}")
"""Clients put their paths beside the last segment of a URL that does not end in a slash, so that
`…/database/api` means `…/database/v2/pipeline` to them. They cannot send headers with a websocket,
so that a tenant needs a place in the path; `dev` is what libSQL's own server calls it."""


def make_routes(
    service: Databases, streams: Streams, targets: Targets, access: Access, config: ApiConfig
) -> list[BaseRoute]:
    """The JSON API, both faces of Hrana, and the original's dialect."""
    large = LargeResults(seconds=config.statement_timeout)
    return [
        *_api_routes(service, targets, access, config, large),
        *_hrana_routes(streams, targets, access, large),
    ]


def _api_routes(
    service: Databases, targets: Targets, access: Access, config: ApiConfig, large: LargeResults
) -> list[BaseRoute]:
    sessions = RequestSessions(service, config.session_limits())
    of_service = ServiceRoutes(service, targets, access)
    tables = TableRoutes(sessions, targets)
    rows = RowRoutes(sessions, targets)
    changes = ChangeRoutes(sessions, targets)
    query = QueryRoutes(sessions, targets, access, config)

    def read(path: str, endpoint: Endpoint, *takes: str, method: str = "GET") -> Route:
        checked = _checked(endpoint, access, large, takes, write=False)
        return Route(f"/api{path}", checked, methods=[method])

    def write(path: str, endpoint: Endpoint, *takes: str, method: str = "POST") -> Route:
        checked = _checked(endpoint, access, large, takes, write=True)
        return Route(f"/api{path}", checked, methods=[method])

    # The query parameters of each; members of bodies are declared beside the endpoints.
    page = ("limit", "offset", "orderBy", "dir", "filter", "blob", "rowid")
    return [
        read("/health", of_service.health, "type"),
        read("/adapters", of_service.adapters, "details"),
        read("/tenants", of_service.list_tenants, "type"),
        write("/tenants", of_service.create_tenant),
        write("/tenants/{id}", of_service.delete_tenant, "type", method="DELETE"),
        read("/tables", tables.tables, *TARGET, "counts"),
        read("/tables/{name}/schema", tables.schema, *TARGET),
        read("/tables/{name}/rows", tables.rows, *TARGET, *page),
        write("/tables/{name}/rows", rows.insert, *TARGET),
        write("/tables/{name}/rows", rows.update, *TARGET, method="PATCH"),
        write("/tables/{name}/rows", rows.delete, *TARGET, method="DELETE"),
        write("/tables/{name}/changes", changes.change, *TARGET),
        read("/query", query.query, *TARGET, "blob", method="POST"),
        write("/execute", query.execute, *TARGET, "blob"),
        write("/batch", query.batch, *TARGET),
    ]


def _hrana_routes(
    streams: Streams, targets: Targets, access: Access, large: LargeResults
) -> list[BaseRoute]:
    http = HranaHttp(streams, targets)
    socket = HranaSocket(streams, targets, access, large)
    legacy = LegacyHttp(streams, targets)
    legacy_socket = LegacySocket(streams, targets, access, large, standard=socket)
    pipeline = _checked(legacy.pipeline, access, large, TARGET, write=True)
    routes: list[BaseRoute] = [
        Route("/api/pipeline", pipeline, methods=["POST"]),
        WebSocketRoute("/api/ws", legacy_socket.serve),
    ]
    for prefix in HRANA_PREFIXES:
        is_first = prefix == HRANA_PREFIXES[0]  # the others are the same, and described once
        for path, endpoint in (
            ("/v1/execute", http.execute),
            ("/v1/batch", http.batch),
            ("/v2/pipeline", http.pipeline),
            ("/v3/pipeline", http.pipeline),
            ("/v3/cursor", http.cursor),
        ):
            checked = _checked(endpoint, access, large, TARGET, write=True, error_of=answer_of)
            routes.append(
                Route(prefix + path, checked, methods=["POST"], include_in_schema=is_first)
            )
        # Clients probe the version before they log in, and it tells nothing.
        routes += [
            Route(prefix + path, version, include_in_schema=is_first)
            for path in ("/v1", "/v2", "/v3")
        ]
        routes.append(Route(f"{prefix}/v3-protobuf", no_protobuf, include_in_schema=is_first))
        routes.append(WebSocketRoute(f"{prefix}/", socket.serve))
        if prefix:
            routes.append(WebSocketRoute(prefix, socket.serve))
    return routes


def _checked(
    endpoint: Endpoint,
    access: Access,
    large: LargeResults,
    takes: Sequence[str],
    *,
    write: bool,
    error_of: Callable[[DatabaseError], HttpError] = http_error,
) -> Endpoint:
    reads_body = operation_of("POST", "", endpoint).body is not None

    @described(query={name: PARAMETERS.get(name, "") for name in takes})
    @wraps(endpoint)
    async def checked(request: Request) -> Response:
        access.check(request, write=write)
        check_parameters(request, takes)
        await _check_uncommon(request, reads_body=reads_body)
        hand = request.state.hand = large.hand()
        response: Response | None = None
        try:
            response = await endpoint(request)
        except DatabaseError as error:
            raise error_of(error) from error
        except asyncio.CancelledError:
            if not write:
                raise
            lost = OutcomeUnknown("the host is shutting down; the write may have been carried out")
            raise error_of(lost) from None
        finally:
            if response is None:
                hand.empty()
        return InHand(response, hand) if hand.is_large else response

    return checked


async def _check_uncommon(request: Request, *, reads_body: bool) -> None:
    """Refuse what would be ignored: a condition in a header, and a body where none is read."""
    noticed = noticed_of(request.scope)
    if noticed.precondition is not None:
        raise NotSupported(
            f"{noticed.precondition} is not supported: put it into the statement",
            code="CONDITIONS_NOT_SUPPORTED",
        )
    if noticed.unasked_body and not reads_body:
        await refuse_body(request)
