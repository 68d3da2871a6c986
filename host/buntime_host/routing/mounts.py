"""The place of a plugin: its base, its application, its limits."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from buntime_host.access import principal_of
from buntime_host.access.public import PublicRoutes
from buntime_host.errors import InvalidPlugin, ServiceUnavailable
from buntime_host.http.direct import DirectApp
from buntime_host.http.direct_mounts import RouteOf
from buntime_host.plugins.context import AppInfo
from buntime_host.plugins.fallback import Fallback
from buntime_host.routing.paged import ANY_ROUTE, Paged, is_api, redirected

NO_PREFIX = b"\0"
"""A prefix that no path has."""


MOST_TEMPLATES = 1000
"""Most cached templates of an application; more are computed each time."""


@runtime_checkable
class TellsRoutes(Protocol):
    """An application that knows which of its routes a request is for."""

    def route_of(self, method: str, path: bytes) -> str | None:
        """The template of the route, such as `/api/keys/{key}`; None if there is none.

        `path` is raw, and below the base. A websocket's method is `WEBSOCKET`.
        """


class Mount(msgspec.Struct, frozen=True, kw_only=True):
    """One entry of the dispatcher's table."""

    base: str
    """`/keyval`; also `/`, which is this one path only."""
    app: ASGIApp
    limit: int
    """Largest request body in bytes."""
    root_path: str
    """The `root_path` for the application: the base, or nothing for `/`."""
    raw_prefix: bytes
    """The prefix of `raw_path` for everything below the base; `/` has nothing below it."""
    route_of: RouteOf
    """The prefix with the base."""
    handles_bare_base: bool = False
    """Whether the application handles `/keyval` itself; others get `/keyval/` instead."""
    info: AppInfo | None = None
    """The plugin; None for the host itself."""
    direct: DirectApp | None = None
    """The application, if it answers requests without ASGI as well."""
    asks_for: str | None = None
    """The scope that the host asks for, on behalf of a plugin that asks for none itself."""
    public: PublicRoutes | Fallback | None = None
    """Public paths."""
    takes_encoded: bool = False
    """Whether compressed bodies stay as they were sent."""


def mount_at(
    base: str,
    app: ASGIApp,
    limit: int,
    info: AppInfo | None = None,
    *,
    asks_for: str | None = None,
    public: PublicRoutes | None = None,
) -> Mount:
    """A mount at `base`."""
    root = "" if base == "/" else base
    return Mount(
        base=base,
        app=app,
        limit=limit,
        root_path=root,
        raw_prefix=f"{root}/".encode() if root else NO_PREFIX,
        route_of=_routes_of(root, app),
        handles_bare_base=_has_page(app),
        info=info,
        direct=_direct_app(app),
        asks_for=asks_for,
        public=public,
    )


def fallback_mount(fallback: Fallback, limit: int, info: AppInfo) -> Mount:
    """The mount of all paths without another one."""
    return Mount(
        base="",
        app=fallback.app,
        limit=limit,
        root_path="",
        raw_prefix=b"/",
        route_of=_routes_of("", fallback.app),
        handles_bare_base=True,
        info=info,
        direct=_direct_app(fallback.app),
        public=fallback,
        takes_encoded=True,
    )


def _has_page(app: object) -> bool:
    return isinstance(app, Paged) and app.page is not None


def _direct_app(app: ASGIApp) -> DirectApp | None:
    beside = app.app if isinstance(app, PageBeside) else app
    return beside if isinstance(beside, DirectApp) else None


class NotRunning:
    """Replaces a plugin that failed: 503, with the reason for those who may know it."""

    def __init__(self, name: str, reason: str) -> None:
        self._name = name
        self._reason = reason

    async def __call__(self, scope: Scope, _: Receive, __: Send) -> None:
        """Refuse one request or handshake."""
        may_know = principal_of(scope).allows("host:plugins:read")
        reason = self._reason if may_know else "the log of the host says why"
        raise ServiceUnavailable(
            f"plugin {self._name} does not run: {reason}", code="PLUGIN_NOT_RUNNING"
        )


def _routes_of(root: str, app: ASGIApp) -> RouteOf:
    beside = app.app if isinstance(app, PageBeside) else app
    told = beside.route_of if isinstance(beside, TellsRoutes) else None
    whole: dict[str | None, str] = {None: root + ANY_ROUTE}

    def route_of(method: str, path: bytes) -> str:
        route = None if told is None else told(method, path)
        try:
            return whole[route]
        except KeyError:
            template = f"{root}{route}"
            if len(whole) < MOST_TEMPLATES:
                whole[route] = template
            return template

    return route_of


class PageBeside(Paged):
    """An opaque application with a page beside it.

    The routes of an ASGI application are unknown before it is called, and its 404 is final. So it
    gets `api/` and everything that is not GET or HEAD; the page gets the rest.
    """

    def __init__(self, app: ASGIApp, page: ASGIApp) -> None:
        self.app = app
        self.page: ASGIApp = page

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if await redirected(scope, receive, send):
            return
        if scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and not is_api(scope):
            await self.page(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def application(routes: Any, page: ASGIApp | None) -> ASGIApp | None:
    """One application from what `routes()` returned and the plugin's page; None for neither.

    Raises `InvalidPlugin` if the result is neither a sequence of routes nor an application.
    """
    if routes is None:
        return _table((), page) if page is not None else None
    if isinstance(routes, Sequence) and not isinstance(routes, str | bytes):
        return _table(routes, page)
    if _is_route(routes):
        raise InvalidPlugin("routes() must return a list of routes, also of one: [Route(…)]")
    if callable(routes):
        return PageBeside(routes, page) if page is not None else routes
    raise InvalidPlugin(
        f"routes() must return routes or an ASGI application, not {type(routes).__name__}"
    )


def _table(routes: Sequence[Any], page: ASGIApp | None) -> ASGIApp:
    """Raises `InvalidPlugin` for an element that is no route."""
    from buntime_host.routing.route_table import RouteTable  # Starlette: a store here has none

    wrong = next((route for route in routes if not _is_route(route)), None)
    if wrong is not None:
        raise InvalidPlugin(f"routes() returned {wrong!r}, which is not a Starlette route")
    return RouteTable(routes, page)


def _is_route(value: object) -> bool:
    """Whether it is a route of Starlette; then its maker has imported that."""
    module = sys.modules.get("starlette.routing")
    return module is not None and isinstance(value, module.BaseRoute)


def route_problems(routes: Any, base: str | None) -> list[str]:
    """Probable mistakes, a sentence each: a plugin starts all the same."""
    if routes is None:
        return []
    if base is None:
        return ["has routes but no base, so they are not served"]
    return [
        f"the route {path} begins with the base, and is served at {base}{path}: paths are below"
        " the base"
        for path in route_paths(routes)
        if base != "/" and (path == base or path.startswith(f"{base}/"))
    ]


def route_paths(routes: Any) -> tuple[str, ...]:
    """Paths of the routes, as far as they are known."""
    if isinstance(routes, Sequence):
        return tuple(path for route in routes if (path := getattr(route, "path", None)))
    return ()
