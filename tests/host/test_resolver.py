from __future__ import annotations

from buntime_host.plugins.resolver import Node, Resolution, resolve


def node(name: str, *dependencies: str, optional: tuple[str, ...] = ()) -> Node:
    return Node(name=name, dependencies=dependencies, optional_dependencies=optional)


def order(*nodes: Node) -> tuple[str, ...]:
    result = resolve(nodes)
    assert result.excluded == {}
    return result.order


def test_dependencies_come_first_and_ties_keep_their_order() -> None:
    assert order(node("c"), node("a"), node("b")) == ("c", "a", "b")
    assert order(node("kv", "db"), node("x"), node("db")) == ("x", "db", "kv")
    assert order(node("d", "b", "c"), node("c", "a"), node("b", "a"), node("a")) == (
        "a",
        "c",
        "b",
        "d",
    )


def test_optional_dependencies_order_when_present() -> None:
    assert order(node("gw", optional=("kv", "nope")), node("kv")) == ("kv", "gw")


def test_short_names_are_the_same_plugin() -> None:
    assert order(node("@buntime/plugin-kv", "@buntime/db"), node("@buntime/plugin-db")) == (
        "@buntime/plugin-db",
        "@buntime/plugin-kv",
    )


def test_a_dependency_named_twice_counts_once() -> None:
    assert order(node("a", "b", "b", optional=("b",)), node("b")) == ("b", "a")


def test_missing_disabled_not_listed_and_transitive() -> None:
    result = resolve(
        [
            node("a", "gone"),
            node("b", "off", "gone"),
            node("c", "here"),
            node("d", "a"),
            node("e", "d"),
            node("f", optional=("a", "off")),
        ],
        disabled={"off"},
        not_listed={"here"},
    )
    assert result.order == ("f",)
    assert result.excluded == {
        "a": "requires gone, which is not installed",
        "b": "requires off, which is disabled; requires gone, which is not installed",
        "c": "requires here, which is installed but not listed in plugins",
        "d": "requires a, which was excluded (requires gone, which is not installed)",
        "e": "requires d, which was excluded (requires a, which was excluded"
        " (requires gone, which is not installed))",
    }


def test_a_cycle_takes_its_dependants_along_and_nobody_else() -> None:
    result = resolve(
        [
            node("a", "b"),
            node("b", "c"),
            node("c", "a"),
            node("user", "a"),
            node("maybe", optional=("a",)),
            node("free"),
        ]
    )
    assert result.order == ("maybe", "free")
    assert result.excluded == {
        "a": "dependency cycle: a → b → c → a",
        "b": "dependency cycle: b → c → a → b",
        "c": "dependency cycle: c → a → b → c",
        "user": "requires a, which was excluded (dependency cycle: a → b → c → a)",
    }


def test_a_plugin_that_needs_itself_is_a_cycle() -> None:
    result = resolve([node("a", "a"), node("b")])
    assert result == Resolution(order=("b",), excluded={"a": "dependency cycle: a → a"})


def test_an_optional_edge_can_close_a_cycle() -> None:
    result = resolve([node("a", "b"), node("b", optional=("a",))])
    assert result.order == ()
    assert set(result.excluded) == {"a", "b"}
