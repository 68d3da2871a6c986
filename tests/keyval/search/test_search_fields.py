"""What of a value is indexed, under which names, and that no name is dangerous."""

from __future__ import annotations

from typing import Any

import pytest
from buntime_keyval import BigInt, InvalidInput
from buntime_plugin_keyval.faces.local.kv import LocalKv

pytestmark = pytest.mark.slow

VALUE = {
    "text": "plain words",
    "author": {"name": "Ada Lovelace", "tags": ["first", {"deep": "second"}]},
    "items": [{"name": "anvil"}, {"name": "bellows"}],
    "grid": [["aa", "ab"], ["ba", "bb"]],
    "named": {"0": "zero", "1": {"2": "onetwo"}},
    "number": 42,
    "price": 19.5,
    "huge": 1e300,
    "yes": True,
    "no": False,
    "none": None,
    "big": BigInt(123456789012345678901),
    "mixed": ["eleven", 12, True, None],
}


CASES = [
    ("text", "plain", True),
    ("author.name", "lovelace", True),
    ("author.tags", "first second", True),
    ("author.tags", "deep", True),
    ("author.tags[0]", "first", True),
    ("author.tags[0]", "second", False),
    ("author.tags[1].deep", "second", True),
    ("author.tags.1.deep", "second", True),
    ("author.tags[#-1].deep", "second", True),
    ("items.0.name", "anvil", True),
    ("items.0.name", "bellows", False),
    ("items[1].name", "bellows", True),
    ("grid.1.0", "ba", True),
    ("grid.1.0", "ab", False),
    ("named.0", "zero", True),
    ("named.1.2", "onetwo", True),
    ("named[0]", "zero", False),
    ("$.text", "plain", True),
    ("$", "lovelace anvil", True),
    ("author", "ada", True),
    ("number", "42", True),
    ("price", '"19.5"', True),
    ("huge", "1e300", True),
    ("yes", "true", True),
    ("no", "false", True),
    ("none", "null", False),
    ("missing", "null", False),
    ("text.deeper", "plain", False),
    ("big", "123456789012345678901", True),
    ("big", "bigint", False),
    ("mixed", "eleven 12 true", True),
]


@pytest.mark.engines("sqlite", "libsql")
@pytest.mark.parametrize(
    ("field", "query", "matches"),
    CASES,
)
async def test_fields(kv: LocalKv, field: str, query: str, matches: bool) -> None:
    await kv.create_index(["d"], fields=[field])
    await kv.set(["d", 1], VALUE)  # by a trigger
    await kv.create_index(["e"], fields=["nothing"])
    await kv.set(["e", 1], VALUE)
    await kv.create_index(["e"], fields=[field])  # by filling
    for prefix in ("d", "e"):
        assert [hit.key async for hit in kv.search([prefix], query)] == [(prefix, 1)] * matches


HOSTILE = [
    "it's", 'quo"te', '"quoted.name"', '"a\\"b"', "back\\slash", "semi; DROP TABLE kv_entries; --",
    "new\nline", "tab\t", "\x01\x1f", "{}", "{0}", "{row}", "%s", "?", "?1", ":name", "@x", "$x",
    "'); DROP TABLE kv_entries; --", "x'00'", "é", "日本語", "🙂", "\u2028", "f0", "rowid", "rank",
    "NEW.value", "/* c */", "a" * 1024, "'" * 1024, '"' + "\\\\" * 500 + '"', "\x01" * 1000,
    "'name", '"a.b".c', '"[0]"', " ", "AND", "-", "END;",
]  # fmt: skip


@pytest.mark.engines("sqlite", "libsql")
@pytest.mark.parametrize("field", HOSTILE, ids=range(len(HOSTILE)))
async def test_hostile_names_are_names(kv: LocalKv, field: str) -> None:
    from buntime_plugin_keyval.model.where.paths import parse_path

    value: Any = "needle"
    for step in reversed(parse_path(field)):
        value = {step: value}
    await kv.set(["d", 1], value)
    await kv.create_index(["d"], fields=[field, "other"])
    await kv.set(["d", 2], value)
    await kv.set(["d", 3], {"x": "needle"})
    hits = [hit async for hit in kv.search(["d"], "needle", highlight=True, weights={field: 2})]
    assert [hit.key[1] for hit in hits] == [1, 2]
    assert hits[0].highlight == {field: "<mark>needle</mark>", "other": ""}
    (index,) = await kv.list_indexes()
    assert index.fields == [field, "other"]
    await kv.remove_index(["d"])
    assert await kv.list_indexes() == []


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ("text", "options.fields must be a non-empty array"),
        ([], "At least one field must be specified"),
        ([1], "A field must be a path, received number"),
        ([""], "Invalid field path"),
        (["a..b"], "Invalid field path"),
        (["a\0b"], "Invalid field path"),
        (["a\ud800"], "Invalid field path"),
        (["a" * 1025], "Invalid field path"),
        (['"open'], "Invalid field path"),
        ([f"f{n}" for n in range(51)], "Too many fields: 51 (max 50)"),
        (["a.1.2.3.4"], "Too many numbers in a.1.2.3.4 (max 3)"),
        (["\x01" * (1000 + n) for n in range(20)], "The paths of the fields are too long together"),
    ],
)
async def test_wrong_fields_are_refused(kv: LocalKv, fields: Any, message: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        await kv.create_index(["d"], fields=fields)
    assert message in str(caught.value)
    assert await kv.list_indexes() == []


@pytest.mark.parametrize("tokenize", ["unicode", "", "porter unicode61", "ascii'); --", 1, ["a"]])
async def test_only_known_tokenizers(kv: LocalKv, tokenize: Any) -> None:
    with pytest.raises(InvalidInput, match="tokenize must be one of unicode61, porter, ascii"):
        await kv.create_index(["d"], fields=["a"], tokenize=tokenize)


async def test_fifty_long_fields_fit(kv: LocalKv) -> None:
    fields = [f"member{number:02}" + "x" * 500 for number in range(50)]
    await kv.create_index(["d"], fields=fields)
    await kv.set(["d", 1], {fields[49]: "needle"})
    assert [hit.key[1] async for hit in kv.search(["d"], "needle")] == [1]
