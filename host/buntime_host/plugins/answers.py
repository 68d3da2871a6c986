"""What hooks of a plugin answer at its start, checked. All raise `InvalidPlugin`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from starlette.middleware import Middleware

from buntime_host.access import Action, Actions, text_prefix
from buntime_host.access.permissions import ALL
from buntime_host.errors import InvalidPlugin
from buntime_host.http.passage import RequestPassage
from buntime_host.plugins.fallback import Fallback
from buntime_host.plugins.manifest import menus_problem

if TYPE_CHECKING:
    from buntime_host.described import Operation


def permissions_of(value: Any, named: Collection[str]) -> Actions | None:
    """What its users may be permitted: as the hook has it, or the actions `named` in its manifest.

    None where there is neither: such a plugin does not ask.
    """
    if value is None:
        return {action: Action(text_prefix) for action in named} or None
    if not isinstance(value, Mapping) or not all(
        isinstance(name, str) and isinstance(action, Action) for name, action in value.items()
    ):
        raise InvalidPlugin("permissions() must return a mapping of names to Action")
    unknown = {name for action in value.values() for name in action.covers} - {*value, ALL}
    if unknown:
        raise InvalidPlugin(f"permissions() names actions that are not there: {sorted(unknown)}")
    return value


def function_of(value: Any, hook: str) -> Any:
    """The function that a hook returned, or None."""
    if value is not None and not callable(value):
        raise InvalidPlugin(f"{hook}() must return a function")
    return value


def middleware_of(value: Any) -> tuple[Middleware, ...]:
    """What all requests pass."""
    if value is None:
        return ()
    if not isinstance(value, Sequence) or not all(isinstance(item, Middleware) for item in value):
        raise InvalidPlugin("middleware() must return a sequence of starlette Middleware")
    return tuple(value)


def fallback_of(value: Any) -> Fallback | None:
    """What serves paths that are below no base."""
    if value is not None and not isinstance(value, Fallback):
        raise InvalidPlugin("fallback() must return a Fallback")
    return value


def passage_of(value: Any) -> RequestPassage | None:
    """What sees every request."""
    if value is not None and not isinstance(value, RequestPassage):
        raise InvalidPlugin("passage() must return a RequestPassage")
    return value


def menus_of(value: Any) -> tuple[dict[str, Any], ...] | None:
    """Entries of menus, or None."""
    if value is None:
        return None
    if (problem := menus_problem(value)) is not None:
        raise InvalidPlugin(f"menus() {problem}")
    return tuple(dict(item) for item in value)


def operations_in(value: Any) -> list[Operation]:
    """What is to be read of its routes."""
    from buntime_host.described import Operation

    operations = [*value] if isinstance(value, Iterable) else [value]
    if not all(isinstance(one, Operation) for one in operations):
        raise InvalidPlugin("openapi() must return Operations")
    return operations
