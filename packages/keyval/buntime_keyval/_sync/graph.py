# Made by scripts/unasync from _async/graph.py: change that one.
"""A graph in a store: edges between nodes, as ordinary entries."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from buntime_keyval._calls.atomic import AtomicBuilder
from buntime_keyval._errors import TraversalTooLarge
from buntime_keyval._graph import (
    Cheapest,
    Degree,
    Direction,
    EdgePage,
    GraphEdge,
    GraphNode,
    GraphPath,
    Layout,
    NodeLike,
    Walk,
    WeightOf,
    checked_direction,
    checked_number,
    node_of,
    walk_of,
    weights_of,
)
from buntime_keyval._graph_view import Format, rendered
from buntime_keyval._results import CommitResult
from buntime_keyval._sync.kv_core import KvCore
from buntime_keyval.wire import InvalidInput, Key, KeyLike
from buntime_keyval.wire.limits import DEFAULT_LIMIT

B = TypeVar("B", bound=AtomicBuilder[Any])

MAX_VISITED = 100_000
"""Most nodes that a search visits by default."""
MAX_DRAWN = 10_000
"""Edges of a picture."""


class Graph:
    """Directed edges with types and data, below a prefix of a store.

    Nodes are `(type, id)`, such as `("user", 1)`. Both directions of an edge are written in one
    commit. Edges come in the order of their keys: by the other node's type and id within a type.
    """

    def __init__(self, kv: KvCore, prefix: KeyLike = ("graph",)) -> None:
        self._kv = kv
        self._layout = Layout(prefix)

    @property
    def prefix(self) -> Key:
        """The prefix of all keys of the graph."""
        return self._layout.prefix

    def at(self, prefix: KeyLike) -> Graph:
        """Another graph of the same store, below this prefix."""
        return Graph(self._kv, prefix)

    def add(
        self,
        source: NodeLike,
        type: str,
        target: NodeLike,
        data: Any = None,
        *,
        create_only: bool = False,
        idempotency_key: str | None = None,
    ) -> CommitResult:
        """Add an edge, or write new data to the one that is there.

        With `create_only` an edge that is there stays, and `ok` of the result is False.
        """
        builder = self.add_to(
            self._kv.atomic(), source, type, target, data, create_only=create_only
        )
        return builder.commit(idempotency_key=idempotency_key)

    def add_to(
        self,
        atomic: B,
        source: NodeLike,
        type: str,
        target: NodeLike,
        data: Any = None,
        *,
        create_only: bool = False,
    ) -> B:
        """Add the edge as part of a commit: two mutations, and with `create_only` a check."""
        out, into = self._layout.keys(source, type, target)
        if create_only:
            atomic.check((out, None))
        return atomic.set(out, data).set(into, data)

    def get(self, source: NodeLike, type: str, target: NodeLike) -> GraphEdge | None:
        """An edge, or None."""
        entry = self._kv.get(self._layout.keys(source, type, target)[0])
        return self._layout.edge(entry) if entry.exists else None

    def remove(
        self, source: NodeLike, type: str, target: NodeLike, *, idempotency_key: str | None = None
    ) -> bool:
        """Remove an edge; returns whether there was one."""
        keys = [*self._layout.keys(source, type, target)]
        result = self._kv.delete(keys, exact=True, idempotency_key=idempotency_key)
        return result.deleted_count > 0

    def remove_from(self, atomic: B, source: NodeLike, type: str, target: NodeLike) -> B:
        """Delete the edge as part of a commit: two mutations."""
        out, into = self._layout.keys(source, type, target)
        return atomic.delete(out).delete(into)

    def outgoing(
        self,
        node: NodeLike,
        type: str | None = None,
        *,
        limit: int | None = None,
        reverse: bool = False,
    ) -> Iterator[GraphEdge]:
        """The edges from a node, of one type or of all."""
        prefix = self._layout.around(node, "out", type)
        for entry in self._kv.list(prefix, limit=limit, reverse=reverse):
            yield self._layout.edge(entry)

    def incoming(
        self,
        node: NodeLike,
        type: str | None = None,
        *,
        limit: int | None = None,
        reverse: bool = False,
    ) -> Iterator[GraphEdge]:
        """The edges to a node, of one type or of all."""
        prefix = self._layout.around(node, "in", type)
        for entry in self._kv.list(prefix, limit=limit, reverse=reverse):
            yield self._layout.edge(entry)

    def all(
        self, *, node_type: str | None = None, limit: int | None = None, reverse: bool = False
    ) -> Iterator[GraphEdge]:
        """All edges, or those from nodes of one type, in the order of their sources."""
        prefix = self._layout.of_type(node_type)
        for entry in self._kv.list(prefix, limit=limit, reverse=reverse):
            yield self._layout.edge(entry)

    def paginate(
        self,
        node: NodeLike | None = None,
        type: str | None = None,
        *,
        direction: Direction = "out",
        cursor: str | None = None,
        limit: int = DEFAULT_LIMIT,
        reverse: bool = False,
    ) -> EdgePage:
        """One page (at most 1000) of the edges of a node, or of all, after that of `cursor`.

        `direction` is "out" or "in"; `type` is for the edges of a node.
        """
        way = checked_direction(direction)
        if way == "both":
            raise InvalidInput('a page is of one direction: "out" or "in"')
        if node is not None:
            prefix = self._layout.around(node, way, type)
        elif type is not None:
            raise InvalidInput("type is for the edges of a node: give the node, too")
        else:
            prefix = (*self._layout.prefix, way)
        page = self._kv.paginate(prefix, cursor=cursor, limit=limit, reverse=reverse)
        edges = [self._layout.edge(entry) for entry in page.entries]
        return EdgePage(edges, page.cursor, page.has_more)

    def degree(self, node: NodeLike, type: str | None = None) -> Degree:
        """The number of a node's edges in each direction; counted by the server, not fetched."""
        return Degree(
            self._kv.count(self._layout.around(node, "in", type)),
            self._kv.count(self._layout.around(node, "out", type)),
        )

    def neighbours(self, node: NodeLike, type: str | None = None) -> list[GraphNode]:
        """The nodes at the other ends of all edges of a node, each once; outgoing edges first."""
        found = {edge.target: None for edge in self.outgoing(node, type)}
        found.update({edge.source: None for edge in self.incoming(node, type)})
        return list(found)

    def mutual(self, one: NodeLike, other: NodeLike, type: str | None = None) -> list[GraphNode]:
        """The nodes that edges from both lead to."""
        found = {edge.target: None for edge in self.outgoing(one, type)}
        theirs = {edge.target for edge in self.outgoing(other, type)}
        return [node for node in found if node in theirs]

    def bfs(
        self,
        start: NodeLike,
        *,
        max_depth: int | None = None,
        limit: int | None = None,
        types: str | Iterable[str] | None = None,
        direction: Direction = "out",
        where: Callable[[GraphEdge], bool] | None = None,
    ) -> Iterator[GraphPath]:
        """Iterate over shortest paths to all reachable nodes, the nearest first, which is `start`.

        No path has more than `max_depth` edges, and there are at most `limit`. Edges are walked if
        they are of `types` and `where` returns true, in the `direction` "out", "in" or "both". A
        node's edges are read when its turn has come, so a loop that stops early reads no more.
        """
        walk = walk_of(max_depth, types, direction, where)
        first = GraphPath((node_of(start),), ())
        most = None if limit is None else checked_number("limit", limit, 1)
        found = {first.end}
        waiting = deque([first])
        yield first
        while waiting and len(found) != most:
            path = waiting.popleft()
            if not walk.goes_on_from(path):
                return
            for edge, node in self._around(path.end, walk):
                if node in found:
                    continue
                found.add(node)
                waiting.append(path.then(edge, node))
                yield waiting[-1]
                if len(found) == most:
                    return

    def shortest_path(
        self,
        source: NodeLike,
        target: NodeLike,
        *,
        weight: str | WeightOf | None = None,
        max_depth: int | None = None,
        limit: int = MAX_VISITED,
        types: str | Iterable[str] | None = None,
        direction: Direction = "out",
        where: Callable[[GraphEdge], bool] | None = None,
    ) -> GraphPath | None:
        """A path with the fewest edges, or with the smallest sum of their weights; None for none.

        `weight` is a member of the data of each edge, or a function of the edge; a weight that is
        missing, no number, or negative raises `InvalidValue`. More than `limit` visited nodes
        raise `TraversalTooLarge`. The rest is as in `bfs`.
        """
        first, last = node_of(source), node_of(target)
        walk = walk_of(max_depth, types, direction, where)
        most = checked_number("limit", limit, 1)
        if weight is not None:
            return self._cheapest(first, last, walk, weights_of(weight), most)
        left = most
        for path in self.bfs(
            first, max_depth=max_depth, types=walk.types, direction=direction, where=where
        ):
            if path.end == last:
                return path
            left -= 1
            if not left:
                raise TraversalTooLarge(_TOO_MANY_NODES.format(most))
        return None

    def view(
        self,
        start: NodeLike | None = None,
        *,
        node_type: str | None = None,
        format: Format = "dot",
        max_depth: int | None = None,
        limit: int = MAX_DRAWN,
        types: str | Iterable[str] | None = None,
        direction: Direction = "out",
        where: Callable[[GraphEdge], bool] | None = None,
    ) -> str:
        """A picture of what `start` leads to, or of the edges from nodes of one type, or of all.

        `format` is "dot" for Graphviz, "mermaid", or "svg", which needs neither. More than `limit`
        edges raise `TraversalTooLarge`. The rest is as in `bfs`; without `start` edges are chosen
        by `types` and `where` alone.
        """
        walk = walk_of(max_depth, types, direction, where)
        most = checked_number("limit", limit, 1)
        rendered((), (), format)  # refuses unknown formats before anything is read
        nodes = [] if start is None else [node_of(start)]
        if start is None:
            edges = self._chosen(node_type, walk)
        elif node_type is None:
            edges = self._reached(nodes[0], walk)
        else:
            raise InvalidInput("a picture begins at start, or at all nodes of node_type")
        drawn: dict[tuple[GraphNode, str, GraphNode], GraphEdge] = {}
        for edge in edges:
            drawn[edge.source, edge.type, edge.target] = edge
            if len(drawn) > most:
                raise TraversalTooLarge(_TOO_MANY_EDGES.format(most))
        return rendered([*drawn.values()], nodes, format)

    def _cheapest(
        self, first: GraphNode, last: GraphNode, walk: Walk, weigh: WeightOf, most: int
    ) -> GraphPath | None:
        search = Cheapest(first, walk.max_depth)
        while (path := search.next()) is not None:
            if path.end == last:
                return path
            if search.visited > most:
                raise TraversalTooLarge(_TOO_MANY_NODES.format(most))
            if walk.goes_on_from(path):
                for edge, node in self._around(path.end, walk):
                    search.add(path.then(edge, node, weigh(edge)))
        return None

    def _around(self, node: GraphNode, walk: Walk) -> Iterator[tuple[GraphEdge, GraphNode]]:
        """The edges of a node that are walked, each with the node at its other end."""
        for prefix in self._layout.ranges(node, walk):
            for entry in self._kv.list(prefix):
                edge = self._layout.edge(entry)
                if walk.takes(edge):
                    yield edge, edge.source if edge.target == node else edge.target

    def _reached(self, start: GraphNode, walk: Walk) -> Iterator[GraphEdge]:
        """All edges of the nodes that can be reached with an edge less than may be walked."""
        nearer = None if walk.max_depth is None else walk.max_depth - 1
        if nearer == -1:
            return
        paths = self.bfs(
            start, max_depth=nearer, types=walk.types, direction=walk.direction, where=walk.where
        )
        for path in paths:
            for edge, _ in self._around(path.end, walk):
                yield edge

    def _chosen(self, node_type: str | None, walk: Walk) -> Iterator[GraphEdge]:
        """All edges from nodes of a type that are of the types, and that are wanted."""
        for edge in self.all(node_type=node_type):
            if walk.takes(edge) and (walk.types is None or edge.type in walk.types):
                yield edge


_TOO_MANY_NODES = (
    "no end after {} nodes: narrow the search with max_depth, types or where, or raise limit"
)
_TOO_MANY_EDGES = (
    "more than {} edges: narrow the picture with max_depth, types or where, or raise limit"
)
