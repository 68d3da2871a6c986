"""Graphs at the command line, of `kv` and of `buntime kv`."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, get_args

import click
import msgspec

from buntime_keyval._graph import GraphEdge
from buntime_keyval._graph_view import Format
from buntime_keyval.cli.direct.running import print_json, read_json, with_store
from buntime_keyval.cli.options import CommandFailure
from buntime_keyval.cli.output import note, value_json, visible

if TYPE_CHECKING:
    from buntime_keyval import Kv

ANY = "*"


@click.group("graph")
def graph() -> None:
    """Store and follow edges between nodes; a node is a type and an id."""


def _edge_arguments(command: Any) -> Any:
    for name in ("to_id", "to_type", "edge_type", "from_id", "from_type"):
        command = click.argument(name)(command)
    return command


@graph.command("add-edge")
@_edge_arguments
@click.option("--upsert", is_flag=True, help="Replace the data of an existing edge.")
@with_store
def add_edge(
    kv: Kv, from_type: str, from_id: str, edge_type: str, to_type: str, to_id: str, upsert: bool
) -> None:
    """Add an edge; JSON on stdin, if any, becomes its data.

    Example: kv graph add-edge user ada follows user bo
    """
    data = None if sys.stdin.isatty() else read_json("the data", needed=False)
    result = kv.graph.add(
        (from_type, from_id), edge_type, (to_type, to_id), data, create_only=not upsert
    )
    if not result.ok:
        raise CommandFailure("the edge exists; --upsert replaces its data")


@graph.command("get-edge")
@_edge_arguments
@with_store
def get_edge(
    kv: Kv, from_type: str, from_id: str, edge_type: str, to_type: str, to_id: str
) -> None:
    """Print an edge. The status is 1 if there is none.

    Example: kv graph get-edge user ada follows user bo
    """
    edge = kv.graph.get((from_type, from_id), edge_type, (to_type, to_id))
    if edge is None:
        raise CommandFailure(f"there is no {visible(edge_type)} between these nodes")
    print_json(_members(edge))


@graph.command("remove-edge")
@_edge_arguments
@with_store
def remove_edge(
    kv: Kv, from_type: str, from_id: str, edge_type: str, to_type: str, to_id: str
) -> None:
    """Remove an edge, if it exists.

    Example: kv graph remove-edge user ada follows user bo
    """
    if not kv.graph.remove((from_type, from_id), edge_type, (to_type, to_id)):
        note(f"there was no {visible(edge_type)} between these nodes")


@graph.command("get-outgoing")
@click.argument("type")
@click.argument("id")
@click.argument("edge_type", default=ANY)
@with_store
def get_outgoing(kv: Kv, type: str, id: str, edge_type: str) -> None:
    """Print the edges from a node, of one type or all.

    Example: kv graph get-outgoing user ada follows
    """
    _print_edges(kv.graph.outgoing((type, id), None if edge_type == ANY else edge_type))


@graph.command("get-incoming")
@click.argument("type")
@click.argument("id")
@click.argument("edge_type", default=ANY)
@with_store
def get_incoming(kv: Kv, type: str, id: str, edge_type: str) -> None:
    """Print the edges to a node, of one type or all.

    Example: kv graph get-incoming user bo follows
    """
    _print_edges(kv.graph.incoming((type, id), None if edge_type == ANY else edge_type))


@graph.command("find-path")
@click.argument("from_type")
@click.argument("from_id")
@click.argument("to_type")
@click.argument("to_id")
@click.option("--max-depth", type=click.IntRange(0), help="At most this many edges.")
@click.option("--edge-types", metavar="A,B", help="Only edges of these types.")
@click.option("--weight", metavar="NAME", help="Member of the edges' data to minimise the sum of.")
@with_store
def find_path(
    kv: Kv,
    from_type: str,
    from_id: str,
    to_type: str,
    to_id: str,
    max_depth: int | None,
    edge_types: str | None,
    weight: str | None,
) -> None:
    """Print a shortest path. The status is 1 if there is none.

    Example: kv graph find-path user ada user bo --max-depth 3
    """
    path = kv.graph.shortest_path(
        (from_type, from_id),
        (to_type, to_id),
        max_depth=max_depth,
        types=None if edge_types is None else edge_types.split(","),
        weight=weight,
    )
    if path is None:
        raise CommandFailure("there is no path")
    print_json(
        {
            "nodes": [{"id": node.id, "type": node.type} for node in path.nodes],
            "edges": [_members(edge) for edge in path.edges],
            "depth": path.depth,
            "weight": path.weight,
        }
    )


@graph.command("view")
@click.argument("type")
@click.argument("id", required=False)
@click.option(
    "--format", type=click.Choice(get_args(Format)), default="mermaid", show_default=True,
    help="Source for Graphviz or Mermaid, or a picture.",
)  # fmt: skip
@click.option("--max-depth", type=click.IntRange(0), help="At most this many edges from the node.")
@click.option("--edge-type", help="Only edges of this type.")
@with_store
def view(
    kv: Kv, type: str, id: str | None, format: Format, max_depth: int | None, edge_type: str | None
) -> None:
    """Draw what a node leads to, or the edges from all nodes of a type.

    Example: kv graph view user ada --format svg
    """
    start = None if id is None else (type, id)
    node_type = type if id is None else None
    drawn = kv.graph.view(
        start, node_type=node_type, format=format, max_depth=max_depth, types=edge_type
    )
    click.echo(drawn, nl=False)


def _print_edges(edges: Iterable[GraphEdge]) -> None:
    print_json([_members(edge) for edge in edges])


def _members(edge: GraphEdge) -> dict[str, Any]:
    return {
        "from": {"id": edge.source.id, "type": edge.source.type},
        "to": {"id": edge.target.id, "type": edge.target.type},
        "type": edge.type,
        "data": msgspec.Raw(value_json(edge.data)),
    }
