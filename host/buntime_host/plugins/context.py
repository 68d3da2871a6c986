"""The host as a plugin sees it: the object given to `on_init`, and the values within it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from buntime_host.errors import MissingService
from buntime_host.plugins.background import Background, Work
from buntime_host.workers import Workers

if TYPE_CHECKING:
    from starlette.requests import HTTPConnection

ServiceT = TypeVar("ServiceT")

# No structs: a command that only prints its help imports this, and needs no msgspec.


@dataclass(frozen=True, slots=True)
class Runtime:
    """Facts about the running host, as in `/.well-known/buntime`."""

    api: str
    """Path of the host's own API, `/api` unless a prefix is configured."""
    version: str


@dataclass(frozen=True, slots=True)
class GlobalConfig:
    """Host settings that plugins may need."""

    plugin_dirs: tuple[Path, ...]
    environment: str
    """`development`, `staging`, `production` or `test`."""


@dataclass(frozen=True, slots=True)
class AppInfo:
    """The plugin that a request is for, as request hooks see it."""

    name: str
    """Base without its leading slash; `root` for `/`."""
    plugin: str
    """Name in the manifest."""
    version: str
    dir: Path
    config: Mapping[str, Any]
    public_routes: Any
    """`publicRoutes` as configured: paths that an authentication plugin should let pass."""


def _nothing(_: str) -> None:
    """For a context without a host."""


def _no_base(_: str) -> None:
    """The same."""


def _nobody(_: HTTPConnection, __: str) -> None:
    """The same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginContext:
    """Given to `on_init`; a plugin may keep it for its whole life."""

    name: str
    """Name in the manifest."""
    base: str | None
    """Mount path such as `/keyval`; None when nothing is served."""
    config: dict[str, Any]
    """Effective options, as the factory got them: environment over buntime.jsonc over manifest."""
    environ: Mapping[str, str]
    """The environment of the host, for settings that options leave to it; in a test, or for a store
    in this process, it may be empty."""
    global_config: GlobalConfig
    logger: logging.Logger
    """Named `plugin:<name>`."""
    runtime: Runtime
    base_dir: Path
    """Folder of buntime.jsonc: relative paths in options start here."""
    closing: asyncio.Event
    """Set when shutdown is announced; long-lived streams must then end by themselves."""
    lookup: Callable[[str], Any]
    """Finds a service by name; use `get_plugin`."""
    background: Background
    """The plugin's tasks; use `spawn` and `every`."""
    authorize: Callable[[HTTPConnection], None]
    """Raises `Unauthorized`, or `PermissionDenied`, unless the request has a key that permits
    everything of this plugin; never on an open host. See `request.state.principal`."""
    add_token: Callable[[str], None] = _nothing
    """Accepts a token of a plugin's option, with all permissions of this plugin: the host asks for
    a credential before a plugin sees a request."""
    recognise: Callable[[HTTPConnection, str], None] = _nobody
    """Recognises the owner of a credential that was sent by another way than a header; from then on
    that is the connection's principal. Raises `Unauthorized`, and `TooManyRequests`."""
    mounted_at: Callable[[str], str | None] = _no_base
    """Returns whose base a path begins with, as it was sent: the name of a plugin, or `host` for
    the host's own paths; None for paths that are left to `fallback()`. Valid once all plugins are
    up."""
    workers: Workers
    """The processes that serve the same configuration, each with all plugins; see `workers`."""
    client_of: Callable[[Mapping[str, Any]], str | None]
    """Returns the client that a request with this ASGI scope counts for, for limits of one client:
    an address or a network; None where clients cannot be told apart, as on this machine. See
    `trustedProxies`."""

    def spawn(
        self,
        work: Coroutine[Any, Any, object] | Work,
        *,
        name: str | None = None,
        restart: bool = False,
    ) -> asyncio.Task[None]:
        """Run a coroutine, or what a function makes, until it ends or the plugin shuts down.

        A failure is logged with its traceback, under `name` or that of the function, and counted
        in `/metrics`. With `restart` the function is called again after it, first in a second,
        then in two, up to a minute. All tasks are cancelled before `on_shutdown`. Raises
        `TypeError`, and `RuntimeError` once the plugin shuts down.
        """
        return self.background.spawn(work, name=name, restart=restart)

    def every(
        self,
        interval: object,
        work: Callable[[], object],
        *,
        name: str | None = None,
        once: bool = False,
    ) -> asyncio.Task[None]:
        """Call a function, plain or async, every `interval`: milliseconds, or a text such as
        `"1m"`.

        The first time is after one interval. A call that fails is logged and counted, and the next
        one comes all the same; one that takes longer than the interval leaves times out.

        With `once` it is called once over all workers, and over all hosts that share the store of a
        plugin with `claims()`, such as plugin-keyval; at the full minute, hour and so on, by the
        wall clock. It may then be called by one of them while another one is not done yet, if it
        takes longer than the interval. Names must differ, at least 1 s must be between.

        Raises `ValueError` and `TypeError` for what is none of this.
        """
        return self.background.every(interval, work, name=name, once=once)

    @overload
    def get_plugin(self, name: str) -> Any: ...
    @overload
    def get_plugin(self, name: str, kind: Callable[..., ServiceT]) -> ServiceT | None: ...
    def get_plugin(self, name: str, kind: Callable[..., Any] | None = None) -> Any:
        """Return the service of plugin `name`, or None if it is unknown, has failed, is not up yet
        or is shut down.

        `@buntime/keyval` and `@buntime/plugin-keyval` are the same name. Asking for a plugin that
        the manifest does not declare as a dependency is logged once.

        `kind`, a class or a `Protocol`, is the type of the service for the type checker, and is
        checked: `MissingService` says what the service lacks.
        """
        # A protocol cannot be a `type[ServiceT]`, which promises that it can be called.
        service = self.lookup(name)
        if kind is not None and service is not None:
            _check_kind(self.name, name, service, kind)
        return service

    def getPlugin(self, name: str) -> Any:
        """Same as `get_plugin`, with its name in Buntime's documents."""
        return self.lookup(name)

    @overload
    def require_plugin(self, name: str) -> Any: ...
    @overload
    def require_plugin(self, name: str, kind: Callable[..., ServiceT]) -> ServiceT: ...
    def require_plugin(self, name: str, kind: Callable[..., Any] | None = None) -> Any:
        """Same as `get_plugin`, but raises `MissingService` where that returns None."""
        service = self.lookup(name)
        if service is None:
            raise MissingService(
                f"{self.name} needs the service of {name}, which is not available: it is not"
                " loaded, failed, provides nothing, or was shut down"
            )
        if kind is not None:
            _check_kind(self.name, name, service, kind)
        return service


def _check_kind(asker: str, name: str, service: object, kind: Callable[..., Any]) -> None:
    """Raise `MissingService` unless the service has the type `kind`."""
    if not isinstance(kind, type):
        raise TypeError(f"a service is of a class or of a Protocol, not of {kind!r}")
    if getattr(kind, "_is_protocol", False):
        missing = sorted(
            member
            for base in kind.__mro__
            if getattr(base, "_is_protocol", False)
            for member in {*vars(base), *vars(base).get("__annotations__", {})}
            if not member.startswith("_") and not hasattr(service, member)
        )
        lacks = f"lacks {', '.join(missing)}" if missing else ""
    else:
        lacks = "" if isinstance(service, kind) else f"is none, but a {type(service).__qualname__}"
    if lacks:
        raise MissingService(
            f"{asker} needs a {kind.__qualname__} of {name}, and the service of that {lacks}"
        )
