"""The table of all rules in force, prepared for matching."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from buntime_host.access.public import PublicRoutes

from buntime_plugin_proxy.rules.patterns import LONGEST_PATH, Template, chooser, compiled
from buntime_plugin_proxy.rules.rule import Rule
from buntime_plugin_proxy.upstream.origin import Origin

MOST_KNOWN = 2048
"""Most paths whose rule is remembered; when there are more, all are forgotten."""
KNOWN_BYTES = 256
"""Longer paths are matched each time."""
_DEFAULT_PORTS = {False: 80, True: 443}


class ReadyRule:
    """A rule, prepared as far as possible before requests come."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.pattern: Any = compiled(rule.pattern)
        self.template = (
            Template(rule.rewrite, self.pattern.groups) if rule.rewrite is not None else None
        )
        self.public = PublicRoutes(rule.public_routes, "/")
        url = urlsplit(rule.target)
        tls = url.scheme in ("https", "wss")
        host = url.hostname or ""
        port = url.port or _DEFAULT_PORTS[tls]
        self.origin = Origin(tls, host, port, rule.secure)
        name = f"[{host}]" if ":" in host else host
        self.authority = (name if port == _DEFAULT_PORTS[tls] else f"{name}:{port}").encode()
        """The `Host` header for the target."""
        self.origin_header = (b"https://" if tls else b"http://") + self.authority
        self.prefix = url.path.rstrip("/").encode() if rule.target_path == "join" else b""
        """The prefix of each path."""
        self.headers = [
            (name.lower().encode(), value.encode()) for name, value in (rule.headers or {}).items()
        ]
        self.set_names = frozenset(name for name, _ in self.headers)


class RuleMatch(NamedTuple):
    """The rule for a path, and the path at its target."""

    ready: ReadyRule
    path: bytes
    """Begins with one slash, so that no target takes the text behind two of them for a host."""


class RuleTable:
    """Rules in the order in which they are tried. A table is never changed, only replaced."""

    def __init__(self, static: Iterable[Rule] = (), dynamic: Iterable[Rule] = ()) -> None:
        self.static = tuple(static)
        self.dynamic = tuple(sorted(dynamic, key=lambda rule: (rule.order, rule.id)))
        self._ready = [ReadyRule(rule) for rule in (*self.static, *self.dynamic) if rule.enabled]
        self._choose = chooser([ready.rule.pattern for ready in self._ready])
        self._known: dict[tuple[bytes, bool], RuleMatch | None] = {}

    def __bool__(self) -> bool:
        return bool(self._ready)

    def find(self, id: str) -> Rule | None:
        """The rule with this id."""
        return next((rule for rule in (*self.static, *self.dynamic) if rule.id == id), None)

    def match(self, path: bytes, *, websocket: bool = False) -> RuleMatch | None:
        """The first rule whose pattern matches a path, percent-encoded as it was sent.

        For a websocket only rules that let those pass count.
        """
        try:
            return self._known[path, websocket]
        except KeyError:
            pass
        if not self._ready or len(path) > LONGEST_PATH:
            return None
        found = self._look_for(path, websocket=websocket)
        if len(path) <= KNOWN_BYTES:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            self._known[path, websocket] = found
        return found

    def _look_for(self, path: bytes, *, websocket: bool) -> RuleMatch | None:
        for index in self._choose(path):
            ready = self._ready[index]
            if not websocket or ready.rule.ws:
                return RuleMatch(ready, _target_path(ready, path))
        return None

    def is_public(self, method: str, path: bytes) -> bool:
        """Whether a path needs no credential by any of its rules."""
        if not self._ready or len(path) > LONGEST_PATH:
            return False
        chosen: Sequence[int] = self._choose(path)
        return any(self._ready[index].public.has(method, path) for index in chosen)


def _target_path(ready: ReadyRule, path: bytes) -> bytes:
    if ready.template is not None:
        found = ready.pattern.search(path)
        path = ready.template.filled(found.group)
    return ready.prefix + b"/" + path.lstrip(b"/")
