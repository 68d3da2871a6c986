"""The host's own routes: health, the list of plugins, `/`, `/.well-known/buntime`."""

from __future__ import annotations

import inspect
import logging
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple, Protocol

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response
from starlette.types import Receive, Scope, Send

from buntime_host.access import principal_of
from buntime_host.access.administration import KeyAdministration
from buntime_host.access.gate import Gate
from buntime_host.access.public import SHARED_FILES, SLASH_PATH, VIEWER_FILES
from buntime_host.access.signed import Signed
from buntime_host.connections.edge import EdgeMetrics
from buntime_host.described import Operation, described, operation_of
from buntime_host.errors import BadRequest, MethodNotAllowed, NotFound
from buntime_host.http.parameters import check_parameters
from buntime_host.observe.http_numbers import HttpNumbers, http_families
from buntime_host.pages.shared import SharedFiles, home_page
from buntime_host.plugins.health import lacking_plugins
from buntime_host.plugins.hooks import Hook
from buntime_host.plugins.status import PluginStatus
from buntime_host.routes.api_docs import viewer_file, viewer_page
from buntime_host.routes.key_routes import KeyRoutes
from buntime_host.routes.session_routes import SessionRoutes
from buntime_host.routing.mounts import Mount, mount_at
from buntime_host.version import __version__
from buntime_host.workers import Workers

METRICS_SECONDS = 5.0
"""How long a plugin's `metrics()` may take before it counts as failed."""

logger = logging.getLogger("App")

RouteHandler = Callable[[Request], Response | Awaitable[Response]]


class HostState(Protocol):
    """The host as these routes need it."""

    @property
    def ready(self) -> bool:
        """Whether it has started and is not closing."""

    @property
    def statuses(self) -> Mapping[str, PluginStatus]:
        """Every plugin, those that run in load order."""

    @property
    def health_hooks(self) -> Mapping[str, Hook]:
        """`health()` of the plugins that have it."""

    @property
    def metrics_hooks(self) -> Mapping[str, Hook]:
        """`metrics()` of the plugins that have it."""

    @property
    def edge_metrics(self) -> EdgeMetrics:
        """The metrics of connections."""

    @property
    def task_failures(self) -> Mapping[str, int]:
        """How often background work of each plugin failed."""

    @property
    def http_numbers(self) -> HttpNumbers | None:
        """The counts of requests; None if they are not counted."""

    @property
    def workers(self) -> Workers:
        """The processes that serve, of which this is one."""

    async def openapi(self, root: str) -> bytes:
        """The OpenAPI document; `root` is the prefix of all paths."""

    @property
    def gate(self) -> Gate:
        """The gate that recognises senders."""

    @property
    def signed(self) -> Signed:
        """Sessions and tickets."""

    @property
    def keys(self) -> KeyAdministration:
        """The keys."""


class PrivateRoute(NamedTuple):
    """An endpoint that needs a permission."""

    permission: str
    """A scope of the host, such as `plugins:read`."""
    call: RouteHandler


class _BelowBase:
    """The routes at one first segment, as an application."""

    def __init__(self, routes: CoreRoutes, base: str) -> None:
        self._routes = routes
        self._prefix = "" if base == "/" else base

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        below = scope["path"][len(scope["root_path"]) :]
        # As Starlette calls it: the prefix of all paths of the host.
        scope["app_root_path"] = scope["root_path"].removesuffix(self._prefix)
        response = await self._routes.respond(self._prefix + below, scope, receive)
        await response(scope, receive, send)

    def route_of(self, method: str, path: bytes) -> str | None:  # noqa: ARG002 - see `TellsRoutes`
        """See `TellsRoutes`."""
        template = self._routes.template_of(self._prefix + path.decode("latin-1"))
        return None if template is None else template[len(self._prefix) :]


