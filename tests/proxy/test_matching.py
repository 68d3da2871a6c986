"""Which rule a path comes to, and which path that makes of it."""

from __future__ import annotations

import random
import time
from typing import Any

import pytest
from buntime_plugin_proxy.rules.patterns import LONGEST_PATH, PatternProblem, Template, compiled
from buntime_plugin_proxy.rules.reading import changed, rule_from
from buntime_plugin_proxy.rules.rule import Rule
from buntime_plugin_proxy.rules.table import RuleTable


def rule(pattern: str, id: str = "r", *, order: int = 0, **fields: Any) -> Rule:
    given = {"pattern": pattern, "target": "http://t", **fields}
    return rule_from(given, id, order=order)


def led_to(path: str, pattern: str, **fields: Any) -> str | None:
    match = RuleTable([rule(pattern, **fields)]).match(path.encode())
    return None if match is None else match.path.decode()


def test_a_pattern_is_looked_for_anywhere() -> None:
    assert led_to("/a/api/b", "api") == "/a/api/b"
    assert led_to("/a/api/b", "^/api") is None


@pytest.mark.parametrize(
    ("rewrite", "path"),
    [
        ("$1", "/b"),
        ("/x/$1", "/x/b"),
        ("x", "/x"),
        ("", "/"),
        ("$2", "/"),
        ("/$2$1", "/b"),
        ("/$10", "/b0"),
        ("/$01", "/b"),
        ("/$$1", "/$1"),
        ("/$&$`$'", "/$&$`$'"),
        ("/$", "/$"),
    ],
)
def test_groups_are_put_in_once(rewrite: str, path: str) -> None:
    assert led_to("/a/b", "^/a/(.*?)(c)?$", rewrite=rewrite) == path


def test_more_than_nine_groups() -> None:
    letters = "abcdefghijk"
    pattern = "^/" + "".join(f"({letter})" for letter in letters)
    assert led_to(f"/{letters}", pattern, rewrite="/$10-$1-$11-$12") == "/j-a-k-a2"


def test_what_a_group_holds_is_no_template() -> None:
    assert led_to("/x/$1$$", "^/x/(.*)$", rewrite="/y/$1") == "/y/$1$$"


def test_a_template_without_groups() -> None:
    assert Template("/a$3b", 0).filled(lambda _: b"never") == b"/ab"


@pytest.mark.parametrize("target_path", ["join", "replace"])
@pytest.mark.parametrize(
    ("path", "sent"),
    [
        ("//b/a", "/b/a"), ("/////b", "/b"), ("//", "/"), ("b", "/b"), ("", "/"),
        ("/b//a/", "/b//a/"), ("//b//a", "/b//a"), ("/%2F/b", "/%2F/b"),
    ],
)  # fmt: skip
def test_a_path_begins_with_one_slash(path: str, sent: str, target_path: str) -> None:
    """So nobody reads a host behind two of them; those further on are the target's."""
    rewritten: dict[str, str] = {"rewrite": "$1", "targetPath": target_path}
    assert led_to(f"/x{path}", "^/x(.*)$", **rewritten) == sent
    below = "/app" if target_path == "join" else ""
    assert led_to(f"/x{path}", "^/x(.*)$", target="http://t/app/", **rewritten) == below + sent
    assert led_to(f"//x{sent}", "^//x") == f"/x{sent}"


def test_the_path_of_the_target_comes_first() -> None:
    for target, path in [
        ("http://t/app", "/app/b"),
        ("http://t/app/", "/app/b"),
        ("http://t/", "/b"),
    ]:
        assert led_to("/a/b", "^/a(/.*)", rewrite="$1", target=target) == path
    assert led_to("/a/b", "^/a", target="http://t/app", targetPath="replace") == "/a/b"


def test_the_order_of_rules() -> None:
    static = [rule("^/a/b", "s", order=9), rule("^/b", "off", enabled=False)]
    dynamic = [
        rule("^/", "last", order=5),
        rule("^/a", "d", order=1),
        rule("^/b", "first", order=0),
    ]
    table = RuleTable(static, dynamic)

    def chosen(path: bytes) -> str:
        match = table.match(path)
        assert match is not None
        return match.ready.rule.id

    assert [chosen(path) for path in (b"/a/b", b"/a", b"/b", b"/c")] == ["s", "d", "first", "last"]


