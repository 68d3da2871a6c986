"""Graphs: edges, and their form as ordinary entries."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from math import isnan
from typing import Any, Literal, NamedTuple, TypeAlias

import msgspec

from buntime_keyval._errors import InvalidValue
from buntime_keyval._results import KvEntry
from buntime_keyval.wire import BigInt, InvalidInput, Key, KeyLike, key_to_json
from buntime_keyval.wire.keys import KeyPart
from buntime_keyval.wire.numbers import format_integer
from buntime_keyval.wire.python_keys import checked_key, checked_prefix, is_rounded

Direction = Literal["out", "in", "both"]
"""Which way edges are followed: from their source, from their target, or either."""

WeightOf: TypeAlias = "Callable[[GraphEdge], float]"


class GraphNode(NamedTuple):
    """A node, which needs no entry of its own; equal to the tuple of its two parts."""

    type: str
    """Its type, such as `user`."""
    id: str | int
    """Which one it is."""


NodeLike: TypeAlias = GraphNode | tuple[str, str | int]


class GraphEdge(msgspec.Struct, frozen=True):
    """An edge of a type from one node to another; between two nodes there is one of each type."""

    source: GraphNode
    type: str
    target: GraphNode
    data: Any = None
    """The data that was stored with it."""
    versionstamp: str | None = None
    """The time of its last write."""


class EdgePage(msgspec.Struct, frozen=True):
    """One page of edges in the order of their nodes and types."""

    edges: list[GraphEdge]
    cursor: str | None
    """Where the next page starts; None on the last one."""
    has_more: bool


class GraphPath(msgspec.Struct, frozen=True):
    """A way through a graph: the nodes, and the edges between them."""

    nodes: tuple[GraphNode, ...]
    edges: tuple[GraphEdge, ...]
    weight: float = 0
    """The sum of the weights of the edges, or their number where they have none."""

    @property
    def depth(self) -> int:
        """The number of edges."""
        return len(self.edges)

    @property
    def end(self) -> GraphNode:
        """The last node."""
        return self.nodes[-1]

    def then(self, edge: GraphEdge, node: GraphNode, weight: float = 1) -> GraphPath:
        """A path of its own that goes one edge further."""
        return GraphPath((*self.nodes, node), (*self.edges, edge), self.weight + weight)


class Degree(NamedTuple):
    """The number of a node's edges."""

    incoming: int
    outgoing: int


class Walk(NamedTuple):
    """Which edges are followed, and how far."""

    max_depth: int | None
    types: list[str] | None
    direction: Direction
    where: Callable[[GraphEdge], bool] | None

    def goes_on_from(self, path: GraphPath) -> bool:
        """Whether a path may have another edge."""
        return self.max_depth is None or path.depth < self.max_depth

    def takes(self, edge: GraphEdge) -> bool:
        """Whether this edge is followed."""
        return self.where is None or self.where(edge)


class Layout:
    """The keys of one graph.

    `(…, "out", *source, type, *target)` and `(…, "in", *target, type, *source)` both hold the data
    of an edge and are written together, so each direction is one range of keys.
    """

    def __init__(self, prefix: KeyLike) -> None:
        self.prefix = checked_prefix(prefix)

    def keys(self, source: NodeLike, type: str, target: NodeLike) -> tuple[Key, Key]:
        """The two keys of an edge. Raises `InvalidInput`."""
        start, end = node_of(source), node_of(target)
        kind = checked_type(type, "edge")
        out = checked_key((*self.prefix, "out", *start, kind, *end))
        return out, checked_key((*self.prefix, "in", *end, kind, *start))

    def around(self, node: NodeLike, direction: Literal["out", "in"], type: str | None) -> Key:
        """The prefix of the edges of a node, of one type or of all."""
        kind = () if type is None else (checked_type(type, "edge"),)
        return checked_key((*self.prefix, direction, *node_of(node), *kind))

    def ranges(self, node: GraphNode, walk: Walk) -> list[Key]:
        """The prefixes of all edges of a node that may be walked, in the order of keys."""
        both: list[Literal["out", "in"]] = ["out", "in"]
        ways = both if walk.direction == "both" else [walk.direction]
        kinds = [None] if walk.types is None else walk.types
        return [self.around(node, way, kind) for way in ways for kind in kinds]

    def of_type(self, type: str | None) -> Key:
        """The prefix of the edges that start at nodes of a type, or at all."""
        kind = () if type is None else (checked_type(type, "node"),)
        return checked_key((*self.prefix, "out", *kind))

    def edge(self, entry: KvEntry[Any]) -> GraphEdge:
        """The edge in an entry. Raises `InvalidValue` if it is not one of ours."""
        parts = entry.key[len(self.prefix) :]
        try:
            way, first_type, first_id, kind, other_type, other_id = parts
            first = node_of((first_type, _whole(first_id)))
            other = node_of((other_type, _whole(other_id)))
            kind = checked_type(kind, "edge")
        except ValueError:
            shown = key_to_json(entry.key)
            raise InvalidValue(f"{shown} is not an edge: something else is in the graph") from None
        source, target = (first, other) if way == "out" else (other, first)
        return GraphEdge(source, kind, target, entry.value, entry.versionstamp)


