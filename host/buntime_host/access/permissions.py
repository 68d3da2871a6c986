"""Permissions that exist: the actions of the host and of each plugin, and roles.

A scope is the text `<plugin>:<action>[:<resource>]`. Only the plugin knows what a resource is, and
declares it with its actions, in the hook `permissions`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from buntime_host.access.spans import EVERYTHING, Spans
from buntime_host.errors import BadRequest
from buntime_host.names import PREFIX, SCOPE

ALL = "*"
"""As an action, all actions of a plugin; as a scope, everything."""

HOST = "host"
"""The name of the host itself in scopes."""

INVALID_PERMISSION = "INVALID_PERMISSION"


def text_prefix(resource: str) -> bytes:
    """The usual grammar of resources: names, where a scope covers all names with its prefix."""
    return resource.encode()


class Action(NamedTuple):
    """One action that users of a plugin may be permitted."""

    resource: Callable[[str], bytes] | None = None
    """Turns the text of a resource into a prefix of bytes (see `Spans`).

    Raises `ValueError`, with what would be right. None for an action that has no resource.
    """
    covers: tuple[str, ...] = ()
    """Other actions of the same plugin that this one includes, on the same resource; `*` for all.
    """
    doc: str = ""
    """A description for people."""


Actions = Mapping[str, Action]

CheckLimits = Callable[[Any], None]
"""Raises `ValueError` for limits of a key that mean nothing to the plugin."""

_HOST_ACTIONS = (
    "apps:read", "apps:install", "apps:remove",
    "plugins:read", "plugins:install", "plugins:remove", "plugins:config",
    "keys:read", "keys:create", "keys:revoke",
    "workers:read", "workers:restart",
    "metrics:read",
)  # fmt: skip

HOST_PERMISSIONS: Actions = {name: Action() for name in _HOST_ACTIONS}
"""The actions of the host's own API. In a grant they may stand without `host:`."""

ROLES: Mapping[str, tuple[str, ...]] = {
    "admin": (ALL,),
    "editor": (
        "apps:read", "apps:install", "apps:remove",
        "plugins:read", "plugins:install", "plugins:remove", "plugins:config",
        "workers:read", "workers:restart",
    ),
    "viewer": ("apps:read", "plugins:read", "workers:read", "keys:read"),
}  # fmt: skip
"""Named grants. `admin` may do everything, in plugins too; the others are for the host's API."""


def short_name(plugin: str) -> str:
    """The name of a plugin in scopes: `keyval` for `@buntime/plugin-keyval`, `greeter` for
    `@example/greeter`.
    """
    for prefix in (PREFIX, SCOPE):
        if plugin.startswith(prefix):
            return plugin.removeprefix(prefix)
    return plugin.rpartition("/")[2].removeprefix("plugin-")


class Permissible:
    """All permissions of one host."""

    def __init__(
        self,
        plugins: Mapping[str, Actions] | None = None,
        limits: Mapping[str, CheckLimits] | None = None,
    ) -> None:
        """`plugins` are the actions of each, by its short name; `limits` checks the limits of each.

        A plugin without actions has `*` alone, which the host then asks for.
        """
        self.plugins: dict[str, Actions] = {HOST: HOST_PERMISSIONS, **(plugins or {})}
        """The actions of the host and of each plugin."""
        self._limits = limits or {}

    def check_limits(self, limits: Mapping[str, Any]) -> None:
        """Raise `BadRequest` with the code `INVALID_LIMITS` for limits that would limit nothing."""
        for plugin, given in limits.items():
            if plugin not in self.plugins:
                known = ", ".join(sorted(self.plugins))
                raise _invalid_limits(f"there is no plugin {plugin!r}; there are {known}")
            check = self._limits.get(plugin)
            if check is not None:
                try:
                    check(given)
                except ValueError as error:
                    raise _invalid_limits(f"limits.{plugin}: {error}") from error

    def spans_of(self, text: str) -> Mapping[str, Spans]:
        """Compile the text of one scope into spans of resources by `<plugin>:<action>`.

        Raises `BadRequest` with the code `INVALID_PERMISSION`.
        """
        plugin, _, rest = text.partition(":")
        if f"{plugin}:{rest.partition(':')[0]}" in _HOST_ACTIONS and plugin not in self.plugins:
            plugin, rest = HOST, text
        actions = self.plugins.get(plugin)
        if actions is None:
            known = ", ".join(sorted(self.plugins))
            raise invalid(text, f"there is no plugin {plugin!r}; there are {known}")
        if rest == ALL:
            return _all_of(plugin, actions, EVERYTHING)
        name = _action(rest, actions)
        if name is None:
            known = ", ".join([*actions, ALL])
            raise invalid(text, f"the actions of {plugin} are {known}")
        spans = _spans(text, actions[name], rest[len(name) + 1 :] or None)
        return _with_covered(plugin, name, actions, spans)


def _invalid_limits(reason: str) -> BadRequest:
    return BadRequest(f"Invalid limits: {reason}", code="INVALID_LIMITS")


def _action(rest: str, actions: Iterable[str]) -> str | None:
    """Return the action at the beginning of the part behind a plugin's name."""
    found = [name for name in actions if rest == name or rest.startswith(f"{name}:")]
    return max(found, key=len, default=None)


def _spans(text: str, action: Action, resource: str | None) -> Spans:
    if resource is None:
        if text.endswith(":"):
            raise invalid(text, "it ends with a colon, and no resource")
        return EVERYTHING
    if action.resource is None:
        raise invalid(text, "this action has no resource")
    try:
        return Spans([action.resource(resource)])
    except ValueError as error:
        raise invalid(text, str(error)) from None


def _with_covered(plugin: str, name: str, actions: Actions, spans: Spans) -> dict[str, Spans]:
    if ALL in actions[name].covers:
        return _all_of(plugin, actions, spans)
    found: dict[str, Spans] = {}
    waiting = [name]
    while waiting:
        action = waiting.pop()
        scope = f"{plugin}:{action}"
        if scope not in found:
            found[scope] = spans
            waiting += actions[action].covers
    return found


def _all_of(plugin: str, actions: Actions, spans: Spans) -> dict[str, Spans]:
    return {f"{plugin}:{action}": spans for action in (*actions, ALL)}


def invalid(text: str, reason: str) -> BadRequest:
    """The error about a permission that means nothing."""
    return BadRequest(f"Invalid permission: {text!r:.200}: {reason}", code=INVALID_PERMISSION)