class CoreRoutes:
    """The host's own application; it is mounted at several first segments."""

    def __init__(self, state: HostState, *, api: str, homepage: str) -> None:
        self._state = state
        self._api = api
        self._homepage = homepage
        self._shared = SharedFiles()
        public: dict[str, RouteHandler] = {
            "/": self._home,
            "/favicon.ico": _no_icon,
            "/.well-known/buntime": self._facts,
            SLASH_PATH: _slash_arrives,
            f"{api}/plugins/loaded": self._loaded,
            f"{api}/docs": viewer_page,
        }
        public |= {f"{api}/docs/{name}": viewer_file for name in VIEWER_FILES}
        for prefix in ("/health", f"{api}/health"):
            public[prefix] = self._healthy
            public[f"{prefix}/live"] = self._live
            public[f"{prefix}/ready"] = self._ready
        self._public = public
        sessions = SessionRoutes(state.gate, state.signed)
        self._own_check: dict[str, dict[str, RouteHandler]] = {
            f"{api}/admin/session": {
                "GET": sessions.who, "POST": sessions.login, "DELETE": sessions.logout,
            },
            f"{api}/admin/tickets": {"POST": sessions.ticket},
        }  # fmt: skip
        """Endpoints that handle the credential themselves."""
        # Monitors may add parameters of their own.
        self._strict = (f"{api}/plugins", f"{api}/keys", "/metrics")
        keys = KeyRoutes(state.keys)
        self._private: dict[str, dict[str, PrivateRoute]] = {
            f"{api}/plugins": {"GET": PrivateRoute("plugins:read", self._plugins)},
            f"{api}/plugins/status": {"GET": PrivateRoute("plugins:read", self._status)},
            f"{api}/openapi.json": {"GET": PrivateRoute("plugins:read", self._openapi)},
            "/metrics": {"GET": PrivateRoute("metrics:read", self._metrics)},
            f"{api}/keys": {
                "GET": PrivateRoute("keys:read", keys.list),
                "POST": PrivateRoute("keys:create", keys.create),
            },
            f"{api}/keys/meta": {"GET": PrivateRoute("keys:read", keys.meta)},
            f"{api}/keys/{{id}}": {
                "GET": PrivateRoute("keys:read", keys.show),
                "DELETE": PrivateRoute("keys:revoke", keys.revoke),
            },
            f"{api}/keys/{{id}}/rotate": {"POST": PrivateRoute("keys:create", keys.rotate)},
        }
        """Permissions of the host that paths need, by path and method."""
        self._patterns = [_pattern(path) for path in self._private if "{" in path]

    def operations(self) -> list[Operation]:
        """The descriptions of these routes, without files of pages."""
        files = ("/favicon.ico", *(f"{self._api}/docs/{name}" for name in VIEWER_FILES))
        found = [
            operation_of("GET", path, call)
            for path, call in self._public.items()
            if path not in files
        ]
        for path, methods in self._own_check.items():
            found += [operation_of(method, path, call) for method, call in methods.items()]
        for path, routes in self._private.items():
            for method, route in routes.items():
                said = operation_of(method, path, route.call)
                text = f"{said.text}\n\nNeeds the permission `host:{route.permission}`."
                found.append(replace(said, text=text))
        return found

    def mounts(self, limit: int) -> dict[str, Mount]:
        """The first segments of all paths, by which the dispatcher sends requests here."""
        paths = (*self._public, *self._private, *self._own_check)
        bases = {"/" + path.split("/")[1] for path in paths}
        return {base: mount_at(base, _BelowBase(self, base), limit) for base in bases}

    def template_of(self, path: str) -> str | None:
        """The template of the path, with `{id}` for variable parts; None if it is not served."""
        path = path.rstrip("/") or "/"
        if any(path in paths for paths in (self._public, self._own_check, self._private)):
            return path
        fitting = (template for template, pattern in self._patterns if pattern.fullmatch(path))
        return next(fitting, None)

    async def respond(self, path: str, scope: Scope, receive: Receive) -> Response:
        """The answer to a request for a path of the host."""
        path = path.rstrip("/") or "/"
        if scope["type"] != "http":
            raise NotFound
        request = Request(scope, receive)
        handler = self._public.get(path)
        if path.startswith(SHARED_FILES):
            handler = self._shared_file
        if path in self._own_check:
            method = "GET" if scope["method"] == "HEAD" else scope["method"]
            if method not in self._own_check[path]:
                raise MethodNotAllowed(headers={"Allow": ", ".join(self._own_check[path])})
            handler = self._own_check[path][method]
        elif handler is None:
            handler = self._permitted(path, request)
        elif scope["method"] not in ("GET", "HEAD"):
            raise MethodNotAllowed(headers={"Allow": "GET, HEAD"})
        if path.startswith(self._strict):
            check_parameters(request, ())
        response = handler(request)
        return await response if inspect.isawaitable(response) else response

    def _permitted(self, path: str, request: Request) -> RouteHandler:
        """Return the endpoint, if it exists and the sender may call it."""
        methods = None if "{" in path else self._private.get(path)
        if methods is None:
            for template, pattern in self._patterns:
                if match := pattern.fullmatch(path):
                    request.scope["path_params"] = match.groupdict()
                    methods = self._private[template]
                    break
            else:
                raise NotFound
        method: str = request.scope["method"]
        route = methods.get("GET" if method == "HEAD" else method)
        if route is None:
            # Senders who may call none of them are not told which exist.
            needed = next(iter(methods.values())).permission
            principal_of(request.scope).require(f"host:{needed}")
            allow = [*methods, "HEAD"] if "GET" in methods else [*methods]
            raise MethodNotAllowed(headers={"Allow": ", ".join(allow)})
        principal_of(request.scope).require(f"host:{route.permission}")
        return route.call

    @described(media_type="text/plain")
    async def _home(self, request: Request) -> Response:
        """The page of the host for browsers, or a redirect to `homepage`; for others its
        version.
        """
        root: str = request.scope["app_root_path"]
        if self._homepage:
            target = self._homepage
            if not target.startswith(("http://", "https://")):
                target = f"{root}/{target.removeprefix('/')}"
            return RedirectResponse(target, status_code=302)
        if not request.scope["path"].endswith("/"):
            return RedirectResponse(f"{root}/", status_code=308)  # the page's links begin there
        if "text/html" not in request.headers.get("accept", ""):
            return PlainTextResponse(f"Buntime v{__version__}")
        running = [status for status in self._state.statuses.values() if status.state == "loaded"]
        menus = [menu for status in running for menu in status.menus]
        return await home_page(menus)

    async def _shared_file(self, request: Request) -> Response:
        name = request.scope["path"].partition(SHARED_FILES)[2]
        return await self._shared.get(name, request.scope)

    async def _ready(self, request: Request) -> Response:
        """Report whether all plugins run and are well; 503 while one is not, or the host starts."""
        # Anybody may know that something is wrong; the details may reveal the inside.
        explain = principal_of(request.scope).allows("host:plugins:read")
        plugins: dict[str, Any] = {}
        lacking = await lacking_plugins(self._state.statuses, self._state.health_hooks)
        ready = self._state.ready and not lacking
        for status in self._state.statuses.values():
            if status.state == "disabled":
                continue
            entry: dict[str, Any] = {"state": status.state}
            if explain and status.name in lacking:
                entry["reason"] = lacking[status.name]
            entry["ready"] = status.name not in lacking
            plugins[status.name] = entry
        if not ready:
            body = {
                "error": "Not ready",
                "code": "NOT_READY",
                "success": False,
                "message": "Not ready",
                "ok": False,
                "status": "unready",
                "version": __version__,
                "plugins": plugins,
            }
            return _json(body, 503)
        return _json({"ok": True, "status": "ready", "version": __version__, "plugins": plugins})

    def _facts(self, _: Request) -> Response:
        """The path of this host's API, and its version."""
        return _json({"api": self._api, "version": __version__})

    async def _openapi(self, request: Request) -> Response:
        """This document: OpenAPI 3.1 of the host and its plugins."""
        text = await self._state.openapi(request.scope["app_root_path"])
        return Response(text, media_type="application/json")

    def _healthy(self, _: Request) -> Response:
        """Answer as long as the process lives."""
        return self._health("healthy")

    def _live(self, _: Request) -> Response:
        """The same, for whatever restarts dead processes."""
        return self._health("live")

    def _health(self, status: str) -> Response:
        response = _json({"ok": True, "status": status, "version": __version__})
        if self._state.workers.count > 1:
            response.headers["x-buntime-worker"] = str(self._state.workers.number)
        return response

    @described(media_type="text/plain")
    async def _metrics(self, _: Request) -> Response:
        """The metrics of host and plugins, in Prometheus' text format."""
        # Only callers pay for the library.
        from buntime_host.routes.metrics import (
            CONTENT_TYPE,
            edge_families,
            gather_metrics,
            process_families,
            task_family,
        )

        own = [*edge_families(self._state.edge_metrics), *process_families()]
        own.append(task_family(self._state.task_failures))
        if (numbers := self._state.http_numbers) is not None:
            own += http_families(numbers)
        hooks = self._state.metrics_hooks
        text = await gather_metrics(hooks, own, timeout=METRICS_SECONDS)
        return Response(text, headers={"content-type": CONTENT_TYPE})

    def _loaded(self, _: Request) -> Response:
        """The plugins that run, in load order, with paths and menus."""
        return _json(
            [
                {
                    "name": status.name,
                    "base": status.base,
                    "dependencies": status.dependencies,
                    "optionalDependencies": status.optional_dependencies,
                    "menus": status.menus,
                }
                for status in self._state.statuses.values()
                if status.state == "loaded"
            ]
        )

    def _plugins(self, _: Request) -> Response:
        """All plugins, including those that do not run."""
        return _json(
            [
                {
                    "name": status.name,
                    "version": status.version,
                    "path": status.path,
                    "source": status.source,
                    "state": status.state,
                }
                for status in self._state.statuses.values()
            ]
        )

    @described(answer=list[PluginStatus])
    def _status(self, _: Request) -> Response:
        """The status of each plugin: hooks, routes, and why one does not run."""
        return _json(list(self._state.statuses.values()))


def _slash_arrives(request: Request) -> Response:
    """Check whether `%2F` in a path arrives as it was sent: request
    `/.well-known/buntime/slash/a%2Fb`.

    400 if a proxy before the host has decoded it: a key with a slash would be another one.
    """
    if not request.scope.get("raw_path", b"").lower().endswith(b"/a%2fb"):
        raise BadRequest(
            "The path arrived as /a/b. If you have asked for /a%2Fb, a proxy before this host"
            " decodes %2F, and a key with a slash becomes two parts: nginx does so where proxy_pass"
            " has a path",
            code="SLASH_DECODED",
        )
    return _json({"ok": True})


def _no_icon(_: Request) -> Response:
    """An empty answer for browsers, which ask for this."""
    return Response(status_code=204)


def _pattern(template: str) -> tuple[str, re.Pattern[str]]:
    """A path in which `{id}` stands for one segment, and the pattern that matches it."""
    return template, re.compile(re.escape(template).replace(r"\{id\}", "(?P<id>[^/]+)"))


def _json(value: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(value), status_code=status, media_type="application/json")
