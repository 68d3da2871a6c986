"""A program of an application, which is told by its argument alone where its store is.

It says on each line what it did; run anywhere it says the same.
"""

from __future__ import annotations

import sys
import threading
import time
from dataclasses import dataclass
from typing import Any

from buntime_keyval import (
    BigInt,
    Field,
    InvalidInput,
    Kv,
    KvError,
    LockHeld,
    PreconditionFailed,
    RecordDelete,
    RecordPut,
    StaleLease,
    TaskContext,
    VersionMismatch,
    open_kv_sync,
)


@dataclass
class User:
    """Somebody who has an account."""

    name: str
    age: int


def entries(kv: Kv) -> None:
    """Single keys, all types of parts and values."""
    print("set", kv.set(("users", 1), {"name": "Ada", "age": 36}).ok)
    print("get", kv.get(("users", 1)).value)
    print("missing", kv.get(("users", 2)).exists, kv.has(("users", 1)))
    values: list[Any] = [None, True, 1, 1.5, "é", BigInt(2**70), b"\x00\xff", [1, {"a": []}]]
    for number, value in enumerate(values):
        kv.set(("values", number), value)
    print("values", [kv.get(("values", number)).value for number in range(len(values))])
    parts: list[Any] = [1, "1", True, b"1", BigInt(1), -1.5]
    for part in parts:
        kv.set(("parts", part), str(part))
    print("order", [entry.value for entry in kv.list(("parts",))])
    kv.set(("soon",), "gone", expires_in="100ms")
    deadline = time.monotonic() + 20
    while kv.has(("soon",)) and time.monotonic() < deadline:
        time.sleep(0.02)
    print("expired", kv.get(("soon",)).exists)
    print("deleted", kv.delete(("values",)).deleted_count)


def lists(kv: Kv) -> None:
    """Ranges, pages, counts, filters."""
    builder = kv.atomic()
    for number in range(250):
        builder.set(("numbers", number), {"n": number, "even": number % 2 == 0})
    print("batch", builder.commit().ok)
    print("list", sum(1 for _ in kv.list(("numbers",))), kv.count(("numbers",)))
    page = kv.paginate(("numbers",), limit=3)
    print("page", [entry.key[-1] for entry in page.entries], page.has_more)
    found = kv.list(("numbers",), where=(Field("n") > 245) & (Field("even") == True))  # noqa: E712 - a filter
    print("where", [entry.key[-1] for entry in found])
    last = kv.list(("numbers",), reverse=True, limit=2)
    print("reverse", [entry.key[-1] for entry in last])


def commits(kv: Kv) -> None:
    """Checks, mutations, transactions."""
    entry = kv.get(("users", 1))
    done = kv.atomic().check(entry).set(("users", 1), {"name": "Ada", "age": 37}).commit()
    print("checked", done.ok)
    print("stale", kv.atomic().check(entry).set(("users", 1), None).commit().ok)
    kv.atomic().sum(("hits",), BigInt(5)).sum(("hits",), BigInt(2)).commit()
    kv.atomic().append(("names",), ["a"]).append(("names",), ["b"]).commit()
    print("mutations", kv.get(("hits",)).value, kv.get(("names",)).value)

    def older(tx: Any) -> int:
        user = tx.get(("users", 1)).value
        tx.set(("users", 1), user | {"age": user["age"] + 1})
        return int(user["age"] + 1)

    print("transaction", kv.transaction(older).value, kv.get(("users", 1)).value)

    def one_more(tx: Any) -> None:
        tx.set(("c",), (tx.get(("c",)).value or 0) + 1)

    counted = threading.Barrier(4)

    def count() -> None:
        counted.wait()
        for _ in range(5):
            while not kv.transaction(one_more).ok:
                pass

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print("threads", kv.get(("c",)).value)


def stores(kv: Kv) -> None:
    """Values with a type."""
    users = kv.store(("people",), User)
    users.set(1, User("Grace", 45))
    print("typed", users.get(1).value, users.key(1))


def queue(kv: Kv) -> None:
    """Messages, their leases and dead letters."""
    kv.enqueue({"to": "ada"})
    message = kv.dequeue()
    assert message is not None
    print("message", message.value, message.attempts)
    kv.ack_message(message.id)
    try:
        kv.ack_message(message.id)
    except StaleLease as error:
        print("settled", error.status)
    print("queue", kv.dequeue(), kv.queue_stats().total)


def search(kv: Kv) -> None:
    """Words in values."""
    kv.create_index(("posts",), fields=["title"])
    kv.set(("posts", 1), {"title": "A small store"})
    kv.set(("posts", 2), {"title": "A large river"})
    deadline = time.monotonic() + 20
    while not (found := list(kv.search(("posts",), "store"))) and time.monotonic() < deadline:
        time.sleep(0.02)
    print("search", [hit.key for hit in found])


