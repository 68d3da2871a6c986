from __future__ import annotations

from pathlib import Path

import pytest
from buntime_keyval import BigInt, Key, Kv
from buntime_keyval.cli.inputs import parse_key
from buntime_keyval.cli.output import shown_key, shown_time
from client.cli.conftest import Commands
from hypothesis import example, given, settings
from support.keys import keys, order
from support.live import live_server
from support.sampling import share_of


def test_set_and_get(run: Commands, store: Kv) -> None:
    stamp = run.ok("set", "users/123", '{"name": "Ada", "age": 30}').out.strip()
    entry = store.get(["users", 123])
    assert (entry.value, entry.versionstamp) == ({"name": "Ada", "age": 30}, stamp)
    assert run.ok("get", "users/123").out == '{"name":"Ada","age":30}\n'
    document = {"key": ["users", 123], "value": entry.value, "versionstamp": stamp}
    assert run.ok("get", "users/123", "--json").documents == [document]
    assert run.ok("set", "a", "1", "--json").documents[0]["ok"] is True


def test_get_of_several_keys(run: Commands) -> None:
    run.ok("set", "a", "1")
    run.ok("set", "b", "null")
    assert run("get", "b", "a") == (0, "b\tnull\na\t1\n", "")
    assert run("get", "a", "c/d") == (1, "a\t1\n", "buntime: c/d does not exist\n")
    done = run("get", "c", "--json")
    assert (done.status, done.documents) == (
        1,
        [{"key": ["c"], "value": None, "versionstamp": None}],
    )


@pytest.mark.parametrize(
    ("typed", "key"),
    [
        ("users/123", ("users", 123)),
        ('["users", "123"]', ("users", "123")),
        ('["k", {"__type": "bigint", "value": "5"}]', ("k", BigInt(5))),
        ('["k", true, 1.5]', ("k", True, 1.5)),
        ("a%2Fb/é x", ("a/b", "é x")),
    ],
)
def test_keys_as_paths_and_json(run: Commands, store: Kv, typed: str, key: Key) -> None:
    run.ok("set", typed, "7")
    (entry,) = store.list()
    assert order(entry.key) == order(key)
    assert run.ok("get", typed).out == "7\n"


@settings(max_examples=share_of(300), deadline=None)
@given(keys())
@example(("a/b", "100%", "%2F"))
@example(("[x", "-1"))
@example(("-x",))
@example(("é", "日本 語", "\x9b\u202e"))
@example(("..", "007", -7))
def test_a_key_is_shown_as_it_may_be_typed(key: Key) -> None:
    shown = shown_key(key)
    assert order(parse_key(shown)) == order(key)
    assert not shown.startswith("-")
    assert "\n" not in shown
    assert "\t" not in shown


def test_values_from_text_stdin_and_files(run: Commands, store: Kv, tmp_path: Path) -> None:
    file = tmp_path / "value"
    file.write_text('{"a": [1]}')
    run.ok("set", "a", "--file", str(file))
    run.ok("set", "b", "-", given='"é"')
    run.ok("set", "c", "hello\tthere", "--text")
    run.ok("set", "d", "-", "--text", given="two\nlines\n")
    run.ok("set", "e", '{"__type": "bigint", "value": "5"}')
    assert {entry.key[0]: entry.value for entry in store.list()} == {
        "a": {"a": [1]}, "b": "é", "c": "hello\tthere", "d": "two\nlines\n", "e": 5,
    }  # fmt: skip
    assert run.ok("get", "c").out == '"hello\\tthere"\n'
    assert run.ok("get", "c", "--text").out == "hello\tthere\n"
    assert run.ok("get", "a", "--text").out == '{"a":[1]}\n'


def test_a_number_beyond_2_to_53_stays_one(run: Commands) -> None:
    run.ok("set", "a", "[9007199254740993, 1e300]")
    assert run.ok("get", "a").out == "[9007199254740993,1e300]\n"


def test_lifetimes(run: Commands, store: Kv) -> None:
    run.ok("set", "short", "1", "--expires-in", "1ms")
    run.ok("set", "long", "1", "--expires-in", "1h")
    assert not store.get(["short"]).exists
    assert store.get(["long"]).exists
    done = run("set", "a", "1", "--expires-in", "soon")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "expiresIn must be" in done.err


