"""Finds the mount of a request: by its first path segment, or by an older name of it."""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote

from starlette.types import Scope

from buntime_host.errors import NotFound
from buntime_host.http.passage import BARE_BASE
from buntime_host.routing.aliases import Aliases
from buntime_host.routing.mounts import Mount

OF_THE_HOST = "host"
"""Owner of the bases that belong to no plugin."""


class MountTable:
    """The mounts of a host. The result is noted in the scope: paths as the mount has them."""

    def __init__(
        self, mounts: Mapping[str, Mount], aliases: Aliases, fallback: Mount | None = None
    ) -> None:
        """`fallback` is the mount of all paths below none of the others."""
        self._aliases = aliases
        self._fallback = fallback
        # Paths that share their first segment with an alias need the look for aliases first.
        self._behind_aliases = {
            base: mount for base, mount in mounts.items() if base in aliases.first_segments
        }
        self.by_segment = {
            base: mount for base, mount in mounts.items() if base not in self._behind_aliases
        }
        """Mounts that the first segment of a path alone determines."""

    def at(self, base: str) -> Mount:
        """The mount of a plugin. Raises `NotFound`."""
        mount = self.by_segment.get(base)
        if mount is None:
            raise NotFound
        return mount

    @property
    def first_segments(self) -> frozenset[str]:
        """Beginnings of paths that are not for the fallback, percent-encoding aside."""
        mounts = {*self.by_segment, *self._behind_aliases}
        return frozenset(mounts | set(self._aliases.first_segments))

    def whose(self, path: str) -> str | None:
        """The plugin whose base a path begins with, percent-encoded; None if there is none."""
        scope: Scope = {"path": unquote(path), "raw_path": path.encode()}
        mount = self.find(scope)
        if mount is None or mount is self._fallback:
            return None
        return mount.info.plugin if mount.info is not None else OF_THE_HOST

    def find(self, scope: Scope) -> Mount | None:
        """The mount of the first path segment, or the one for all others; None without one."""
        path: str = scope["path"]
        if scope.get("root_path"):
            return self._find_below_root(scope)
        end = path.find("/", 1)
        mount = self.by_segment.get(path if end < 0 else path[:end])
        if mount is None:
            if self._aliases.rewrite(scope):
                return self.find(scope)
            mount = self._behind_aliases.get(path if end < 0 else path[:end])
            if mount is None:
                return self._fallback
        raw = scope.get("raw_path")
        if end < 0 or (raw is not None and not raw.startswith(mount.raw_prefix)):
            return self._uncommon(scope, mount)
        return mount

    def _uncommon(self, scope: Scope, mount: Mount) -> Mount | None:
        """The bare base, a base with percent-encoded characters, two slashes."""
        raw: bytes | None = scope.get("raw_path")
        if raw is not None:
            end = raw.find(b"/", 1)
            if unquote((raw if end < 0 else raw[:end]).decode("latin-1")) != mount.base:
                return self._fallback  # an encoded slash: the segment is longer than it looks
            # A plugin may cut its base off raw_path by length.
            scope["raw_path"] = mount.base.encode() + (b"" if end < 0 else raw[end:])
        if mount.base == "/" and self._fallback is not None and scope["path"] != "/":
            return self._fallback  # the first segment is empty: that is not the one path of `/`
        if scope["path"] == mount.base != "/" and not mount.handles_bare_base:
            scope["path"] += "/"
            scope[BARE_BASE] = True
            if raw is not None:
                scope["raw_path"] += b"/"
        return mount

    def _find_below_root(self, scope: Scope) -> Mount | None:
        """The same for a host that is itself served below a path."""
        root: str = scope["root_path"]
        rest = scope["path"].removeprefix(root)
        if not rest:
            return self.by_segment.get("/")  # which sees that there is no slash
        raw, raw_root = scope.get("raw_path"), root.encode()
        if raw is not None and not raw.startswith(raw_root):
            return self._fallback
        below: Scope = {"path": rest}
        if raw is not None:
            below["raw_path"] = raw[len(raw_root) :]
        mount = self.find(below)
        scope["path"] = root + below["path"]
        if BARE_BASE in below:
            scope[BARE_BASE] = True
        if raw is not None:
            scope["raw_path"] = raw_root + below["raw_path"]
        return mount
