# Made by scripts/unasync from _async/test_atomic.py: change that one.
"""Atomic commits and transactions, against a live server."""

from __future__ import annotations

import time
from typing import Any

import pytest
from buntime_keyval import (
    BigInt,
    CommitResult,
    InvalidInput,
    RequestRejected,
    TransactionConflict,
    TransactionResult,
)
from buntime_keyval._transaction import Pauses
from client._sync.beside import together


def value(kv: Any, *key: Any) -> Any:
    return (kv.get(list(key))).value


def test_all_mutations(kv: Any) -> None:
    kv.set(["temp"], 1)
    result = (
        kv.atomic()
        .set(["post"], {"big": 2**60}, expires_in="1h")
        .delete(["temp"])
        .sum(["views"], 1)
        .sum(["views"], "2")
        .max(["high"], 100)
        .min(["low"], 50)
        .sum(["huge"], 2**70)
        .append(["tags"], ["new", b"\0"])
        .prepend(["history"], [{"a": None}])
        .enqueue({"to": "all"}, delay="1ms", backoff_schedule=["1s"], keys_if_undelivered=[["f"]])
        .commit()
    )
    assert result.ok
    assert (kv.get(["post"])).versionstamp == result.versionstamp
    assert value(kv, "post") == {"big": 2**60}
    assert value(kv, "temp") is None
    assert value(kv, "views") == 3
    assert value(kv, "high") == 100
    assert value(kv, "low") == 50
    assert value(kv, "huge") == BigInt(2**70)
    assert value(kv, "tags") == ["new", b"\0"]
    assert value(kv, "history") == [{"a": None}]
    assert (kv.queue_stats()).total == 1


def test_checks(kv: Any) -> None:
    missing = kv.get(["a"])
    assert (kv.atomic().check(missing).set(["a"], 1).commit()).ok
    assert kv.atomic().check(missing).set(["a"], 2).commit() == CommitResult(ok=False)
    entry = kv.get(["a"])
    pair = (["a"], entry.versionstamp)
    assert (kv.atomic().check(pair, (["b"], None)).set(["a"], 3).commit()).ok
    failed = kv.atomic().check(pair).set(["a"], 4).enqueue(1)
    assert not (failed.commit()).ok
    assert value(kv, "a") == 3
    assert (kv.queue_stats()).total == 0


def test_placeholders_become_the_versionstamp(kv: Any) -> None:
    result = kv.atomic().set(["log", kv.uuidv7()], 1).set(["log", kv.uuidv7(), "x"], 2).commit()
    keys = [entry.key for entry in kv.list(["log"])]
    assert keys == [("log", result.versionstamp), ("log", result.versionstamp, "x")]
    with pytest.raises(InvalidInput, match="placeholder"):
        kv.get(["log", kv.uuidv7()])


def test_values_name_the_commit_that_writes_them(kv: Any) -> None:
    own = kv.uuidv7()
    result = (
        kv.atomic().set(["orders", own], {"id": own}).append(["l"], [own]).patch(["p"], {"o": own})
    ).commit()
    stamp = result.versionstamp
    assert value(kv, "orders", stamp) == {"id": stamp}
    assert value(kv, "l") == [stamp]
    assert value(kv, "p") == {"o": stamp}
    alone = kv.set(["alone"], {"id": own})
    assert value(kv, "alone") == {"id": alone.versionstamp}
    patched = kv.patch(["alone"], {"by": own})
    assert value(kv, "alone") == {"id": alone.versionstamp, "by": patched.versionstamp}
    with pytest.raises(InvalidInput, match="uuidv7 placeholder is allowed only"):
        kv.enqueue({"id": own})


def test_a_mutation_that_does_not_fit_is_an_error(kv: Any) -> None:
    kv.set(["text"], "text")
    with pytest.raises(RequestRejected, match="requires a numeric value"):
        kv.atomic().set(["other"], 1).sum(["text"], 1).commit()
    assert not (kv.get(["other"])).exists
    for wrong in (True, 1.5, None):
        with pytest.raises(InvalidInput):
            kv.atomic().sum(["n"], wrong)
    no_pairs: list[Any] = [["a"], "a", 5, (("a",), None, None)]
    for no_pair in no_pairs:
        with pytest.raises(
            InvalidInput, match=r"check takes entries, or pairs .*\(\['a'\], None\)"
        ):
            kv.atomic().check(no_pair)
    with pytest.raises(InvalidInput, match="list or tuple"):
        kv.atomic().append(["n"], "text")