def test_rules_for_websockets() -> None:
    table = RuleTable([rule("^/a", "no", ws=False), rule("^/a", "yes")])
    http, socket = table.match(b"/a"), table.match(b"/a", websocket=True)
    assert http is not None
    assert socket is not None
    assert (http.ready.rule.id, socket.ready.rule.id) == ("no", "yes")


def test_without_rules_nothing_matches() -> None:
    assert RuleTable().match(b"/") is None
    assert not RuleTable().is_public("GET", b"/")


def test_many_rules_are_asked_like_one_after_the_other() -> None:
    chance = random.Random(7)
    patterns = [
        "".join(chance.choice(["a", "b", ".", "(a|b)", "a*", "[^/]+", "/"]) for _ in range(5))
        for _ in range(150)
    ]
    table = RuleTable([rule(pattern, str(index)) for index, pattern in enumerate(patterns)])
    for _ in range(500):
        path = "/" + "".join(chance.choice("abc/") for _ in range(chance.randrange(12)))
        first = next((str(i) for i, one in enumerate(patterns) if compiled(one).search(path)), None)
        match = table.match(path.encode())
        assert (match.ready.rule.id if match else None) == first


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|a)*$", "^(.*a){20}$", "(x+x+)+y", "(.*)*="])
def test_no_pattern_takes_long(pattern: str) -> None:
    """Of the time of this thread, so that other programs change nothing."""
    table = RuleTable([rule(pattern)])
    path = b"/" + b"a" * (LONGEST_PATH - 2) + b"!"
    table.match(path)
    begun = time.thread_time()
    table.match(path)
    assert time.thread_time() - begun < 0.1


def test_longer_paths_match_nothing() -> None:
    table = RuleTable([rule("^/", publicRoutes=["/**"])])
    assert table.match(b"/" + b"a" * (LONGEST_PATH - 1)) is not None
    assert table.match(b"/" + b"a" * LONGEST_PATH) is None
    assert not table.is_public("GET", b"/" + b"a" * LONGEST_PATH)


@pytest.mark.parametrize("pattern", ["(", "(?!a)", "(?<=a)b", r"(a)\1", "a{1,5000}", "x" * 513])
def test_patterns_that_are_none(pattern: str) -> None:
    with pytest.raises(PatternProblem):
        compiled(pattern)


def test_public_paths_by_method() -> None:
    routes = {"GET": ["/a/*", "/q?"], "ALL": ["/a/open/**"], "WEBSOCKET": ["/a/ws"]}
    first = rule("^/a", "first", publicRoutes=routes)
    second = rule("^/", "second", publicRoutes=["/z/**"])
    third = rule("^/a", "third", publicRoutes=["/a/third"])
    off = rule("^/", "off", publicRoutes=["/off"], enabled=False)
    table = RuleTable([first, second, third, off])
    public = [
        ("GET", "/a/b"), ("POST", "/a/open/x/y"), ("WEBSOCKET", "/a/ws"), ("PUT", "/z/1"),
        ("DELETE", "/a/third"),
    ]  # fmt: skip
    private = [
        ("POST", "/a/b"), ("GET", "/a/b/c"), ("GET", "/q1"), ("GET", "/off"), ("GET", "/a/%2e%2e"),
        ("GET", "/a/open/../x"), ("GET", "/a/open/%2e%2e/x"), ("GET", "/a/open%2Fx"),
    ]  # fmt: skip
    assert [table.is_public(method, path.encode()) for method, path in public] == [True] * 5
    assert [table.is_public(method, path.encode()) for method, path in private] == [False] * 8


def test_null_gives_a_field_its_default_again() -> None:
    made = rule("^/a", rewrite="/b", headers={"x": "1"}, secure=False, base="/c", order=3)
    cleared = changed(made, {"rewrite": None, "headers": None, "secure": None, "base": None})
    assert cleared == rule("^/a", order=3)
    assert changed(made, {}) == made


def test_patterns_that_are_too_large_together() -> None:
    """Each is allowed, and all of them are more than one pass can take."""
    parts = "|".join(f"[a-z]{{1,9}}x{number}.*" for number in range(22))
    patterns = [f"^/r{number}/({parts})" for number in range(250)]
    table = RuleTable([rule(pattern, str(number)) for number, pattern in enumerate(patterns)])
    for number in (0, 199, 200, 249):
        match = table.match(f"/r{number}/abcx7z".encode())
        assert match is not None
        assert match.ready.rule.id == str(number)
    assert table.match(b"/r250/abcx7z") is None
    assert table.match(b"/r7/7") is None
