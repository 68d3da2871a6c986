"""Graphs as pictures: the languages of Graphviz and Mermaid, and SVG without either."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

from buntime_keyval._graph import GraphEdge, GraphNode, label_of
from buntime_keyval.wire import InvalidInput

Format = Literal["dot", "mermaid", "svg"]

_MERMAID_LABEL = 50
"""Longer labels tear Mermaid's drawings apart."""
_SVG_LABEL = 28
_ROW, _COLUMN, _BOX, _MARGIN = 64, 300, 32, 24
"""Pixels: from a node to the next one and to the next layer, the height of a node, the border."""
_CHARACTER = 7.5
"""Pixels that a letter needs."""


def rendered(edges: Sequence[GraphEdge], nodes: Sequence[GraphNode], format: Format) -> str:
    """A picture of edges, and of nodes that have none. Raises `InvalidInput`."""
    if (render := _FORMATS.get(format)) is None:
        raise InvalidInput(f"format must be one of {', '.join(_FORMATS)}, received {format!r}")
    found = dict.fromkeys(nodes)
    for edge in edges:
        found[edge.source] = found[edge.target] = None
    return render(edges, list(found))


def _dot(edges: Sequence[GraphEdge], nodes: Sequence[GraphNode]) -> str:
    def quoted(text: str) -> str:
        text = text.replace("\\", "\\\\").replace('"', '\\"')
        return f'"{_printable(text)}"'

    names = {node: quoted(label_of(node)) for node in nodes}
    lines = [f"  {name};" for name in names.values()]
    lines += [
        f"  {names[it.source]} -> {names[it.target]} [label={quoted(it.type)}];" for it in edges
    ]
    return "\n".join(["digraph {", "  rankdir=LR;", *lines, "}", ""])


def _mermaid(edges: Sequence[GraphEdge], nodes: Sequence[GraphNode]) -> str:
    def quoted(text: str) -> str:
        short = _shortened(_printable(text), _MERMAID_LABEL)
        return '"' + "".join(_MERMAID_SIGNS.get(sign, sign) for sign in short) + '"'

    names = {node: f"n{number}" for number, node in enumerate(nodes)}
    lines = [f"  {name}[{quoted(label_of(node))}]" for node, name in names.items()]
    lines += [f"  {names[it.source]} -->|{quoted(it.type)}| {names[it.target]}" for it in edges]
    return "\n".join(["graph LR", *lines, ""])


_MERMAID_SIGNS = {sign: f"#{ord(sign)};" for sign in '"#<>&`|[]{}()\\'}


_ARROW = (
    '<defs><marker id="arrow" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8"'
    ' markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="#667"/></marker></defs>'
)


def _svg(edges: Sequence[GraphEdge], nodes: Sequence[GraphNode]) -> str:
    places = _places(edges, nodes)
    width = max((x for x, _ in places.values()), default=0) + _COLUMN
    height = max((y for _, y in places.values()), default=0) + _ROW
    size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="13">',
        _ARROW,
        *(_svg_edge(edge, places) for edge in edges),
        *(_svg_node(node, place) for node, place in places.items()),
        "</svg>",
    ]
    return "\n".join([*parts, ""])


def _svg_node(node: GraphNode, place: tuple[int, int]) -> str:
    x, y = place
    box = f'<rect x="{x}" y="{y}" width="{_width(node):g}" height="{_BOX}" rx="6"'
    style = 'fill="#eef3ff" stroke="#557"/>'
    text = _svg_text(label_of(node), x + 10, y + 21, "")
    return f"<g>{box} {style}{text}</g>"


def _svg_edge(edge: GraphEdge, places: dict[GraphNode, tuple[int, int]]) -> str:
    (x, y), (to_x, to_y) = places[edge.source], places[edge.target]
    out, middle = x + _width(edge.source), _BOX / 2
    if edge.source == edge.target:
        line = f"M{out - 16:g} {y}c8 -26 28 -4 16 {middle:g}"
        at_x, at_y = out + 4, y - 6.0
    elif to_x > x:
        half = (out + to_x) / 2
        line = f"M{out:g} {y + middle:g}C{half:g} {y + middle:g} {half:g} {to_y + middle:g} "
        line += f"{to_x} {to_y + middle:g}"
        at_x, at_y = half, (y + to_y) / 2 + middle - 4
    else:  # back, or within the layer: around the right side
        to_out = to_x + _width(edge.target)
        bend = max(out, to_out) + 46
        line = f"M{out:g} {y + middle:g}C{bend:g} {y + middle:g} {bend:g} {to_y + middle:g} "
        line += f"{to_out:g} {to_y + middle:g}"
        at_x, at_y = bend - 12, (y + to_y) / 2 + middle - 4
    drawn = f'<path d="{line}" fill="none" stroke="#667" marker-end="url(#arrow)"/>'
    return drawn + _svg_text(edge.type, at_x, at_y, ' text-anchor="middle" fill="#445"')


def _svg_text(text: str, x: float, y: float, more: str) -> str:
    from html import escape  # with its thousands of names, which no other view needs

    text = _printable(text)
    short = escape(_shortened(text, _SVG_LABEL))
    return f'<text x="{x:g}" y="{y:g}"{more}>{short}<title>{escape(text)}</title></text>'


def _width(node: GraphNode) -> float:
    return 20 + _CHARACTER * len(_shortened(label_of(node), _SVG_LABEL))


def _places(
    edges: Sequence[GraphEdge], nodes: Sequence[GraphNode]
) -> dict[GraphNode, tuple[int, int]]:
    """The positions of nodes: in layers by their distance from those without incoming edges."""
    after: dict[GraphNode, list[GraphNode]] = {node: [] for node in nodes}
    reached = {edge.target for edge in edges if edge.source != edge.target}
    for edge in edges:
        after[edge.source].append(edge.target)
    layers: dict[GraphNode, int] = {}
    # In a circle of edges, its first node is the beginning.
    for roots in ([node for node in nodes if node not in reached], *([node] for node in nodes)):
        fresh = [node for node in roots if node not in layers]
        layers.update(dict.fromkeys(fresh, 0))
        for node in fresh:  # grows while it is walked
            for other in after[node]:
                if other not in layers:
                    layers[other] = layers[node] + 1
                    fresh.append(other)
    rows: dict[int, int] = {}
    places = {}
    for node in nodes:
        layer = layers[node]
        row = rows[layer] = rows.get(layer, -1) + 1
        places[node] = (_MARGIN + layer * _COLUMN, _MARGIN + row * _ROW)
    return places


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _printable(text: str) -> str:
    """The text on one line, without what XML and terminals cannot have."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


_FORMATS: dict[str, Callable[[Sequence[GraphEdge], Sequence[GraphNode]], str]] = {
    "dot": _dot,
    "mermaid": _mermaid,
    "svg": _svg,
}