def test_transaction_as_function(kv: Any) -> None:
    kv.set(["from"], {"balance": 10})
    kv.set(["to"], {"balance": 0})

    def transfer(tx: Any) -> int:
        source, target = tx.get([["from"], ["to"]])
        tx.set(["from"], {"balance": source.value["balance"] - 4})
        tx.set(["to"], {"balance": target.value["balance"] + 4})
        tx.sum(["count"], 1)
        tx.append(["log"], ["x"])
        tx.enqueue({"done": True})
        assert (tx.get(["from"])) is source  # buffered writes are not seen
        assert (tx.read_count, tx.write_count) == (2, 5)
        return 4

    result = kv.transaction(transfer)
    assert result == TransactionResult(ok=True, value=4, versionstamp=result.versionstamp)
    assert value(kv, "to") == {"balance": 4}
    assert (kv.get(["from"])).versionstamp == result.versionstamp
    assert (kv.queue_stats()).pending == 1


def test_conflicting_transactions_run_again(kv: Any) -> None:
    kv.set(["n"], 0)
    runs = 0

    def disturbed(tx: Any) -> int:
        nonlocal runs
        runs += 1
        entry = tx.get(["n"])
        if runs < 3:
            kv.set(["n"], runs * 10)
        tx.set(["n"], entry.value + 1)
        return runs

    assert kv.transaction(disturbed) == TransactionResult(ok=False, error="conflict")
    result = kv.transaction(disturbed, max_retries=3, retry_delay="1ms")
    assert (result.ok, result.value) == (True, 3)
    assert value(kv, "n") == 21
    with pytest.raises(InvalidInput):
        kv.transaction(disturbed, max_retries=-1)


def test_a_missing_and_a_null_key_can_be_guarded(kv: Any) -> None:
    kv.set(["null"], None)

    def fill(tx: Any) -> None:
        for key in (["null"], ["missing"], [True], ["1"], [1]):
            entry = tx.get(key)
            tx.set(key, repr(entry.value))

    assert (kv.transaction(fill)).ok
    assert value(kv, "null") == "None"


def test_exceptions_propagate_and_nothing_is_written(kv: Any) -> None:
    runs = []

    def broken(tx: Any) -> None:
        runs.append(1)
        tx.set(["n"], 1)
        raise KeyError("of the caller")

    with pytest.raises(KeyError):
        kv.transaction(broken, max_retries=5)
    assert runs == [1]

    def broken_block() -> None:
        with kv.begin() as tx:
            tx.set(["n"], 1)
            raise KeyError

    with pytest.raises(KeyError):
        broken_block()
    assert not (kv.get(["n"])).exists


def test_transaction_as_context(kv: Any) -> None:
    with kv.begin() as tx:
        tx.set(["n"], (tx.get(["n"])).value or 1)
    assert tx.result.ok
    with pytest.raises(RuntimeError, match="already committed"):
        tx.set(["n"], 2)

    def disturbed() -> None:
        with kv.begin() as tx:
            tx.sum(["n"], (tx.get(["n"])).value)
            kv.set(["n"], 100)

    with pytest.raises(TransactionConflict):
        disturbed()
    assert value(kv, "n") == 100


def test_attempts(kv: Any) -> None:
    kv.set(["n"], 0)
    runs = 0
    for attempt in kv.attempts(max_retries=3, retry_delay=1):
        with attempt as tx:
            runs += 1
            tx.set(["n"], (tx.get(["n"])).value + 1)
            if runs < 3:
                kv.set(["n"], 10 * runs)
    assert (runs, value(kv, "n")) == (3, 21)

    def hopeless() -> None:
        nonlocal runs
        for attempt in kv.attempts(max_retries=1, retry_delay=1):
            with attempt as tx:
                runs += 1
                tx.get(["n"])
                kv.set(["n"], runs)

    with pytest.raises(TransactionConflict):
        hopeless()
    assert runs == 5
    with pytest.raises(RuntimeError, match="has to be entered"):
        for _ in kv.attempts():
            pass


def test_transactions_side_by_side_lose_nothing(kv: Any) -> None:
    def add(tx: Any) -> None:
        tx.set(["n"], ((tx.get(["n"])).value or 0) + 1)

    def commit() -> Any:
        return kv.transaction(add, max_retries=50, retry_delay=2)

    results = together(*[commit] * 6)
    assert all(result.ok for result in results)
    assert value(kv, "n") == 6


def test_typed_keys_in_a_transaction(kv: Any) -> None:
    keys = [["k", 1], ["k", "1"], ["k", True], ["k", b"1"]]
    for key in keys:
        kv.set(key, repr(key))

    def read(tx: Any) -> list[Any]:
        values = [(tx.get(key)).value for key in keys]
        assert tx.read_count == len(keys)
        tx.set(["done"], True)
        return values

    result = kv.transaction(read)
    assert (result.ok, result.value) == (True, [repr(key) for key in keys])


def test_a_retry_delay_of_nothing_is_none(kv: Any) -> None:
    def hopeless(tx: Any) -> None:
        tx.get(["n"])
        kv.set(["n"], time.monotonic())

    assert [Pauses(3, 0).before(attempt) for attempt in range(4)] == [0.0] * 4
    result = kv.transaction(hopeless, max_retries=5, retry_delay=0)
    assert (result.ok, result.error) == (False, "conflict")
