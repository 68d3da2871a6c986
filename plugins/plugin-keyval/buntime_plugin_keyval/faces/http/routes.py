"""The routes: which endpoint serves which path and method.

What a route takes is declared next to its endpoint. Fixed paths are keys of a dict. Only the paths
of keys, and one segment of some paths of features, vary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from buntime_plugin_keyval.faces.http import atomic, keys, lives, metrics, ranges, sets
from buntime_plugin_keyval.faces.http.keys import KEYS_PATH
from buntime_plugin_keyval.features.feature import AnyFeature
from buntime_plugin_keyval.requests.asked import AnyRoute

Methods = Mapping[str, AnyRoute]

_OF_SERVICE: Mapping[str, Methods] = {
    "/keys": {"GET": ranges.LIST, "DELETE": ranges.DELETE_BELOW},
    "/keys/list": {"POST": ranges.LIST_BY_BODY},
    "/keys/count": {"GET": ranges.COUNT, "POST": ranges.COUNT_BY_BODY},
    "/keys/paginate": {"GET": ranges.PAGINATE, "POST": ranges.PAGINATE_BY_BODY},
    "/keys/batch": {"POST": keys.BATCH},
    "/keys/delete-batch": {"POST": keys.DELETE_BATCH},
    "/keys/set-batch": {"POST": sets.SET_BATCH},
    "/keys/touch": {"POST": lives.TOUCH},
    "/keys/persist": {"POST": lives.PERSIST},
    "/atomic": {"POST": atomic.COMMIT},
    "/transaction": {"POST": atomic.TRANSACTION},
    "/health": {"GET": metrics.HEALTH},
    "/metrics": {"GET": metrics.METRICS},
    "/metrics/prometheus": {"GET": metrics.PROMETHEUS_METRICS},
}

# A key of one part may be spelt like a fixed route; methods that the route lacks reach the key.
KEY: Methods = {"GET": keys.GET, "PUT": keys.PUT, "PATCH": keys.PATCH, "DELETE": keys.DELETE}

API_PATH = b"/api"
BELOW_API = API_PATH + b"/"
BELOW_KEYS = API_PATH + KEYS_PATH

KEY_TEMPLATE = "/api/keys/{key}"

NOTHING: Methods = {}


class StoreRoutes:
    """The routes of a store with these features."""

    def __init__(self, features: Sequence[AnyFeature]) -> None:
        self.paths: dict[str, Methods] = dict(_OF_SERVICE)
        """Methods by path, where `{id}` is the varying segment; without the paths of keys."""
        for feature in features:
            for path, methods in feature.routes.items():
                if path in self.paths or path.startswith("/keys/"):
                    raise ValueError(f"{feature.name} cannot serve {path}: it is served already")
                self.paths[path] = {
                    method: _of_part(feature.name, route) for method, route in methods.items()
                }
        self._fixed: dict[bytes, Methods] = {}
        self._varying: dict[bytes, Methods] = {}
        """Methods by path, where the varying segment is empty."""
        self._templates: dict[bytes, str] = {}
        for path, methods in self.paths.items():
            if "{" in path:
                segments = ["" if part.startswith("{") else part for part in path.split("/")]
                blank = "/".join(segments).encode()
                self._varying[blank] = methods
                self._templates[blank] = f"/api{path}"
            else:
                self._fixed[path.encode()] = methods
                self._templates[path.encode()] = f"/api{path}"
        self.streams = frozenset(
            API_PATH + path
            for path, methods in self._fixed.items()
            if any(route.is_stream for route in methods.values())
        )
        """The paths of event streams below the plugin's base, all of which are fixed."""
        self._below_keys = {
            API_PATH + path: methods
            for path, methods in self._fixed.items()
            if path.startswith(KEYS_PATH)
        }
        self._most_segments = max((path.count(b"/") for path in self._varying), default=0) + 1

    def find(self, path: bytes, method: str) -> Methods:
        """The methods of a path; those of keys for a key's path, unless a fixed route has it."""
        fixed = self._fixed.get(path, NOTHING)
        if method in fixed:
            return fixed
        if path.startswith(KEYS_PATH):
            return {**KEY, **fixed} if fixed else KEY
        if fixed:
            return fixed
        return self._varying.get(self._blank(path.removesuffix(b"/").split(b"/")), NOTHING)

    def route_of(self, method: str, path: bytes) -> str | None:
        """The route of a path below the base, `/api/keys/{key}` for a key; None without one."""
        if method == "HEAD":
            method = "GET"
        if path.startswith(BELOW_KEYS) and method not in self._below_keys.get(path, NOTHING):
            return KEY_TEMPLATE if method in KEY else None
        if not path.startswith(BELOW_API):
            return None
        path = path[len(API_PATH) :]
        if method in self._fixed.get(path, NOTHING):
            return self._templates[path]
        blank = self._blank(path.removesuffix(b"/").split(b"/"))
        return self._templates[blank] if method in self._varying.get(blank, NOTHING) else None

    def _blank(self, segments: list[bytes]) -> bytes:
        """A path with an empty varying segment; empty if there is no such route."""
        if len(segments) <= self._most_segments:
            # The varying segment furthest to the right counts: `/tasks/limits/<name>`.
            for place in reversed(range(2, len(segments))):
                if segments[place]:
                    path = b"/".join([*segments[:place], b"", *segments[place + 1 :]])
                    if path in self._varying:
                        return path
        return b""


def _of_part(name: str, route: AnyRoute) -> AnyRoute:
    """The route of a feature, adapted to take the whole service."""
    ask, large = route.ask, route.large
    return msgspec.structs.replace(
        route,
        ask=lambda service, request: ask(service.parts[name], request),
        large=None if large is None else lambda service: large(service.parts[name]),
        said=route.said or ask,
    )
