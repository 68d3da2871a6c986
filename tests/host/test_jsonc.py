from __future__ import annotations

import pytest
from buntime_host.options.jsonc import JsoncError, expand, parse_jsonc


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
        (r'"\ud83d\ude00 \u0041 \" \\ \/ \n"', '\U0001f600 A " \\ / \n'),
        (r'"\\ud83d"', r"\ud83d"),
        ('["a\\",}", 1, /* , ] */ ]', ['a",}', 1]),
        ("[1.5, -0.25e3, 0]\n// end\n/* end */", [1.5, -250.0, 0]),
    ],
)
def test_parse(text: str, value: object) -> None:
    assert parse_jsonc(text) == value


@pytest.mark.parametrize(
    "text",
    [
        "{",
        '{"a": }',
        '{"a": 1} x',
        "[1,,2]",
        "[1,,]",
        "[,]",
        "{ , }",
        ",",
        "{} /* no end",
        "/*/",
        "[" * 100_000,
        '{"a":' * 100_000,
        "['a']",
        "{a: 1}",
        "[0x10]",
        "[+1]",
        "[.5]",
        "[5.]",
        "[NaN]",
        "[-Infinity]",
        "[1e999]",
        "9" * 5000,
        '"a\nb"',
        '"no end',
        '"' + r"\"" * 200_000,
    ],
    ids=lambda text: text[:12],
)
def test_parse_refuses(text: str) -> None:
    with pytest.raises(JsoncError):
        parse_jsonc(text)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ('{\n  "a": 1 2\n}', "line 2, column 10: Expecting ',' delimiter"),
        ('{ // path\n  "dir": ".\\data" }', r"line 2, column 12: Invalid \\escape"),
        ('/* \n\n */ ["\\ud83d"]', "line 3, column 7: half of a surrogate pair"),
        ('["\\ude00\\ud83d"]', "line 1, column 3: half of a surrogate pair"),
        ('["NaN -Infinity",\n NaN]', "line 2, column 2: NaN is not a JSON value"),
        ("[1, -Infinity]", "line 1, column 5: -Infinity is not a JSON value"),
        ('{"a": "1e999",\n\n "b": -1e999}', "line 3, column 7: the number -1e999 is too large"),
        ("[" + "9" * 5000 + "]", "line 1, column 2: the number 99999999999999999999 is too large"),
        ("[\n" * 65, "line 65, column 1: nested too deeply"),
    ],
)
def test_an_error_says_where(text: str, where: str) -> None:
    with pytest.raises(JsoncError, match=where):
        parse_jsonc(text)


@pytest.mark.slow
def test_what_a_hostile_text_costs_grows_with_its_size() -> None:
    for piece in ("/*", '"', '"\\', ",", "[,", ", ", "//", '/* "', "{", "\\u", "9", "-", "1e"):
        with pytest.raises(JsoncError):
            parse_jsonc("[" + piece * 200_000)


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
