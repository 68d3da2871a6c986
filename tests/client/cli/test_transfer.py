from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
from buntime_keyval import BigInt, Key, Kv
from buntime_keyval.cli import transfer
from buntime_keyval.cli.inputs import StoredLine
from client.cli.conftest import Commands
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.keys import keys, order
from support.sampling import share_of
from support.values import shape, values

FLOATS = st.floats(allow_nan=False, allow_infinity=False)


def content(store: Kv) -> list[Any]:
    return [(order(entry.key), shape(entry.value)) for entry in store.list()]


@settings(
    max_examples=share_of(25),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.tuples(keys(), values(FLOATS)), min_size=1, max_size=20))
def test_what_is_exported_is_imported(
    run: Commands, store: Kv, items: list[tuple[Key, Any]]
) -> None:
    store.delete([], everything=True)
    atomic = store.atomic()
    for key, value in items:
        atomic.set(key, value)
    atomic.commit()
    before = content(store)
    exported = run.ok("export").out
    store.delete([], everything=True)
    done = run.ok("import", "--json", given=exported.encode())
    assert done.documents == [{"imported": len(before)}]
    assert content(store) == before
    assert run.ok("export").out == exported


def test_numbers_beyond_2_to_53_stay_what_they_are(run: Commands, store: Kv) -> None:
    text = '[9007199254740993,1152921504606846976,{"__type":"bigint","value":"9007199254740993"}]'
    url = run.environ["BUNTIME_KV_URL"]
    httpx2.put(f"{url}/keys/n", content=text).raise_for_status()
    exported = run.ok("export").out
    assert exported == f'{{"key":["n"],"value":{text}}}\n'
    run.ok("import", given=exported)
    assert run.ok("export").out == exported


def test_a_prefix_is_exported_with_its_own_entry(run: Commands, store: Kv) -> None:
    some: list[Key] = [("a",), ("a", 1), ("ab",), ("b",)]
    for key in some:
        store.set(key, key)
    done = run.ok("export", "a")
    assert [line["key"] for line in done.documents] == [["a"], ["a", 1]]
    assert done.err == "buntime: 2 entries exported\n"
    assert [line["key"] for line in run.ok("export", "ab", "-o", "-").documents] == [["ab"]]
    assert run.ok("export", "nothing").err == "buntime: 0 entries exported\n"


def test_files(run: Commands, store: Kv, tmp_path: Path) -> None:
    store.set(["a"], "é")
    file = tmp_path / "out.ndjson"
    file.write_text("old")
    assert run.ok("export", "-o", str(file), "--json").documents == [{"exported": 1}]
    assert file.read_text("utf-8") == '{"key":["a"],"value":"é"}\n'
    assert list(tmp_path.iterdir()) == [file]
    store.delete(["a"])
    assert run.ok("import", str(file)).err == "buntime: 1 entry imported\n"
    assert store.get(["a"]).value == "é"
    done = run("export", "-o", str(tmp_path / "no" / "file"))
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert run("import", str(tmp_path / "none")).status == 1
    assert run("import", str(tmp_path)).status == 1


def test_an_export_that_fails_leaves_the_file_as_it_was(run: Commands, tmp_path: Path) -> None:
    file = tmp_path / "out.ndjson"
    file.write_text("old")
    assert run("export", "-o", str(file), "--url", "http://127.0.0.1:9/x").status == 1
    with suppress(RuntimeError), transfer._writing(file) as stream:
        stream.write(b"half")
        raise RuntimeError
    assert file.read_text() == "old"
    assert list(tmp_path.iterdir()) == [file]


def lines(*items: Any) -> str:
    return "".join(f"{item if isinstance(item, str) else json.dumps(item)}\n" for item in items)


def good(number: int) -> dict[str, Any]:
    return {"key": ["n", number], "value": number}


@pytest.mark.parametrize(
    ("bad", "why"),
    [
        ("{", ""),
        ("[1]", "Expected `object`, got `array`"),
        ('{"key": ["a"]}', "missing required field `value`"),
        ('{"key": ["a"], "value": 1, "expires": 1}', "unknown field `expires`"),
        ('{"key": [], "value": 1}', "Key cannot be empty"),
        ('{"key": "a", "value": 1}', "Key must be a list or tuple"),
        ('{"key": [9007199254740993], "value": 1}', "would be rounded"),
        ('{"key": ["a"], "value": {"__type": "bigint", "value": "x"}}', "decimal string"),
        ('{"key": ["a"], "value": NaN}', ""),
        ('{"key": ["a"], "value": "\\ud800"}', ""),
        ('{"key": ["a"], "value": ' + "[" * 257 + "]" * 257 + "}", "too deep"),
    ],
)
def test_of_a_bad_batch_nothing_is_written(run: Commands, store: Kv, bad: str, why: str) -> None:
    given = lines(good(1), good(2), "", good(3), bad, good(4))
    done = run("import", "--batch-size", "2", given=given)
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    assert done.err.startswith("buntime: error: line 5: ")
    assert done.err.endswith("; imported before: 2 entries\n")
    assert why in done.err
    assert store.count() == 2
    done = run("import", "--dry-run", given=given)
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert done.err.startswith("buntime: error: line 5: ")


