from __future__ import annotations

import pytest
from buntime_host.jsonc import JsoncError, expand, parse_jsonc


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", {}),
        ("", None),
        ("  \n", None),
        ("// nothing\n/* at all */", None),
        ("null", None),
        ('\ufeff{"a": 1}', {"a": 1}),
        ('{"a": [1, 2,], /* x */ "b": {"c": true,},} // end', {"a": [1, 2], "b": {"c": True}}),
        ('{"url": "http://x//y", "c": "/* no */"}', {"url": "http://x//y", "c": "/* no */"}),
        ('{"a": 9007199254740993}', {"a": 9007199254740993}),
    ],
)
def test_parse(text: str, value: object) -> None:
    assert parse_jsonc(text) == value


@pytest.mark.parametrize("text", ["{", '{"a": }', '{"a": 1} x', "[1,,2]", "[" * 100_000])
def test_parse_refuses(text: str) -> None:
    with pytest.raises(JsoncError):
        parse_jsonc(text)


def test_parse_error_says_where() -> None:
    with pytest.raises(JsoncError, match=r"line 2, column 10: Unexpected"):
        parse_jsonc('{\n  "a": 1 2\n}')


def test_a_key_twice_is_an_error() -> None:
    with pytest.raises(JsoncError, match='"a"'):
        parse_jsonc('{"a": 1, "a": 2}')


def test_expand_in_nested_values() -> None:
    warnings: list[str] = []
    environ = {"HOME": "/home/x", "EMPTY": "", "NESTED": "${HOME}"}
    value = {
        "${HOME}": "${HOME}/a/${HOME}",
        "list": [{"x": ["${NESTED}", 1, None, True]}],
        "default": "${MISSING:-a:-b}",
        "empty": "[${EMPTY}]",
        "empty_default": "${EMPTY:-d}",
        "literal": "$${HOME} $HOME ${}",
    }
    assert expand(value, environ, warnings.append) == {
        "${HOME}": "/home/x/a//home/x",
        "list": [{"x": ["${HOME}", 1, None, True]}],
        "default": "a:-b",
        "empty": "[]",
        "empty_default": "d",
        "literal": "${HOME} $HOME ${}",
    }
    assert warnings == []


def test_expand_of_an_unset_variable_is_empty_and_warns_with_path_and_name() -> None:
    warnings: list[str] = []
    value = expand({"plugins": [["p", {"url": "x${NOPE}y"}]]}, {}, warnings.append)
    assert value == {"plugins": [["p", {"url": "xy"}]]}
    assert warnings == [
        "plugins[0][1].url: environment variable NOPE is not set, using an empty string"
    ]
