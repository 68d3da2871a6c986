"""Graphs, on a server and in a file, beside what networkx says of them."""

from __future__ import annotations

import json
from typing import Any
from xml.etree import ElementTree

import msgspec
import networkx as nx
import pytest
from buntime_keyval import (
    GraphEdge,
    GraphNode,
    GraphPath,
    InvalidInput,
    InvalidValue,
    TraversalTooLarge,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

ADA, BOB, EVE = GraphNode("user", "ada"), GraphNode("user", "bob"), GraphNode("user", 3)


async def listed(edges: Any) -> list[GraphEdge]:
    return [edge async for edge in edges]


async def ends(edges: Any) -> list[tuple[GraphNode, str, GraphNode]]:
    return [(edge.source, edge.type, edge.target) async for edge in edges]


async def test_an_edge_is_added_found_and_removed(kv: Any) -> None:
    graph = kv.graph
    assert await graph.get(ADA, "follows", BOB) is None
    result = await graph.add(ADA, "follows", BOB, {"since": 1843})
    edge = GraphEdge(ADA, "follows", BOB, {"since": 1843}, result.versionstamp)
    assert await graph.get(("user", "ada"), "follows", ("user", "bob")) == edge
    assert await listed(graph.outgoing(ADA)) == await listed(graph.incoming(BOB)) == [edge]
    assert await listed(graph.outgoing(BOB)) == await listed(graph.incoming(ADA)) == []
    assert await graph.remove(ADA, "follows", BOB)
    assert not await graph.remove(ADA, "follows", BOB)
    assert await kv.count() == 0


async def test_adding_again_writes_both_directions_or_nothing(kv: Any) -> None:
    graph = kv.graph
    assert (await graph.add(ADA, "knows", BOB, 1, create_only=True)).ok
    assert not (await graph.add(ADA, "knows", BOB, 2, create_only=True)).ok
    assert [edge.data for edge in await listed(graph.incoming(BOB))] == [1]
    assert (await graph.add(ADA, "knows", BOB, [2])).ok
    assert await listed(graph.incoming(BOB)) == await listed(graph.outgoing(ADA))
    assert (await graph.get(ADA, "knows", BOB)).data == [2]


async def test_edges_are_part_of_commits(kv: Any) -> None:
    graph = kv.graph
    commit = graph.add_to(
        kv.atomic().set(["users", "ada"], {}), ADA, "knows", BOB, create_only=True
    )
    assert (await graph.add_to(commit, BOB, "knows", ADA).commit()).ok
    assert await ends(graph.all()) == [(ADA, "knows", BOB), (BOB, "knows", ADA)]
    commit = graph.remove_from(kv.atomic().check((["users", "ada"], None)), ADA, "knows", BOB)
    assert not (await commit.commit()).ok
    assert await graph.degree(ADA) == (1, 1)
    assert (await graph.remove_from(kv.atomic(), ADA, "knows", BOB).commit()).ok
    assert await graph.degree(ADA) == (1, 0)


async def test_edges_have_types_an_order_and_pages(kv: Any) -> None:
    graph = kv.graph
    for number in range(12):
        await graph.add(ADA, "likes", ("post", number))
    await graph.add(ADA, "blocks", BOB)
    await graph.add(EVE, "likes", ("post", 3))
    likes = [(ADA, "likes", ("post", number)) for number in range(12)]
    assert await ends(graph.outgoing(ADA)) == [(ADA, "blocks", BOB), *likes]
    assert await ends(graph.outgoing(ADA, "likes", limit=2)) == likes[:2]
    assert await ends(graph.outgoing(ADA, "likes", limit=2, reverse=True)) == likes[:-3:-1]
    assert await ends(graph.incoming(("post", 3), "likes")) == [
        (ADA, "likes", ("post", 3)),
        (EVE, "likes", ("post", 3)),
    ]
    assert await ends(graph.incoming(("post", 3), "like")) == []
    assert await graph.degree(ADA) == (0, 13)
    assert await graph.degree(("post", 3), "likes") == (2, 0)
    assert len(await listed(graph.all(node_type="user"))) == 14
    assert await listed(graph.all(node_type="post")) == []
    pages, cursor = [], None
    while True:
        page = await graph.paginate(ADA, "likes", cursor=cursor, limit=5)
        pages.append([(edge.source, edge.type, edge.target) for edge in page.edges])
        if not page.has_more:
            break
        cursor = page.cursor
    assert pages == [likes[:5], likes[5:10], likes[10:]]
    assert len((await graph.paginate()).edges) == 14
    found = (await graph.paginate(("post", 3), direction="in", reverse=True)).edges
    assert [edge.source for edge in found] == [EVE, ADA]


async def test_who_is_near_whom(kv: Any) -> None:
    graph = kv.graph
    for source, target in ((ADA, BOB), (ADA, EVE), (BOB, EVE), (BOB, ADA), (EVE, EVE)):
        await graph.add(source, "knows", target)
    await graph.add(EVE, "likes", ADA)
    assert await graph.neighbours(ADA) == [BOB, EVE]
    assert await graph.neighbours(ADA, "likes") == [EVE]
    assert await graph.mutual(ADA, BOB) == [EVE]
    assert await graph.mutual(ADA, BOB, "likes") == []
    assert await graph.degree(EVE, "knows") == (3, 1)


async def test_graphs_of_other_prefixes_have_nothing_in_common(kv: Any) -> None:
    other = kv.graph.at(["social", 1])
    await other.add(ADA, "knows", BOB)
    assert await listed(kv.graph.all()) == []
    assert (kv.graph.prefix, other.prefix) == (("graph",), ("social", 1))
    assert await ends(other.at(["social", 1]).incoming(BOB)) == [(ADA, "knows", BOB)]
    whole = kv.graph.at([])
    await whole.add(ADA, "knows", EVE)
    assert (await kv.get(["out", "user", "ada", "knows", "user", 3])).exists


# The names say which faults of graphs over string keys these are.
ODD = ["a", "ab", "A", "%", "_", "a/b", "a/", "/", "%2F", "*", "\x00", "ÿ", "☃", "1", 1, 0, -1]


async def test_fault_1_no_id_is_a_pattern_or_the_beginning_of_another_one(kv: Any) -> None:
    commit = kv.atomic()
    for identity in ODD:
        kv.graph.add_to(commit, ("n", identity), f"t{identity}", ("m", identity), identity)
    assert (await commit.commit()).ok
    for identity in ODD:
        node, kind = ("n", identity), f"t{identity}"
        edges = await listed(kv.graph.outgoing(node))
        assert edges == await listed(kv.graph.outgoing(node, kind))
        assert [(edge.target, edge.data) for edge in edges] == [(("m", identity), identity)]
        assert edges == await listed(kv.graph.incoming(("m", identity)))
    assert await listed(kv.graph.outgoing(("n", "a"), "*")) == []


async def test_fault_2_the_order_is_the_same_every_time_and_everywhere(kv: Any) -> None:
    for number in (5, 3, 11, 1, 7):
        await kv.graph.add(ADA, "t", ("n", number))
    expected = [("n", number) for number in (1, 3, 5, 7, 11)]
    assert await kv.graph.neighbours(ADA) == expected
    assert [path.end async for path in kv.graph.bfs(ADA)] == [ADA, *expected]


async def test_fault_3_paths_share_nothing(kv: Any) -> None:
    for edge in ("ab", "bc", "cd", "ce", "cf", "eg", "eh"):
        await kv.graph.add(("n", edge[0]), "t", ("n", edge[1]))
    paths = ["".join(str(it.id) for it in p.nodes) async for p in kv.graph.bfs(("n", "a"))]
    assert paths == ["a", "ab", "abc", "abcd", "abce", "abcf", "abceg", "abceh"]


async def test_fault_4_what_is_no_edge_is_not_passed_over(kv: Any) -> None:
    await kv.graph.add(ADA, "t", BOB)
    for rest in (["x"], ["user", "ada", "t", "user", True], ["user", "ada", "t", "user", "b", 1]):
        await kv.set(["graph", "out", *rest], 1)
        with pytest.raises(InvalidValue, match="is not an edge: something else is in the graph"):
            await listed(kv.graph.all())
        await kv.delete(["graph", "out", *rest], exact=True)


async def test_fault_5_a_walk_that_is_too_large_says_so(kv: Any) -> None:
    for number in range(6):
        await kv.graph.add(("n", number), "next", ("n", number + 1), {"km": 1})
    for weight in (None, "km"):
        with pytest.raises(TraversalTooLarge, match="no end after 3 nodes"):
            await kv.graph.shortest_path(("n", 0), ("n", 6), limit=3, weight=weight)
        path = await kv.graph.shortest_path(("n", 0), ("n", 6), limit=7, weight=weight)
        assert (path.depth, path.weight) == (6, 6)
    with pytest.raises(TraversalTooLarge, match="more than 5 edges"):
        await kv.graph.view(limit=5)


@pytest.mark.parametrize(
    "use",
    [
        lambda graph: graph.add("ada", "t", BOB),
        lambda graph: graph.add(("user",), "t", BOB),
        lambda graph: graph.add(("", 1), "t", BOB),
        lambda graph: graph.add(("user", ""), "t", BOB),
        lambda graph: graph.add(("user", True), "t", BOB),
        lambda graph: graph.add(("user", 1.5), "t", BOB),
        lambda graph: graph.add(ADA, "", BOB),
        lambda graph: graph.add(ADA, None, BOB),
        lambda graph: graph.add(ADA, "t", BOB, object()),
        lambda graph: graph.degree(ADA, ""),
        lambda graph: graph.paginate(direction="both"),
        lambda graph: graph.paginate(None, "t"),
        lambda graph: anext(graph.bfs(ADA, max_depth=-1)),
        lambda graph: anext(graph.bfs(ADA, limit=0)),
        lambda graph: anext(graph.bfs(ADA, types=[])),
        lambda graph: anext(graph.bfs(ADA, direction="up")),
        lambda graph: graph.shortest_path(ADA, BOB, weight=3),
        lambda graph: graph.view(format="png"),
        lambda graph: graph.view(ADA, node_type="user"),
    ],
)
async def test_what_is_wrong_is_refused(kv: Any, use: Any) -> None:
    with pytest.raises(InvalidInput):
        await use(kv.graph)


async def test_weights_are_numbers(kv: Any) -> None:
    for data in (None, {}, {"km": "3"}, {"km": -1}, {"km": True}, {"km": None}):
        await kv.graph.add(ADA, "road", BOB, data)
        with pytest.raises(InvalidValue, match=r"\(user/ada\)-\[road\]->\(user/bob\)"):
            await kv.graph.shortest_path(ADA, BOB, weight="km")
    path = await kv.graph.shortest_path(ADA, BOB, weight=lambda edge: 2.5)
    assert (path.weight, path.nodes) == (2.5, (ADA, BOB))


async def test_walks_choose_their_edges(kv: Any) -> None:
    graph = kv.graph
    await graph.add(ADA, "knows", BOB, {"since": 1})
    await graph.add(BOB, "likes", EVE, {"since": 2})
    await graph.add(("user", 9), "knows", ADA)

    async def reached(**options: Any) -> list[Any]:
        return [path.end.id async for path in graph.bfs(ADA, **options)]

    assert await reached() == ["ada", "bob", 3]
    assert await reached(types="knows") == ["ada", "bob"]
    assert await reached(types=["likes", "knows"]) == ["ada", "bob", 3]
    assert await reached(where=lambda edge: edge.data["since"] < 2) == ["ada", "bob"]
    assert await reached(direction="in") == ["ada", 9]
    assert await reached(direction="both") == ["ada", "bob", 9, 3]
    assert await reached(max_depth=0) == ["ada"]
    assert await reached(max_depth=1) == ["ada", "bob"]
    assert await reached(limit=1) == ["ada"]
    assert await reached(limit=2, direction="both") == ["ada", "bob"]
    assert await graph.shortest_path(ADA, ADA) == GraphPath((ADA,), ())
    assert await graph.shortest_path(ADA, ("user", 9)) is None
    back = await graph.shortest_path(ADA, ("user", 9), direction="in")
    assert [(edge.source, edge.target) for edge in back.edges] == [(("user", 9), ADA)]


async def test_pictures(kv: Any) -> None:
    nasty = ("n", 'a"]<b>&\\\n\x00{}')
    await kv.graph.add(nasty, 'say "hi"', ("n", "x" * 60))
    await kv.graph.add(("n", "x" * 60), "back", nasty)
    await kv.graph.add(ADA, "self", ADA)
    await kv.graph.add(ADA, "knows", BOB)
    svg = ElementTree.fromstring(await kv.graph.view(format="svg"))
    titles = {element.text for element in svg.iter("{http://www.w3.org/2000/svg}title")}
    shown = r'n/"a\"]<b>&\\\n\u0000{}"'
    assert {shown, "n/" + "x" * 60, 'say "hi"', "user/ada"} <= titles
    dot = await kv.graph.view(format="dot")
    assert r'"n/\"a\\\"]<b>&\\\\\\n\\u0000{}\"" ->' in dot
    assert '"user/ada" -> "user/bob" [label="knows"];' in dot
    mermaid = (await kv.graph.view(format="mermaid")).splitlines()
    assert mermaid[0] == "graph LR"
    assert all(line.count('"') in (0, 2) and len(line) < 200 for line in mermaid)
    alone = await kv.graph.view(("user", "nobody"), format="mermaid")
    assert alone == 'graph LR\n  n0["user/nobody"]\n'
    of_type = await kv.graph.view(node_type="user", types="knows", format="mermaid")
    assert of_type == 'graph LR\n  n0["user/ada"]\n  n1["user/bob"]\n  n0 -->|"knows"| n1\n'
    assert await kv.graph.view(ADA, types=["knows"], format="mermaid") == of_type
    assert await kv.graph.view(ADA, max_depth=0) == 'digraph {\n  rankdir=LR;\n  "user/ada";\n}\n'


async def test_labels_tell_nodes_apart(kv: Any) -> None:
    ids = [
        1,
        "1",
        '"1"',
        -1,
        "-1",
        "01",
        "1.5",
        "x/y",
        "\x01",
        "\x02",
        "é",
        'a"b',
        2**70,
        str(2**70),
    ]
    nodes = [(kind, identity) for kind in ("n", "n/x", '"n"', "\x03", "\x04") for identity in ids]
    hub = ("hub", 0)
    for node in nodes:
        await kv.graph.add(hub, "t", node)
    dot = await kv.graph.view(hub)
    assert len({line for line in dot.splitlines() if "->" in line}) == len(nodes)
    svg = ElementTree.fromstring(await kv.graph.view(hub, format="svg"))
    titles = [element.text for element in svg.iter("{http://www.w3.org/2000/svg}title")]
    assert len(set(titles)) == len(nodes) + 2  # the hub, and the type of all edges
    assert {"n/1", 'n/"1"', "n/x/y", '"n/x"/1', "n/é", f"n/{2**70}"} <= set(titles)


@pytest.mark.parametrize("identity", [2**69, 2**70, -(2**70), 10**21, 10**22, int(1e300)])
async def test_a_large_id_comes_back_as_it_was(kv: Any, identity: int) -> None:
    far = ("u", identity)
    await kv.graph.add(ADA, "t", far, create_only=True)
    assert not (await kv.graph.add(ADA, "t", far, create_only=True)).ok
    (found,) = await kv.graph.neighbours(ADA)
    assert (found, type(found.id)) == (far, int)
    assert [it.source async for it in kv.graph.incoming(far)] == [ADA]
    assert (await kv.graph.get(ADA, "t", found)).target == far
    assert (await kv.graph.shortest_path(ADA, far)).nodes == (ADA, far)
    assert (await kv.graph.paginate(found, direction="in")).edges[0].source == ADA
    assert await kv.graph.remove(ADA, "t", found)


@pytest.mark.parametrize("identity", [2**53 + 1, -(2**53) - 1, 10**21 + 1, 10**400])
async def test_an_id_that_would_be_another_one_is_refused(kv: Any, identity: int) -> None:
    with pytest.raises(InvalidInput, match=f"use a text, such as '{identity}"[:90]):
        await kv.graph.add(ADA, "t", ("u", identity))
    await kv.graph.add(ADA, "t", ("u", str(identity)))
    assert await kv.graph.neighbours(ADA) == [("u", str(identity))]


NODES = st.integers(0, 6)
EDGES = st.lists(
    st.tuples(NODES, st.sampled_from("st"), NODES, st.integers(0, 5)), min_size=1, max_size=18
)


@given(edges=EDGES, removed=st.sets(st.integers(0, 17)), depth=st.integers(0, 4))
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
async def test_it_is_what_networkx_says(
    kv: Any, edges: list[Any], removed: set[int], depth: int
) -> None:
    await kv.delete([], everything=True)
    graph = kv.graph
    oracle: Any = nx.MultiDiGraph()
    commit = kv.atomic()
    for source, kind, target, km in edges:
        graph.add_to(commit, ("n", source), kind, ("n", target), {"km": km})
        oracle.add_edge(source, target, kind, km=km)
    for number in removed & set(range(len(edges))):
        source, kind, target, _ = edges[number]
        graph.remove_from(commit, ("n", source), kind, ("n", target))
        if oracle.has_edge(source, target, kind):
            oracle.remove_edge(source, target, kind)
    await commit.commit()
    start, end = edges[0][0], edges[-1][2]

    assert sorted([(e.source.id, e.target.id, e.type) async for e in graph.all()]) == sorted(
        oracle.edges(keys=True)
    )
    assert await graph.degree(("n", start)) == (oracle.in_degree(start), oracle.out_degree(start))
    around = {*oracle.successors(start), *oracle.predecessors(start)}
    assert {node.id for node in await graph.neighbours(("n", start))} == around
    both = {*oracle.successors(start)} & {*oracle.successors(end)}
    assert {node.id for node in await graph.mutual(("n", start), ("n", end))} == both

    depths = {p.end.id: p.depth async for p in graph.bfs(("n", start), max_depth=depth)}
    assert depths == nx.single_source_shortest_path_length(oracle, start, cutoff=depth)
    undirected = nx.single_source_shortest_path_length(oracle.to_undirected(), start)
    found = {p.end.id: p.depth async for p in graph.bfs(("n", start), direction="both")}
    assert found == undirected

    path = await graph.shortest_path(("n", start), ("n", end), weight="km")
    short = await graph.shortest_path(("n", start), ("n", end))
    if not nx.has_path(oracle, start, end):
        assert path is short is None
        return
    assert path.weight == nx.dijkstra_path_length(oracle, start, end, weight="km")
    assert short.depth == nx.shortest_path_length(oracle, start, end)
    for it in (path, short):
        assert [edge.source for edge in it.edges] == [*it.nodes[:-1]]
        assert [edge.target for edge in it.edges] == [*it.nodes[1:]]
    within = await graph.shortest_path(("n", start), ("n", end), weight="km", max_depth=depth)
    ways: Any = [()] if start == end else nx.all_simple_edge_paths(oracle, start, end, cutoff=depth)
    costs = [sum(oracle.edges[edge]["km"] for edge in way) for way in ways]
    assert (within.weight if within else None) == min(costs, default=None)


async def test_edges_are_json_for_programs(kv: Any) -> None:
    await kv.graph.add(ADA, "t", BOB, [1])
    (edge,) = await listed(kv.graph.all())
    shown = json.loads(msgspec.json.encode(edge))
    assert (shown["source"], shown["type"], shown["data"]) == (["user", "ada"], "t", [1])
