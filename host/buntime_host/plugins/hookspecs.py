"""The contract between the host and a plugin: every hook, its arguments, when it runs.

All hooks are optional and may be sync or async. The host calls one plugin at a time, in dependency
order (`on_shutdown` in reverse), and never relies on pluggy's own call order. An implementation
may leave out arguments that it does not need.

A specification is never called. Where it promises a value, its body raises NotImplementedError, so
that the promise can be written as its return type.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from prometheus_client.core import Metric
    from starlette.middleware import Middleware
    from starlette.requests import HTTPConnection, Request
    from starlette.responses import Response
    from starlette.routing import BaseRoute
    from starlette.types import ASGIApp

    from buntime_host.access import Action, CheckLimits
    from buntime_host.described import Operation
    from buntime_host.http.passage import RequestPassage
    from buntime_host.plugins.background import Claim
    from buntime_host.plugins.context import AppInfo, PluginContext
    from buntime_host.plugins.fallback import Fallback

PROJECT = "buntime"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
"""Marks a method of a plugin as the implementation of the hook of the same name."""


@hookspec
def check_options(
    options: Mapping[str, Any], environ: Mapping[str, str]
) -> Iterable[str] | Awaitable[Iterable[str]]:
    """Read the options as `on_init` does, and open nothing: for `buntime check`.

    Raise `OptionError` for options that `on_init` would refuse, and return a sentence for each one
    that is probably not meant.
    """
    raise NotImplementedError  # specifications are never called


@hookspec
def on_init(ctx: PluginContext) -> Awaitable[None] | None:
    """Open what the plugin needs. Runs once, after the hard dependencies; cancelled after 30 s."""


@hookspec
def provides() -> Any:
    """Return the service that other plugins get from `ctx.get_plugin(name)`. After `on_init`."""


@hookspec
def routes() -> Sequence[BaseRoute] | ASGIApp | Awaitable[Sequence[BaseRoute] | ASGIApp | None]:
    """Return Starlette routes or any ASGI application, to be served below the plugin's base."""
    raise NotImplementedError  # specifications are never called


@hookspec
def openapi() -> Iterable[Operation] | Awaitable[Iterable[Operation]]:
    """Return descriptions of the routes, where `routes` gives an application.

    For a list of routes the host has them already: the docstrings of their endpoints.
    """
    raise NotImplementedError  # specifications are never called


@hookspec
def fallback() -> Fallback | Awaitable[Fallback | None] | None:
    """Return the application for paths that are below no plugin's base; one plugin may have it.

    Requests below bases do not come there, so they stay on the direct way.
    """


@hookspec
def permissions() -> Mapping[str, Action] | Awaitable[Mapping[str, Action]]:
    """Return the plugin's permissions, by the name of each action.

    A plugin with this hook asks `request.state.principal` before it does anything. For one without
    it, the host asks for the permission to do everything: `my-plugin:*`.
    """
    raise NotImplementedError  # specifications are never called


@hookspec
def limits() -> CheckLimits | Awaitable[CheckLimits]:
    """Return a check of the limits of a key for the plugin, which runs before the key is made.

    It is called with the part of the key's `limits` for the plugin, and raises `ValueError`, with
    what would be right, for meaningless ones. Without this hook the plugin has to cope with any
    value.
    """
    raise NotImplementedError  # specifications are never called


@hookspec
def aliases() -> Mapping[str, str] | Awaitable[Mapping[str, str]]:
    """Return older paths that keep working: `{"/_/my-plugin": "/api"}`, below the base.

    A request to `/_/my-plugin/x` is then one to `/base/api/x`, for hooks as well.
    """
    raise NotImplementedError  # specifications are never called


@hookspec
def middleware() -> Sequence[Middleware] | Awaitable[Sequence[Middleware]]:
    """Return Starlette middleware around all plugins; that of the first plugin is outermost."""
    raise NotImplementedError  # specifications are never called


@hookspec
def passage() -> RequestPassage | Awaitable[RequestPassage | None] | None:
    """Return a passage, which sees every request without sending it by ASGI: see `RequestPassage`.

    That of the first plugin is outermost, and outside of `middleware`.
    """


@hookspec
def on_request(request: Request | HTTPConnection, app: AppInfo | None) -> Any:
    """See every request that is not for the host itself, also websocket handshakes.

    Return a `Response` to answer it, a `Request` to replace it, None to let it pass. An exception
    answers 503, because letting the request pass would skip whatever this hook checks.
    """


@hookspec
def on_response(response: Response, app: AppInfo, request: Request) -> Any:
    """See the head of every plugin response: change status or headers in place, or return another.

    The body streams afterwards and is not in `response`. An exception is logged and ignored.
    """


@hookspec
def on_server_start(server: Any) -> Awaitable[None] | None:
    """Run once the socket listens; `server` is the uvicorn server, or None under another one."""


@hookspec
def on_shutdown() -> Awaitable[None] | None:
    """Release everything. Reverse order, 10 s each; also runs after a failed `on_init`."""


@hookspec
def claims() -> Claim | Awaitable[Claim | None] | None:
    """Return `claim(name, seconds)`, which is true for one of all hosts that share a store.

    It serves `ctx.every(…, once=True)` of all plugins; that of the first plugin counts.
    """


@hookspec
def menus() -> Sequence[Mapping[str, Any]] | Awaitable[Sequence[Mapping[str, Any]]]:
    """Return menu items `{title, icon, path, items?}`; they replace those of the manifest."""
    raise NotImplementedError  # specifications are never called


@hookspec
def metrics() -> Iterable[Metric] | Awaitable[Iterable[Metric]]:
    """Return metric families of `prometheus_client`, measured now; `/metrics` gathers them."""
    raise NotImplementedError  # specifications are never called


@hookspec
def diagnose() -> Sequence[str] | Awaitable[Sequence[str]]:
    """Look through all data of the plugin; return a sentence for each problem.

    For `buntime doctor`; it may take minutes, which `health` must not.
    """
    raise NotImplementedError  # specifications are never called


@hookspec
def health() -> Any:
    """Return True or None when well; False, or a text with the problem, makes it not ready."""


HOOKS = tuple(
    sorted(name for name, value in [*globals().items()] if hasattr(value, f"{PROJECT}_spec"))
)
"""The names of all hooks."""
