"""Computes the order in which plugins start, and which cannot start at all."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Mapping, Sequence

import msgspec

from buntime_host.names import known_name


class Node(msgspec.Struct, frozen=True, kw_only=True):
    """A plugin as the resolver needs it."""

    name: str
    dependencies: tuple[str, ...] = ()
    optional_dependencies: tuple[str, ...] = ()


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """Names in starting order, and a reason for each plugin that is left out."""

    order: tuple[str, ...]
    excluded: Mapping[str, str]


def resolve(
    nodes: Sequence[Node], *, disabled: Collection[str] = (), not_listed: Collection[str] = ()
) -> Resolution:
    """Sort `nodes` so that each comes after its dependencies; ties keep the given order.

    A plugin with a missing hard dependency is excluded, and so is whatever depends on it. Members
    of a cycle are excluded together; an optional dependency that is present counts as an edge.
    """
    present = {node.name: node for node in nodes}
    excluded: dict[str, str] = {}
    _exclude_unsatisfied(present, excluded, disabled, not_listed)
    edges = _edges(present)
    order = _kahn(edges)
    stuck = [name for name in present if name not in order]
    if stuck:
        for name in stuck:
            cycle = _cycle_through(name, edges)
            if cycle:
                excluded[name] = f"dependency cycle: {' → '.join(cycle)}"
                del present[name]
        _exclude_unsatisfied(present, excluded, disabled, not_listed)
        # A plugin that optionally depended on a member of the cycle can start without it.
        order = _kahn(_edges(present))
    return Resolution(order=tuple(order), excluded=excluded)


def _exclude_unsatisfied(
    present: dict[str, Node],
    excluded: dict[str, str],
    disabled: Collection[str],
    not_listed: Collection[str],
) -> None:
    changed = True
    while changed:
        changed = False
        for node in list(present.values()):
            reasons = [
                f"requires {dependency}, {why}"
                for dependency in node.dependencies
                if (why := _why_absent(dependency, present, excluded, disabled, not_listed))
            ]
            if reasons:
                excluded[node.name] = "; ".join(reasons)
                del present[node.name]
                changed = True


def _why_absent(
    name: str,
    present: Mapping[str, Node],
    excluded: Mapping[str, str],
    disabled: Collection[str],
    not_listed: Collection[str],
) -> str | None:
    if known_name(name, present) is not None:
        return None
    gone = known_name(name, excluded)
    if gone is not None:
        return f"which was excluded ({excluded[gone]})"
    if known_name(name, disabled) is not None:
        return "which is disabled"
    if known_name(name, not_listed) is not None:
        return "which is installed but not listed in plugins"
    return "which is not installed"


def _edges(present: Mapping[str, Node]) -> dict[str, list[str]]:
    """For each plugin, those present ones that must start before it."""
    edges: dict[str, list[str]] = {}
    for node in present.values():
        names = (
            known_name(name, present) for name in (*node.dependencies, *node.optional_dependencies)
        )
        edges[node.name] = list(dict.fromkeys(name for name in names if name is not None))
    return edges


def _kahn(edges: Mapping[str, Sequence[str]]) -> list[str]:
    waiting = {name: len(before) for name, before in edges.items()}
    after: dict[str, list[str]] = {name: [] for name in edges}
    for name, before in edges.items():
        for other in before:
            after[other].append(name)
    queue = deque(name for name, count in waiting.items() if count == 0)
    order = []
    while queue:
        name = queue.popleft()
        order.append(name)
        for other in after[name]:
            waiting[other] -= 1
            if waiting[other] == 0:
                queue.append(other)
    return order


def _cycle_through(start: str, edges: Mapping[str, Sequence[str]]) -> list[str] | None:
    """A shortest path from `start` along its dependencies back to itself."""
    paths: deque[list[str]] = deque([[start]])
    seen: set[str] = set()
    while paths:
        path = paths.popleft()
        for name in edges[path[-1]]:
            if name == start:
                return [*path, start]
            if name not in seen:
                seen.add(name)
                paths.append([*path, name])
    return None