def test_list_and_count(run: Commands, store: Kv) -> None:
    for number in range(5):
        store.set(["n", number], {"even": number % 2 == 0})
    store.set(["other"], "x")
    assert run.ok("list").out.count("\n") == 6
    assert run.ok("list", "n", "--limit", "1").out == 'n/0\t{"even":true}\n'
    found = run.ok("list", "n", "--start", "n/1", "--end", "n/4", "--reverse", "--json").documents
    assert [entry["key"][1] for entry in found] == [3, 2, 1]
    where = ("--where", '{"even": true}')
    assert [entry["key"][1] for entry in run.ok("list", *where, "--json").documents] == [0, 2, 4]
    assert run.ok("count").out == "6\n"
    assert run.ok("count", "[]", *where).out == "3\n"
    assert run.ok("count", "n", "--json").documents == [{"count": 5}]


def test_a_list_goes_beyond_a_page(run: Commands, store: Kv) -> None:
    for start in (0, 1000):
        atomic = store.atomic()
        for number in range(start, start + 1000):
            atomic.set(["n", number], number)
        atomic.commit()
    lines = run.ok("list", "n").out.splitlines()
    assert lines == [f"n/{number}\t{number}" for number in range(2000)]


def test_lives(run: Commands, store: Kv) -> None:
    run.ok("set", "a", "1", "--expires-in", "1h")
    assert run.ok("touch", "a", "2h").out == ""
    details = store.get_with_metadata(["a"]).details
    assert details is not None
    assert details.expires_at is not None
    assert details.expires_at - details.updated_at == 7_200_000
    assert run.ok("persist", "a", "--json").documents == [{"touched": True}]
    details = store.get_with_metadata(["a"]).details
    assert details is not None
    assert details.expires_at is None
    assert run("touch", "b", "1h") == (1, "", "buntime: b does not exist\n")
    assert run("persist", "b", "--json").documents == [{"touched": False}]
    assert run("touch", "a", "soon").status == 2


def test_sum(run: Commands, store: Kv) -> None:
    run.ok("sum", "visits")
    run.ok("sum", "visits", "10")
    run.ok("sum", "visits", "--", "-2")
    assert store.get(["visits"]).value == 9
    store.set(["visits"], "text")
    done = run("sum", "visits")
    assert (done.status, done.err.count("\n")) == (1, 1)


def test_delete(run: Commands, store: Kv) -> None:
    some: list[Key] = [("a",), ("a", 1), ("a", 2), ("b",), ("c", 1), ("c", 2)]
    for key in some:
        store.set(key, {"n": key[-1]})
    assert run.ok("delete", "a", "--exact").out == "1\n"
    assert run.ok("delete", "a", "--where", '{"n": 1}', "--json").documents == [{"deletedCount": 1}]
    assert run.ok("delete", "a", "b", "gone").out == "2\n"
    assert [entry.key for entry in store.list()] == [("c", 1), ("c", 2)]
    assert run("delete").status == 2
    assert run("delete", "c", "--everything").status == 2
    assert run("delete", "[]").status == 2
    assert run.ok("delete", "--everything").out == "2\n"


def test_metrics(run: Commands) -> None:
    assert "storage.entries\t0\n" in run.ok("metrics").out
    assert run.ok("metrics", "--json").documents[0]["storage"]["entries"] == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ("get", '["a"'),
        ("get", "/"),
        ("get", "[9007199254740993]"),
        ("set", "a", "1", "--expires-in", "-5"),
        ("get", "/".join("abcdefghijklmnopqrstuvwxyz")),
        ("set", "a"),
        ("set", "a", "1", "--file", "x"),
        ("set", "a", "{"),
        ("set", "a", ""),
        ("set", "a", '{"__type": "bigint", "value": "x"}'),
        ("list", "--where", "{"),
        ("list", "--where", "[]"),
        ("list", "--start", '["a'),
        ("count", "--url", "localhost:8000"),
    ],
)
def test_what_is_typed_wrong_is_told_in_a_line(run: Commands, arguments: tuple[str, ...]) -> None:
    done = run(*arguments)
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert done.err.startswith("buntime: error: ")


@pytest.mark.parametrize("arguments", [("get",), ("get", "a", "--wrong"), ("list", "--limit", "0")])
def test_usage_errors(run: Commands, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).status == 2


def test_failures_are_told_in_a_line(run: Commands) -> None:
    done = run("list", "--where", '{"a": {"$gtt": 1}}')
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    assert done.err.startswith("buntime: error: Unknown operator: $gtt (400")
    done = run("set", "a", "--file", "/nowhere")
    assert done == (1, "", "buntime: error: /nowhere: No such file or directory\n")