def test_what_the_server_refuses_is_told_with_its_lines(run: Commands, store: Kv) -> None:
    refused = {"key": ["a"], "value": {"$now": True, "$offset": "x"}}
    done = run("import", "--batch-size", "2", given=lines(good(1), good(2), good(3), refused))
    assert done.status == 1
    assert done.err.startswith("buntime: error: lines 3 to 4: $now offset")
    assert done.err.endswith("; imported before: 2 entries\n")
    assert store.count() == 2


def test_a_dry_run_needs_no_server(run: Commands) -> None:
    done = run(
        "import", "--dry-run", "--json", "--url", "http://127.0.0.1:9/x", given=lines(good(1))
    )
    assert done == (0, '{"checked":1}\n', "buntime: 1 entry checked, nothing was written\n")


def test_what_list_prints_can_be_imported(run: Commands, store: Kv) -> None:
    store.set(["a"], 1)
    printed = run.ok("list", "--json").out
    store.delete(["a"])
    run.ok("import", "--expires-in", "1h", given=printed)
    assert store.get(["a"]).value == 1


def test_batches_are_bounded_in_number_and_size() -> None:
    def sizes(lengths: list[int], size: int) -> list[int]:
        items = (transfer.TransferItem(0, StoredLine((), b""), length) for length in lengths)
        return [len(batch) for batch in transfer._batches(items, size)]

    assert sizes([1] * 5, 2) == [2, 2, 1]
    assert sizes([], 2) == []
    most = transfer._BATCH_BYTES
    assert sizes([most, 1, most - 1, 1, most * 2, 1], 1000) == [1, 2, 1, 1, 1]


def test_many_entries(run: Commands, store: Kv) -> None:
    exported = lines(*[good(number) for number in range(2500)])
    assert run.ok("import", given=exported).err == "buntime: 2500 entries imported\n"
    assert store.count() == 2500
    assert run.ok("export").documents == [good(number) for number in range(2500)]


def test_metadata_and_lives_are_carried_when_asked_for(run: Commands, store: Kv) -> None:
    future = 4_000_000_000_000
    metadata = {"raw": b"\0", "big": BigInt(5), "n": [1.5, None], "é": 2**70}
    store.set(["a"], 1, metadata=metadata, expires_at=future)
    store.set(["a", 1], 2, metadata=False)
    store.set(["a", 2], 3, expires_at=future + 1)
    store.set(["b"], 4)
    assert [set(line) for line in run.ok("export", "a").documents] == [{"key", "value"}] * 3
    part = run.ok("export", "a", "--details")
    assert [line["expiresAt"] for line in part.documents] == [future, None, future + 1]
    exported = run.ok("export", "--details").out
    listed = run.ok("list", "--details", "--json").out

    def carried() -> list[Any]:
        return [
            (entry.key, entry.value, entry.details.metadata, entry.details.expires_at)
            for entry in store.list(details=True)
            if entry.details is not None
        ]

    before = carried()
    assert len(before) == 4
    assert before[0] == (("a",), 1, metadata, future)
    for lines_ in (exported, listed):
        store.delete([], everything=True)
        run.ok("import", "--dry-run", given=lines_)
        assert store.count() == 0
        run.ok("import", given=lines_)
        assert carried() == before
    run.ok("import", "--expires-in", "1h", given=exported)
    assert [it[2] for it in carried()] == [it[2] for it in before]
    assert all(it[3] < future for it in carried())


def test_what_has_expired_since_is_not_brought_back(run: Commands, store: Kv) -> None:
    given = lines({"key": ["a"], "value": 1, "expiresAt": 1}, {"key": ["b"], "value": 2})
    run.ok("import", given=given)
    assert [entry.key for entry in store.list()] == [("b",)]


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ({"expiresAt": 0}, "expiresAt must be a time"),
        ({"expiresAt": "soon"}, "Expected `int | null`, got `str`"),
        ({"metadata": {"__type": "bigint", "value": "x"}}, "decimal string"),
    ],
)
def test_details_are_checked(run: Commands, members: dict[str, Any], why: str) -> None:
    done = run("import", "--dry-run", given=lines(good(1), {**good(2), **members}))
    assert done.status == 1
    assert done.err.startswith("buntime: error: line 2: ")
    assert why in done.err


def test_a_snapshot_has_the_key_and_what_is_below(run: Commands, store: Kv) -> None:
    store.delete([], everything=True)
    for key in (("s",), ("s", 1), ("s", "x", 2), ("ss",), ("t",), ("r",)):
        store.set(key, "/".join(map(str, key)))
    for prefix in ("s", "", "s/x", "nothing"):
        plain = run("export", *([prefix] if prefix else []))
        snapshot = run("export", "--snapshot", *([prefix] if prefix else []))
        assert snapshot.out == plain.out
    listed = run("list", "s", "--snapshot", "--json")
    assert listed.out == run("list", "s", "--json").out