def changes(kv: Kv) -> None:
    """Parts of values, what comes back, lives, and writes that depend on what is there."""
    kv.set(("car",), {"color": "red", "owner": {"name": "Ada"}}, type="Car", expires_in="1h")
    stamp = kv.get(("car",)).versionstamp
    print("patch", kv.patch(("car",), {"color": None, "owner": {"since": 2026}}).ok)
    car = kv.get_with_metadata(("car",))
    assert car.details is not None
    print("patched", car.value, car.details.type, car.details.revision)
    try:
        kv.set(("car",), {}, if_match=stamp)
    except PreconditionFailed as error:
        print("stale", error.status)
    print("lives", kv.touch(("car",), expires_in="2h"), kv.persist(("car",)), kv.persist(("no",)))
    print(
        "incr",
        kv.incr(("n",)),
        kv.incr(("n",), 5),
        kv.atomic().max(("n",), 9).commit(results=True).results,
    )
    print("taken", kv.get_and_delete(("n",)).value, kv.get_or_set(("n",), lambda: 7).value)


def records(kv: Kv) -> None:
    """Keys that are texts, versions that count."""
    people = kv.records()
    people.put("p:ada", User("Ada", 36))
    people.put("p:bob", User("Bob", 5))
    found = people.get("p:ada", User)
    assert found is not None
    print("found", found.value, found.version, found.type)
    try:
        people.put("p:ada", User("Ada", 37), version=7)
    except VersionMismatch as error:
        print("mismatch", error)
    people.patch("p:ada", {"age": 37}, version=1)
    print("all", people.mutate_all(RecordPut("p:eve", 1, 0), RecordDelete(["p:bob", "p:no"])))
    print("prefix", [(it.key, it.version) for it in people.get_prefix("p:")])


def graphs(kv: Kv) -> None:
    """Edges, walks, pictures."""
    ada, bob, eve = (("user", name) for name in ("ada", "bob", "eve"))
    for source, target, km in ((ada, bob, 2), (bob, eve, 2), (ada, eve, 9)):
        kv.graph.add(source, "road", target, {"km": km})
    print("edges", [it.target.id for it in kv.graph.outgoing(ada)], kv.graph.degree(bob))
    short, cheap = (kv.graph.shortest_path(ada, eve, weight=it) for it in (None, "km"))
    assert short is not None
    assert cheap is not None
    print("paths", short.depth, [node.id for node in cheap.nodes], cheap.weight)
    print("view", kv.graph.view(format="mermaid").count("-->"))


def locks(kv: Kv) -> None:
    """One owner at a time, whose writes are nobody else's."""
    with kv.lock("report", ttl="30s") as lock:
        token = lock.token
        print("locked", kv.atomic().check_lock("report", token).set(("r",), 1).commit().ok)
        try:
            kv.locks.acquire("report", "somebody")
        except LockHeld as error:
            print("held", error.status)
    late = kv.atomic().check_lock("report", token).set(("r",), 2).commit()
    print("late", late.ok, kv.locks.get("report"))


def tasks(kv: Kv) -> None:
    """Work that somebody does, later."""
    runner = kv.runner(concurrency=2)

    def greet(user: User, ctx: TaskContext) -> dict[str, Any]:
        return {"hello": user.name, "attempt": ctx.attempts}

    runner.add("greet", greet)
    kv.atomic().set(("u",), 1).task("greet", {"name": "Ada", "age": 36}, id="hello").commit()
    with runner:
        task = kv.tasks.wait("hello", "20s")
    print("task", task.status, task.result, kv.tasks.stats())


def watches(kv: Kv) -> None:
    """What others change."""
    seen: list[Any] = []
    kv.set(("rates", "eur"), 1.07)
    with kv.watch(("rates",)) as watch:
        changing = threading.Thread(target=lambda: kv.set(("rates", "eur"), 1.08))
        for batch in watch:
            seen += [entry.value for entry in batch]
            if seen[-1] == 1.08:
                break
            changing.start()
        changing.join()
    print("watch", seen)


def mistakes(kv: Kv) -> None:
    """What is refused, and how."""
    calls: list[Any] = [
        lambda: kv.set((), 1),
        lambda: kv.set(("a",), 1, expires_in=-1),
        lambda: kv.paginate(("a",), limit=5000),
        lambda: kv.atomic().sum(("users", 1), BigInt(1)).commit(),
        lambda: kv.dlq.requeue("nobody"),
    ]
    for call in calls:
        try:
            call()
        except (InvalidInput, KvError) as error:
            print("refused", type(error).__name__, getattr(error, "status", None))


def main() -> None:
    """Do everything, with an empty store."""
    with open_kv_sync(sys.argv[1]) as kv:
        parts = (entries, lists, commits, stores, queue, search, changes, records, graphs, locks)
        for part in (*parts, tasks, watches, mistakes):
            part(kv)


if __name__ == "__main__":
    main()
