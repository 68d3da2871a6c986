"""What a grant permits: every scope, role and resource, and what is none."""

from __future__ import annotations

import itertools

import pytest
from buntime_host import BadRequest, PermissionDenied
from buntime_host.access import (
    EVERYONE,
    HOST_PERMISSIONS,
    Action,
    Grant,
    Life,
    Permissible,
    Principal,
    Spans,
    compile_grant,
    principal_of,
    short_name,
    text_prefix,
)


def path_prefix(resource: str) -> bytes:
    if resource.startswith("/"):
        raise ValueError("a path begins with a name")
    return b"".join(part.encode() + b"\0" for part in resource.split("/"))


PERMISSIONS = Permissible(
    {
        "files": {
            "read": Action(path_prefix),
            "write": Action(path_prefix),
            "edit": Action(path_prefix, covers=("read", "write")),
            "queue:send": Action(text_prefix),
            "queue": Action(),
            "admin": Action(path_prefix, covers=("*",)),
        },
        "plain": {},
    }
)


def grant(*texts: str) -> Grant:
    return compile_grant(texts, PERMISSIONS)


def principal(*texts: str) -> Principal:
    return Principal("12345678", "test", grant(*texts))


@pytest.mark.parametrize(
    ("texts", "allowed", "refused"),
    [
        (["files:read:a"], ["files:read:a", "files:read:a/b"], ["files:read:ab", "files:write:a"]),
        (["files:read:a/b", "files:read:a"], ["files:read:a/c"], ["files:read", "files:read:b"]),
        (["files:read"], ["files:read", "files:read:x"], ["files:write:x", "plain:*"]),
        (["files:edit:a"], ["files:read:a", "files:write:a/b"], ["files:read:b", "files:queue"]),
        (["files:queue:send:mail"], ["files:queue:send:mails"], ["files:queue", "files:read"]),
        (["files:queue"], ["files:queue"], ["files:queue:send", "files:queue:send:x"]),
        (["files:admin:a"], ["files:read:a", "files:queue:send:a\0b"], ["files:read:b"]),
        (["files:*"], ["files:read", "files:queue", "files:*"], ["plain:*", "host:plugins:read"]),
        (["plain:*"], ["plain:*"], ["files:*"]),
        (["plugins:read"], ["host:plugins:read"], ["host:plugins:config", "files:read"]),
        (["host:keys:create"], ["host:keys:create"], ["host:keys:read"]),
        (["host:*"], [f"host:{name}" for name in HOST_PERMISSIONS], ["files:read", "plain:*"]),
        (["viewer"], ["host:keys:read"], ["host:keys:create", "files:read"]),
        (["editor"], ["host:plugins:config"], ["host:keys:read", "host:keys:create"]),
        (["admin"], ["host:keys:revoke", "files:admin", "plain:*"], []),
        (["*"], ["host:keys:revoke", "files:admin", "plain:*"], []),
        ([], [], ["files:read:a", "host:plugins:read", "plain:*"]),
    ],
)
def test_what_is_permitted(texts: list[str], allowed: list[str], refused: list[str]) -> None:
    asker = principal(*texts)
    for asked, expected in [*((a, True) for a in allowed), *((r, False) for r in refused)]:
        scope, resource = taken_apart(asked)
        assert asker.allows(scope, resource) is expected, asked


def taken_apart(text: str) -> tuple[str, bytes | None]:
    for scope in ("files:queue:send", "files:read", "files:write"):
        if text.startswith(f"{scope}:"):
            rest = text.removeprefix(f"{scope}:")
            return scope, rest.encode() if "send" in scope else path_prefix(rest)
    return text, None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "there is no plugin ''"),
        ("nothing", "there is no plugin 'nothing'"),
        ("other:read", "there is no plugin 'other'; there are files, host, plain"),
        ("files", "the actions of files are read, write, edit, queue:send, queue, admin, *"),
        ("files:", "the actions of files are"),
        ("files:readx", "the actions of files are"),
        ("files:read:", "it ends with a colon"),
        ("files:read:/a", "a path begins with a name"),
        ("files:queue:x", "this action has no resource"),
        ("files:*:a", "the actions of files are"),
        ("host:plugins:read:x", "this action has no resource"),
        ("plain:read", "the actions of plain are *"),
    ],
)
def test_what_is_no_permission(text: str, reason: str) -> None:
    with pytest.raises(BadRequest) as caught:
        grant(text)
    assert caught.value.error_code == "INVALID_PERMISSION"
    assert repr(text) in caught.value.message
    assert reason in caught.value.message
    lenient = compile_grant([text, "files:read"], PERMISSIONS, lenient=True)
    assert lenient.has_all(grant("files:read"))
    assert grant("files:read").has_all(lenient)