@pytest.mark.parametrize(
    "arguments", [("count",), ("watch", "a"), ("queue", "listen"), ("export",), ("get", "a")]
)
def test_without_a_server(run: Commands, arguments: tuple[str, ...]) -> None:
    url = "http://127.0.0.1:9/keyval/api"
    option = ("--url", url)
    done = run(*option, *arguments) if arguments == ("get", "a") else run(*arguments, *option)
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    assert "could not connect" in done.err
    assert done.err.endswith(f"is a server running at {url}?\n")


def test_a_missing_credential_is_named_with_its_option(tmp_path: Path) -> None:
    with live_server(tmp_path, environ={"RUNTIME_MASTER_KEY": "a master key"}) as server:
        run = Commands(server.api)
        done = run("count")
        assert (done.status, done.out) == (1, "")
        assert done.err.endswith("; give a valid key with --token or $BUNTIME_KV_TOKEN\n")
        assert run.ok("count", "--token", "a master key").out == "0\n"


FUTURE = 4_000_000_000_000


def test_metadata_and_times(run: Commands, store: Kv) -> None:
    run.ok("set", "a", "1", "--metadata", '{"by": "ada", "n": 9007199254740993}')
    store.set(["b"], 1)
    store.set(["b"], 2, expires_at=FUTURE, type="B b")
    a, b = store.get_with_metadata([["a"], ["b"]])
    assert a.details is not None
    assert b.details is not None
    assert a.details.metadata == {"by": "ada", "n": 9007199254740993}
    documents = [
        {
            "key": ["a"], "value": 1, "versionstamp": a.versionstamp,
            "metadata": a.details.metadata, "createdAt": a.details.created_at,
            "updatedAt": a.details.updated_at, "expiresAt": None, "revision": 1, "type": None,
        },
        {
            "key": ["b"], "value": 2, "versionstamp": b.versionstamp,
            "metadata": None, "createdAt": b.details.created_at,
            "updatedAt": b.details.updated_at, "expiresAt": FUTURE, "revision": 2, "type": "B b",
        },
    ]  # fmt: skip
    assert run.ok("get", "a", "b", "--details", "--json").documents == documents
    assert run.ok("list", "--details", "--json").documents == documents
    for document in documents:
        del document["value"]
    assert run.ok("list", "--details", "--keys-only", "--json").documents == documents
    told = [shown_time(it) for it in (a.details.created_at, a.details.updated_at)]
    line = ["a", "1", '{"by":"ada","n":9007199254740993}', *told, "-", "1", "-"]
    assert run.ok("get", "a", "--details").out == "\t".join(line) + "\n"
    told = [shown_time(it) for it in (b.details.created_at, b.details.updated_at, FUTURE)]
    lines = run.ok("list", "--keys-only", "--details").out.splitlines()
    assert lines == ["\t".join([line[0], *line[2:]]), "\t".join(["b", "-", *told, "2", "B b"])]
    done = run("get", "c", "--details", "--json")
    assert (done.status, done.documents) == (
        1,
        [{"key": ["c"], "value": None, "versionstamp": None}],
    )
    run.ok("set", "a", "1", "--metadata", "null")
    assert store.get_with_metadata(["a"]).details != a.details


def test_keys_alone(run: Commands, store: Kv) -> None:
    stamp = store.set(["a", "b c"], 1).versionstamp
    assert run.ok("list", "--keys-only").out == "a/b%20c\n"
    assert run.ok("list", "--keys-only", "--json").documents == [
        {"key": ["a", "b c"], "versionstamp": stamp}
    ]


def test_metadata_is_json_and_small(run: Commands, store: Kv) -> None:
    done = run("set", "a", "1", "--metadata", "{")
    assert (done.status, done.err) == (
        2,
        "buntime: error: not metadata: {: it is not valid JSON\n",
    )
    done = run("set", "a", "1", "--metadata", '"' + "x" * 20000 + '"')
    assert done.status == 1
    assert "metadata too large: 20002 bytes (max 16384)" in done.err
    assert run("get", "a", "--text", "--details").status == 2
    assert store.count() == 0


def test_vacuum(run: Commands, store: Kv) -> None:
    store.vacuum()
    assert run.ok("vacuum").out == "0\n"
    assert run.ok("vacuum", "--limit", "5", "--json").documents == [{"count": 0, "hasMore": False}]
    assert run("vacuum", "--limit", "0").status == 2