def node_of(node: object) -> GraphNode:
    """A checked node. Raises `InvalidInput`."""
    if not (isinstance(node, (tuple, list)) and len(node) == 2):
        raise InvalidInput(
            f"a node must be (type, id), such as ('user', 1), received {node!r:.100}"
        )
    kind, identity = node
    if isinstance(identity, (bool, BigInt)) or not isinstance(identity, (str, int)):
        raise InvalidInput(f"the id of a node must be a text or an int, received {identity!r:.100}")
    if isinstance(identity, str):
        if not identity:
            raise InvalidInput("the id of a node must not be empty")
    elif is_rounded(identity):
        raise InvalidInput(
            "the id of a node that is an int must be a number that a double holds, as those up to"
            f" ±(2^53 - 1) are: use a text, such as {format_integer(identity)!r:.100}"
        )
    return GraphNode(checked_type(kind, "node"), identity)


def _whole(part: KeyPart) -> KeyPart:
    """A number part as the int that it was; those from 10^21 on come back as floats."""
    return int(part) if isinstance(part, float) and part.is_integer() else part


def label_of(node: GraphNode) -> str:
    """A node in one line of text, which no other node has.

    It is `type/id`. A part is in quotes, as in JSON, if it could be read in another way: a text
    that looks like an integer, a type with a slash, what cannot be printed.
    """
    kind, identity = node
    is_plain = kind.isprintable() and not kind.startswith('"') and "/" not in kind
    shown_kind = kind if is_plain else json.dumps(kind)
    if isinstance(identity, int):
        return f"{shown_kind}/{format_integer(identity)}"
    is_plain = identity.isprintable() and not identity.startswith('"')
    is_plain = is_plain and _INTEGER.fullmatch(identity) is None
    return f"{shown_kind}/{identity if is_plain else json.dumps(identity)}"


_INTEGER = re.compile("-?[0-9]+")


def checked_type(type: object, of: str) -> str:
    """The type of an edge or a node, a text that is not empty. Raises `InvalidInput`."""
    if not isinstance(type, str) or not type:
        raise InvalidInput(f"the type of {of}s must be a text that is not empty, received {type!r}")
    return type


def walk_of(
    max_depth: int | None,
    types: str | Iterable[str] | None,
    direction: Direction,
    where: Callable[[GraphEdge], bool] | None,
) -> Walk:
    """The parameters of a walk. Raises `InvalidInput`."""
    if max_depth is not None:
        checked_number("max_depth", max_depth, 0)
    if types is not None:
        given = [types] if isinstance(types, str) else list(types)
        if not given:
            raise InvalidInput("types is empty: leave it out for edges of all types")
        types = sorted({checked_type(it, "edge") for it in given})
    return Walk(max_depth, types, checked_direction(direction), where)


def checked_direction(direction: object) -> Direction:
    """One of the three directions. Raises `InvalidInput`."""
    for known in ("out", "in", "both"):
        if direction == known:
            return known
    raise InvalidInput(f'direction must be "out", "in" or "both", received {direction!r}')


def checked_number(name: str, value: object, least: int) -> int:
    """An integer from `least`. Raises `InvalidInput`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidInput(f"{name} must be an integer from {least}, received {value!r}")
    return value


def weights_of(weight: str | WeightOf) -> WeightOf:
    """The function that returns the weight of an edge, given as such or as the name of a member of
    its data.

    Its result must be a number that is not negative, or it raises `InvalidValue`.
    """

    def weigh(edge: GraphEdge) -> float:
        found: Any
        if callable(weight):
            found = weight(edge)
        else:
            found = edge.data.get(weight) if isinstance(edge.data, dict) else None
        right = isinstance(found, (int, float)) and not isinstance(found, bool)
        if not right or isnan(found) or found < 0:
            shown = f"({label_of(edge.source)})-[{edge.type}]->({label_of(edge.target)})"
            raise InvalidValue(
                f"the weight of {shown} must be a number that is not negative, received {found!r}"
            )
        return float(found)

    if not callable(weight) and not isinstance(weight, str):
        raise InvalidInput(f"weight must be the name of a member or a function, not {weight!r}")
    return weigh


class Cheapest:
    """Dijkstra's search, step by step: its caller reads the edges of the nodes that it names.

    With `max_depth` a costlier way to a node counts too while it has fewer edges than all cheaper
    ones, since the rest of the way may need them.
    """

    def __init__(self, start: GraphNode, max_depth: int | None) -> None:
        self._max_depth = max_depth
        self._open: list[tuple[float, int, int, GraphPath]] = [(0, 0, 0, GraphPath((start,), ()))]
        self._fewest: dict[GraphNode, int] = {}
        self._made = 0

    @property
    def visited(self) -> int:
        """The number of nodes that were finally reached."""
        return len(self._fewest)

    def next(self) -> GraphPath | None:
        """The cheapest path that is not finished; None when there is no more."""
        while self._open:
            _, depth, _, path = heappop(self._open)
            fewest = self._fewest.get(path.end)
            if fewest is None or (self._max_depth is not None and depth < fewest):
                self._fewest[path.end] = depth
                return path
        return None

    def add(self, path: GraphPath) -> None:
        """A path that was found; of equal ones the first is taken."""
        fewest = self._fewest.get(path.end)
        if fewest is not None and (self._max_depth is None or path.depth >= fewest):
            return
        self._made += 1
        heappush(self._open, (path.weight, path.depth, self._made, path))
