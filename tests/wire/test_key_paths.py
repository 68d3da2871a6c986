"""Keys as text in URLs."""

from __future__ import annotations

from urllib.parse import quote

import pytest
from buntime_keyval.wire import (
    BigInt,
    InvalidInput,
    Key,
    encode_key,
    encode_key_path,
    format_key_path,
    key_to_json,
    parse_key_path,
    parse_key_text,
)
from buntime_keyval.wire.paths import format_key_text
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.keys import keys, order
from support.sampling import share_of

SAFE = 2**53 - 1


@pytest.mark.parametrize(
    ("path", "key"),
    [
        ("users/123", ("users", 123)),
        ("/users//123/", ("users", 123)),
        ("007", (7,)),
        ("-100", (-100,)),
        ("-0", (0,)),
        ("0", (0,)),
        (str(SAFE), (SAFE,)),
        (str(-SAFE), (-SAFE,)),
        (str(SAFE + 1), (str(SAFE + 1),)),
        (str(-SAFE - 1), (str(-SAFE - 1),)),
        ("0" * 1000 + "5", (5,)),
        ("1" * 1000, ("1" * 1000,)),
        ("1.5", ("1.5",)),
        ("1e3", ("1e3",)),
        ("+1", ("+1",)),
        ("--1", ("--1",)),
        ("-", ("-",)),
        ("٣", ("٣",)),
        ("true/false/null", ("true", "false", "null")),
        ("%31%32", (12,)),
        ("a%2Fb/c", ("a/b", "c")),
        ("a%2fb", ("a/b",)),
        ("%20", (" ",)),
        ("a+b", ("a+b",)),
        ("%C3%A9", ("é",)),
        ("%F0%9F%99%82", ("🙂",)),
        ("%2525", ("%25",)),
        ("100%", ("100%",)),
        ("%zz", ("%zz",)),
        ("50%25", ("50%",)),
        ("%00", ("\0",)),
        ("a/keys/b", ("a", "keys", "b")),
        ("..", ("..",)),
        ("x" * 1024, ("x" * 1024,)),
        ("%61" * 1024, ("a" * 1024,)),
        (quote("🙂" * 512), ("🙂" * 512,)),
        ("/".join("a" * 20), ("a",) * 20),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_path(path: str, key: Key) -> None:
    assert order(parse_key_path(path)) == order(key)


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "Key path cannot be empty"),
        ("///", "Key path cannot be empty"),
        ("/".join("a" * 21), "Key path too deep (max 20 parts)"),
        ("x" * 1025, "Key part too long (max 1024 chars)"),
        (quote("🙂" * 513), "Key part too long (max 1024 chars)"),
        ("0" * 1025, "Key part too long (max 1024 chars)"),
        ("0" * 5000, "Key part too long (max 1024 chars)"),
        ("%FF", "Key part is not valid UTF-8"),
        ("a/%C3", "Key part is not valid UTF-8"),
        ("%ED%A0%80", "Key part is not valid UTF-8"),
    ],
    ids=lambda value: repr(value)[:30],
)
def test_path_is_refused(path: str, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        parse_key_path(path)
    assert str(caught.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("a/b", ("a", "b")),
        ('["a","1",true,1.5]', ("a", "1", True, 1.5)),
        ('[{"__type":"bigint","value":"5"}]', (BigInt(5),)),
        ('["a/b"]', ("a/b",)),
        ("[draft]/x", ("[draft]", "x")),
        ("[", ("[",)),
        ("%5B1%5D", ("[1]",)),
    ],
)
def test_query_text_is_a_path_or_a_json_array(text: str, key: Key) -> None:
    assert order(parse_key_text(text)) == order(key)


@pytest.mark.parametrize("text", ["[]", "[null]", "[[1]]"])
def test_a_json_array_that_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match=r"cannot be empty|Invalid key part"):
        parse_key_text(text)


@pytest.mark.slow
@settings(max_examples=share_of(300), deadline=None)
@given(keys())
@example(("a/b", "100%", "é", "..", "?", "#"))
@example(("007",))
@example(("[1]", "x"))
def test_formatted_paths_parse_back(key: Key) -> None:
    path = format_key_path(key)
    if path is not None:
        assert path.isascii()
        assert order(parse_key_path(path)) == order(key)
        assert parse_key_path(path) == parse_key_text(path)
    assert order(parse_key_text(format_key_text(key))) == order(key)


@pytest.mark.slow
@settings(max_examples=share_of(300), deadline=None)
@given(st.lists(st.text(st.characters(codec="utf-8"), min_size=1, max_size=9), min_size=1))
def test_strings_are_unsayable_only_where_they_look_like_integers(parts: list[str]) -> None:
    key = tuple(parts[:20])
    numeric = any(part.removeprefix("-").isdecimal() and part.isascii() for part in key)
    assert (format_key_path(key) is None) == numeric


@pytest.mark.parametrize("part", [True, 1.5, BigInt(1), b"a", "", "5", "-007"])
def test_what_no_path_can_say(part: object) -> None:
    assert format_key_path(("a", part)) is None  # type: ignore[arg-type] # parts of every type


@settings(max_examples=share_of(300), deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40))
@example("%%%")
@example("[[[[")
@example("%F0%9F")
def test_any_text_is_a_key_or_refused(text: str) -> None:
    for parse in (parse_key_path, parse_key_text):
        try:
            key = parse(text)
        except InvalidInput:
            continue
        assert 1 <= len(key) <= 20


PIECES = [*"/aZ-07~.%:", "12", "%2F", "%30", '"', "\\", "é", "\x00"]


@settings(max_examples=share_of(300))
@given(
    st.lists(st.sampled_from(PIECES), max_size=12)
    .map("".join)
    .map(lambda text: text.encode("latin-1"))
)
@example(b"a/" * 20)
@example(b"/".join([b"a"] * 20))
@example(b"/".join([b"a"] * 21))
@example(b"/a")
@example(b"a//b")
@example(b"%2Fa/b")
@example(b"1a/b")
@example(b"9" * 15 + b"/" + b"9" * 16 + b"/9007199254740991/9007199254740992/-1")
@example(bytes(range(0x21, 0x7F)))
@example(b"x" * 600)
@example(b"x" * 1025)
def test_a_path_is_encoded_as_the_key_that_it_says(path: bytes) -> None:
    try:
        key = parse_key_path(path.decode("latin-1"))
    except InvalidInput as error:
        expected = str(error)
    else:
        for _ in range(2):  # where it begins as one before, that is not looked at again
            assert encode_key_path(path) == (encode_key(key), key_to_json(key))
        return
    with pytest.raises(InvalidInput) as raised:
        encode_key_path(path)
    assert str(raised.value) == expected