def test_patch(run: Commands, store: Kv) -> None:
    run.ok("set", "a", '{"a": 1, "b": {"c": 9007199254740993}}', "--type", "T")
    stamp = run.ok("patch", "a", '{"a": null, "b": {"d": 2}}').out.strip()
    entry = store.get_with_metadata(["a"])
    assert entry.value == {"b": {"c": 9007199254740993, "d": 2}}
    assert entry.versionstamp == stamp
    assert entry.details is not None
    assert (entry.details.type, entry.details.revision) == ("T", 2)
    run.ok("patch", "a", "--text", "whole", "--type", "U")
    assert store.get(["a"]).value == "whole"


def test_conditions(run: Commands, store: Kv) -> None:
    stamp = run.ok("set", "a", '{"n": 9007199254740993}', "--create-only").out.strip()
    for refused in (
        ("set", "a", "1", "--create-only"),
        ("set", "a", "1", "--if-match", "x"),
        ("patch", "a", "1", "--if-revision", "2"),
        ("delete", "a", "--exact", "--if-revision", "0"),
    ):
        done = run(*refused)
        assert done.status == 1, refused
        assert stamp in done.err
    run.ok("patch", "a", '{"b": 1}', "--if-match", stamp, "--metadata", '"m"', "--type", "T")
    entry = store.get_with_metadata(["a"])
    assert entry.value == {"n": 9007199254740993, "b": 1}
    assert entry.details is not None
    assert (entry.details.metadata, entry.details.type) == ("m", "T")
    assert run("delete", "a", "b", "--if-revision", "2").status == 2
    assert run.ok("delete", "a", "--yes", "--if-revision", "2").out == "1\n"


def test_selectors(run: Commands, store: Kv) -> None:
    for key in ("fruit/apple", "fruit/apricot", "fruit/pear", "fruits"):
        run.ok("set", key, "1")
    assert run.ok("list", "--starts-with", "fruit/ap", "--keys-only").out.split() == [
        "fruit/apple",
        "fruit/apricot",
    ]
    assert run.ok("list", "fruit", "--offset", "1", "--limit", "1").out == "fruit/apricot\t1\n"
    assert run.ok("count", "--starts-with", "fruit").out == "4\n"
    assert run.ok("count", "fruit", "--start", "fruit/b", "--offset", "1").out == "0\n"
    assert run.ok("delete", "--starts-with", "fruit/a", "--limit", "1", "--yes").out == "1\n"
    assert run.ok("delete", "fruit", "--end", "fruit/b", "--yes").out == "1\n"
    assert run.ok("delete", "--start", "fruit/p", "--end", "fruits", "--yes").out == "1\n"
    assert [entry.key for entry in store.list()] == [("fruits",)]
    for wrong in ([], ["--start", "a"], ["fruits", "--everything"], ["--limit", "1"]):
        assert run("delete", *wrong, "--yes").status == 2


def test_patterns(run: Commands, store: Kv) -> None:
    for key in (
        "users/1/name",
        "users/1/age",
        "users/ada/name",
        "users/%2A/name",
        "users/1/name/x",
    ):
        run.ok("set", key, "1")
    names = run.ok("list", "--pattern", "users/*/name", "--keys-only").out.split()
    assert names == ["users/*/name", "users/ada/name", "users/1/name"]
    assert run.ok("count", "--pattern", "users/%2A/name").out == "1\n"
    assert run.ok("count", "--pattern", '["users", {"$any": true}, "age"]').out == "1\n"
    assert run.ok("delete", "--pattern", "users/*/name", "--limit", "2", "--yes").out == "2\n"
    assert run.ok("delete", "--pattern", "*/*/*", "--yes").out == "2\n"
    assert [entry.key for entry in store.list()] == [("users", 1, "name", "x")]
    for wrong in ("users//name", "users/", '["users"', "[null]"):
        done = run("list", "--pattern", wrong)
        assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)


def test_entries_of_a_type(run: Commands, store: Kv) -> None:
    for key, kind in (("a", "Fruit"), ("b", "Nut"), ("in/c", "Fruit")):
        run.ok("set", key, "1", "--type", kind)
    run.ok("set", "d", "1")
    assert run.ok("list", "--type", "Fruit", "--keys-only").out.split() == ["a", "in/c"]
    assert run.ok("list", "in", "--type", "Nut").out == ""
    assert run.ok("count", "--type", "Fruit", "--end", "b").out == "1\n"
    assert run.ok("delete", "--type", "Fruit", "--yes").out == "2\n"
    assert [entry.key for entry in store.list()] == [("b",), ("d",)]
    done = run("list", "--type", "")
    assert (done.status, done.err.count("\n")) == (2, 1)
    assert "type must be a text of 1 to 256" in done.err