def test_spans_against_all_short_resources() -> None:
    """Every resource and range of up to two bytes, against what a prefix is said to cover."""
    letters = [b"\0", b"a", b"\xff"]
    short = [b"".join(c) for n in range(3) for c in itertools.product(letters, repeat=n)]
    for count in range(3):
        for prefixes in itertools.combinations(short, count):
            spans = Spans(prefixes)

            def is_covered(resource: bytes, prefixes: tuple[bytes, ...] = prefixes) -> bool:
                return any(
                    resource == prefix
                    or prefix == b""
                    or (resource.startswith(prefix) and resource[len(prefix)] != 0xFF)
                    for prefix in prefixes
                )

            for resource in short:
                assert spans.has(resource) is is_covered(resource), (prefixes, resource)
            for start, end in itertools.combinations(sorted(short), 2):
                if spans.has_range(start, end):
                    within = [r for r in short if start <= r < end]
                    assert all(is_covered(r) for r in within), (prefixes, start, end)
            assert len(spans.prefixes) <= len(prefixes)


def test_ranges() -> None:
    asker = principal("files:read:a", "files:read:c/d")
    start, after = path_prefix("a"), path_prefix("a") + b"\xff"
    assert asker.allows_range("files:read", start, after)
    assert asker.allows_range("files:read", start + b"x", start + b"y")
    assert not asker.allows_range("files:read", b"", after)
    assert not asker.allows_range("files:read", start, path_prefix("c/d"))
    assert not asker.allows_range("files:write", start, after)
    assert EVERYONE.allows_range("files:read", b"", b"\xff")


def test_who_has_more() -> None:
    order = [(), ("files:read:a/b",), ("files:read:a",), ("files:edit:a",), ("files:*",), ("*",)]
    grants = [grant(*texts) for texts in order]
    for index, low in enumerate(grants):
        for high in grants[index:]:
            assert high.has_all(low)
        for lower in grants[:index]:
            assert not lower.has_all(low)


def test_what_is_missing_is_named() -> None:
    asker = principal("files:read:a")
    asker.require("files:read", path_prefix("a"))
    for scope, resource, named, missing in [
        ("files:read", path_prefix("b"), "b", "files:read:b"),
        ("files:read", None, None, "files:read"),
        ("files:queue:send", "mail", None, "files:queue:send:mail"),
        ("host:plugins:read", None, None, "plugins:read"),
    ]:
        with pytest.raises(PermissionDenied) as caught:
            asker.require(scope, resource, named=named)
        assert (caught.value.status, caught.value.error_code) == (403, "PERMISSION_DENIED")
        assert caught.value.message == f"Missing permission: {missing}"
    EVERYONE.require("files:read", "anything")


def test_a_grant_touches_plugins() -> None:
    assert grant("files:read:a").touches("files")
    assert not grant("files:read:a").touches("file")
    assert grant("*").touches("plain")
    assert not grant("viewer").touches("plain")


def test_who_waits_for_the_end_is_told_once() -> None:
    life, told = Life(), []
    life.when_over(lambda: told.append("first"))
    take_back = life.when_over(lambda: told.append("never"))
    take_back()
    take_back()
    life.end()
    life.end()
    assert (told, life.over) == (["first"], True)
    life.when_over(lambda: told.append("late"))()
    assert told == ["first", "late"]


def test_where_a_request_has_its_principal() -> None:
    asker = principal()
    assert principal_of({"state": {"principal": asker}}) is asker
    assert principal_of({"state": {}}) is principal_of({}) is EVERYONE


@pytest.mark.parametrize(
    ("plugin", "short"),
    [
        ("@buntime/plugin-keyval", "keyval"),
        ("@buntime/keyval", "keyval"),
        ("@example/greeter", "greeter"),
        ("@example/plugin-greeter", "greeter"),
        ("greeter", "greeter"),
    ],
)
def test_names_in_scopes(plugin: str, short: str) -> None:
    assert short_name(plugin) == short
