"""Routes of Starlette as the application of one plugin."""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote

from starlette.datastructures import State
from starlette.routing import BaseRoute, Match, Router
from starlette.routing import Mount as StarletteMount
from starlette.types import ASGIApp, Receive, Scope, Send

from buntime_host.errors import NotFound
from buntime_host.http.passage import WEBSOCKET
from buntime_host.routing.paged import ANY_ROUTE, Paged, is_api, redirected


class RouteTable(Paged):
    """The routes of one plugin; it `TellsRoutes`. Other paths go to the page, or are a 404."""

    def __init__(self, routes: Sequence[BaseRoute], page: ASGIApp | None) -> None:
        self.state = State()
        self.page = page
        self._router = Router(routes=routes, redirect_slashes=False, default=self._miss)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        # Without an "app", Starlette answers 404 and 405 in plain text instead of raising.
        scope["app"] = self
        if self.page is not None and await redirected(scope, receive, send):
            return
        await self._router.app(scope, receive, send)

    def route_of(self, method: str, path: bytes) -> str | None:
        scope: Scope = {
            "type": "websocket" if method == WEBSOCKET else "http",
            "method": method,
            "path": unquote(path.decode("latin-1")),
            "root_path": "",
            "headers": [],
        }
        for route in self._router.routes:
            if route.matches(scope)[0] is Match.FULL:
                template: str = getattr(route, "path", "")
                return template + ANY_ROUTE if isinstance(route, StarletteMount) else template
        return None

    async def _miss(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            raise NotFound
        if self.page is None or is_api(scope):
            raise NotFound
        await self.page(scope, receive, send)
