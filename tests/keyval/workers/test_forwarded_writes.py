"""The first worker commits for the others, and nobody can tell but by the time that it takes."""

from __future__ import annotations

import asyncio
import inspect
import logging
import select
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import buntime_database
import pytest
from buntime_database import Batch, DatabaseError, ResultSet
from buntime_host import Size
from buntime_host.workers import Group, Workers
from buntime_keyval import InvalidInput
from buntime_keyval.engine import EngineCheck
from buntime_keyval.wire import encode_key, key_to_json
from buntime_keyval.wire.commits import NO_OPTIONS, EntryOptions, MessageOptions, Mutation
from buntime_keyval.wire.keys import UUIDV7
from buntime_plugin_database.engines.sqlite import SqliteAdapter
from buntime_plugin_keyval.engine import forwarding
from buntime_plugin_keyval.engine.additions import Addition
from buntime_plugin_keyval.engine.commit import Committer
from buntime_plugin_keyval.engine.forwarding import MOST_BYTES, _Frames, _Sending, framed
from buntime_plugin_keyval.engine.once import keyed
from buntime_plugin_keyval.engine.store import Store
from buntime_plugin_keyval.features.queue.queue import Queue
from buntime_plugin_keyval.model import errors
from buntime_plugin_keyval.model.conditions import Conditions
from buntime_plugin_keyval.model.limits import Limits
from buntime_plugin_keyval.storage.effects import Expire
from buntime_plugin_keyval.storage.reads import Row
from buntime_plugin_keyval.storage.schema import migrate
from support.waiting import PATIENCE

KEY = ("a", 1)
ENCODED, JSON = encode_key(KEY), key_to_json(KEY)
LENGTH = 4
"""Members of an answer: the number of its write, the outcome, and what that is."""
LIMITS = Limits(commit_bytes=Size(1_000_000))


class Two:
    """Two workers on one file, both of them in this process."""

    def __init__(self, path: Path, group: Group) -> None:
        self._path = path
        self._group = group
        self.adapters: list[SqliteAdapter] = []
        self.stores: list[Store] = []

    async def start(self, number: int) -> Store:
        """Start a worker."""
        adapter = SqliteAdapter(str(self._path))
        self.adapters.append(adapter)
        workers = Workers(number, self._group)
        store = Store(adapter, logger=logging.getLogger("test"), workers=workers, limits=LIMITS)
        await migrate(adapter, store.clock.wall())
        await store.begin()
        self.stores.append(store)
        return store

    async def both(self) -> tuple[Store, Store]:
        """The first one, and one that forwards."""
        first, second = await self.start(0), await self.start(1)
        await until(lambda: is_open(second))
        return first, second


def end_of(store: Store) -> _Sending | None:
    return store.forwarding._sending if store.forwarding is not None else None


def is_open(store: Store) -> bool:
    end = end_of(store)
    return end is not None and end.is_open


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)


async def heard(*pieces: bytes) -> list[Any]:
    """What the end of a connection hears to which these bytes come."""
    came: list[Any] = []

    class End(_Frames):
        def heard(self, message: Any) -> None:
            came.append(message)

    end = End()
    for piece in pieces:
        end.data_received(piece)
    return came


@asynccontextmanager
async def two_at(path: Path) -> AsyncIterator[Two]:
    group = Group(2)
    made = Two(path, group)
    try:
        yield made
    finally:
        for store in reversed(made.stores):
            await store.close()
        for adapter in made.adapters:
            await adapter.close()
        for door in group.doors:
            asyncio.get_running_loop().remove_reader(door.inside)
        group.close()


@pytest.fixture
async def two(tmp_path: Path) -> AsyncIterator[Two]:
    async with two_at(tmp_path / "kv.db") as made:
        yield made


@pytest.fixture
def submitted(monkeypatch: pytest.MonkeyPatch) -> list[Committer]:
    """Who was given a write, each time."""
    seen: list[Committer] = []
    submit = Committer.submit

    def noted(self: Committer, *given: Any) -> Any:
        seen.append(self)
        return submit(self, *given)

    monkeypatch.setattr(Committer, "submit", noted)
    return seen


def put(store: Store, value: str, **given: Any) -> asyncio.Future[str]:
    return store.set(ENCODED, JSON, value, **given)


def add(number: int) -> Mutation:
    return Mutation("sum", KEY, number, encoded=ENCODED)


async def row_at(store: Store) -> Row | None:
    return (await store.get_many([ENCODED])).get(ENCODED)


async def value_at(store: Store) -> str | None:
    row = await row_at(store)
    return None if row is None else row.value


async def test_the_first_worker_commits(two: Two, submitted: list[Committer]) -> None:
    first, second = await two.both()
    submitted.clear()
    stamps = [await put(second, "1"), await put(first, "2")]
    committed = await second.commit([EngineCheck(ENCODED, stamps[1])], [add(3)])
    assert committed is not None
    assert [*stamps, committed.versionstamp] == sorted([*stamps, committed.versionstamp])
    assert await value_at(second) == "5"  # of this worker, at once
    assert await second.commit([EngineCheck(ENCODED, stamps[1])], [add(3)]) is None
    assert await second.delete([ENCODED], exact=True) == 1
    assert await value_at(first) is None
    assert await second.delete([ENCODED], exact=True) == 0
    assert {*submitted} == {first._committer}


async def test_many_at_once_are_few_commits(two: Two) -> None:
    _, second = await two.both()
    await asyncio.gather(*(second.commit([], [add(1)]) for _ in range(500)))
    assert await value_at(second) == "500"


async def test_options_and_rows_go_with_them(two: Two) -> None:
    _, second = await two.both()
    await put(second, "1", options=EntryOptions(expires_in=60_000, metadata='{"a":1}', type="t"))
    row = await row_at(second)
    assert row is not None
    assert (row.metadata, row.type) == ('{"a":1}', "t")
    assert row.expires_at is not None
    mutation = Mutation("set", ("b", UUIDV7), "2")
    committed = await second.commit([], [mutation, add(1)], [ENCODED], has_results=True)
    assert committed is not None
    assert committed.rows[ENCODED].value == "1"
    assert committed.results[1] == "2"
    key = encode_key(("b", committed.versionstamp))
    assert await second.get(key) is not None


async def test_messages_are_sent(two: Two, submitted: list[Committer]) -> None:
    first, second = await two.both()
    queues = [Queue(store, lease_ms=60_000) for store in (first, second)]
    ready: list[str | None] = []
    queues[1].observe(ready=ready.append, settled=lambda _: None)
    submitted.clear()
    options = MessageOptions(queue="mail", keys_if_undelivered=(("a", 1),))
    once = keyed("m-1", b"message")
    sent = await queues[1].enqueue('"hello"', options, once)
    assert {*submitted} == {first._committer}
    assert ready == ["mail"]
    again = keyed("m-1", b"message")
    assert await queues[1].enqueue('"hello"', options, again) == sent
    assert again.replayed
    (message,) = await queues[1].lease(5, "mail")
    assert (message.id, message.value) == (sent, '"hello"')


async def test_errors_come_back_as_they_are(two: Two) -> None:
    _, second = await two.both()
    stamp = await put(second, "[1]")
    with pytest.raises(InvalidInput, match="numeric value"):
        await second.commit([], [add(1)])
    missing = Conditions(revision=0)
    with pytest.raises(errors.PreconditionFailed) as caught:
        await second.commit([], [add(1)], required=[(ENCODED, missing)])
    assert caught.value.versionstamp == stamp
    assert caught.value.status == 412
    long = Mutation("append", KEY, "[" + "1," * 30_000 + "1]", encoded=ENCODED)
    with pytest.raises(errors.LimitExceeded, match="commitBytes"):
        await second.commit([], [long] * 20)


async def test_keys_of_requests_are_known_to_all(two: Two) -> None:
    first, second = await two.both()
    once = keyed("k-1", b"request")
    stamp = await put(second, "1", once=once)
    assert not once.replayed
    for store in (first, second):
        again = keyed("k-1", b"request")
        assert await put(store, "1", once=again) == stamp
        assert again.replayed
    with pytest.raises(errors.IdempotencyKeyReused):
        await put(second, "2", once=keyed("k-1", b"another"))
    both = [put(second, "3", once=keyed("k-2", b"x")) for _ in range(2)]
    outcomes = await asyncio.gather(*both, return_exceptions=True)
    assert [type(it) for it in outcomes] == [str, errors.RequestUnderWay]


async def test_what_cannot_be_sent_is_committed_here(two: Two, submitted: list[Committer]) -> None:
    first, second = await two.both()
    submitted.clear()
    await put(second, '"' + "x" * MOST_BYTES + '"')
    told: list[int] = []
    addition = Addition(Expire(1), committed=lambda: told.append(1))
    assert await second.commit([], [addition]) is not None
    assert told == [1]
    await second.delete([ENCODED], exact=False)
    assert {*submitted} == {second._committer}
    await put(second, "1")
    assert submitted[-1] is first._committer


async def test_without_the_first_one_each_commits_for_itself(
    two: Two, submitted: list[Committer]
) -> None:
    second = await two.start(1)
    await put(second, "1")
    assert {*submitted} == {second._committer}
    first = await two.start(0)
    await until(lambda: is_open(second))
    await put(second, "2")
    assert submitted[-1] is first._committer


async def test_who_closes_answers_all_that_it_has_heard(two: Two) -> None:
    """And what it has not is committed by whoever sent it: nothing is uncertain, or lost."""
    first, second = await two.both()
    writes = []
    for _ in range(50):
        writes += [second.commit([], [add(1)]) for _ in range(20)]
        await asyncio.sleep(0)
    closing = asyncio.create_task(first.close())
    for _ in range(50):
        writes += [second.commit([], [add(1)]) for _ in range(20)]
        await asyncio.sleep(0)
    assert None not in await asyncio.gather(*writes)
    await closing
    assert await value_at(second) == "2000"


async def test_who_sends_closes_once_it_is_answered(two: Two) -> None:
    first, second = await two.both()
    writes = [second.commit([], [add(1)]) for _ in range(100)]
    await second.close()
    assert all(write.done() for write in writes)
    assert await value_at(first) == "100"


async def test_a_connection_that_breaks_leaves_it_unknown(two: Two) -> None:
    first, second = await two.both()
    writes = [second.commit([], [add(1)]) for _ in range(20)]
    end = end_of(second)
    assert end is not None
    end.flush()
    unsent = second.commit([], [add(1)])
    end.transport.abort()
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    assert {type(it) for it in outcomes} == {errors.OutcomeUnknown}
    assert await unsent is not None
    measured = second.recorder.totals["atomic_commit"]
    assert (measured.count, measured.errors) == (21, 20)
    await until(lambda: is_open(second))  # it is made anew
    await put(second, "7")
    assert await value_at(first) == "7"


async def test_with_a_key_it_is_done_once_all_the_same(two: Two) -> None:
    _, second = await two.both()
    for number in range(10):
        writes = [
            second.commit([], [add(1)], once=keyed(f"{number}-{i}", b"sum")) for i in range(20)
        ]
        for _ in range(number % 5):
            await asyncio.sleep(0)
        end = end_of(second)
        assert end is not None
        end.transport.abort()
        assert None not in await asyncio.gather(*writes)
        await until(lambda: is_open(second))
    assert await value_at(second) == "200"


async def test_a_caller_that_leaves_harms_nobody(two: Two) -> None:
    _, second = await two.both()
    left = second.commit([], [add(1)])
    left.cancel()
    await second.commit([], [add(1)])
    assert await value_at(second) == "2"


async def test_others_are_answered_before_callers_here_go_on(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await two.both()
    sending = end_of(second)
    assert sending is not None
    commit, begins, goes_on = two.adapters[0].batch_each, asyncio.Event(), asyncio.Event()

    async def held(batches: Sequence[Batch]) -> list[list[ResultSet] | DatabaseError]:
        begins.set()
        await goes_on.wait()
        return await commit(batches)

    monkeypatch.setattr(two.adapters[0], "batch_each", held)
    before = put(first, "0")
    await begins.wait()
    theirs = put(second, "1")
    await until(lambda: len(first._committer._pending) == 1)
    ours = put(first, "2")
    was_sent: list[bool] = []

    def look(_: object) -> None:
        # It may have been read already, depending on the loop.
        came, *_ = select.select([sending.transport.get_extra_info("socket")], [], [], 0)
        was_sent.append(bool(came) or theirs.done())

    ours.add_done_callback(look)
    goes_on.set()
    await asyncio.gather(before, theirs, ours)
    assert was_sent == [True]


async def test_a_worker_that_is_about_to_connect_harms_no_write(two: Two) -> None:
    first = await two.start(0)
    assert first.forwarding is not None
    end = first.forwarding._committing_end()  # which asyncio calls before there is a connection
    await put(first, "1")
    assert await value_at(first) == "1"
    end.ended.set_result(None)
    await asyncio.sleep(0)


async def test_an_answer_that_cannot_be_sent_harms_no_other_write(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = await two.both()
    commit, writes = two.adapters[0].batch_each, [put(first, "0")]
    begins, goes_on = asyncio.Event(), asyncio.Event()
    told: list[BaseException] = []

    async def held(batches: Sequence[Batch]) -> list[list[ResultSet] | DatabaseError]:
        if len(writes) == 2:
            writes.append(put(first, "3"))  # it waits while the others are answered
        begins.set()
        await goes_on.wait()
        return await commit(batches)

    def refused(messages: Sequence[Any]) -> bytes:
        if any(isinstance(message, tuple) and len(message) == LENGTH for message in messages):
            raise TypeError("no way to say that")
        return framed(messages)

    monkeypatch.setattr(two.adapters[0], "batch_each", held)
    monkeypatch.setattr(forwarding, "framed", refused)
    asyncio.get_running_loop().set_exception_handler(
        lambda _, context: told.append(context["exception"])
    )
    await begins.wait()
    theirs = put(second, "1")
    await until(lambda: len(first._committer._pending) == 1)
    writes.append(put(first, "2"))
    goes_on.set()
    with pytest.raises(errors.OutcomeUnknown):
        await theirs
    assert len(await asyncio.gather(*writes)) == len(writes)
    assert await value_at(first) == "3"
    assert [str(error) for error in told] == ["no way to say that"]


def exceptions_of(module: Any, base: type[Exception]) -> Iterator[type[Exception]]:
    for _, kind in inspect.getmembers(module, inspect.isclass):
        is_raised = kind is not errors.KeyValError  # others are, which have a status
        if issubclass(kind, base) and is_raised and not inspect.isabstract(kind):
            yield kind


@pytest.mark.parametrize(
    "kind",
    [
        *exceptions_of(errors, errors.KeyValError),
        *exceptions_of(buntime_database, buntime_database.DatabaseError),
        InvalidInput,
    ],
    ids=lambda kind: kind.__name__,
)
async def test_every_error_survives_the_way(kind: type[Exception]) -> None:
    texts = {"int": 3, "float": 0.5}
    made_by = kind.__init__
    parameters = inspect.signature(made_by).parameters if inspect.isfunction(made_by) else {}
    given = [
        texts.get(str(it.annotation).partition(" ")[0], "some text")
        for name, it in parameters.items()
        if name != "self" and it.kind is it.POSITIONAL_OR_KEYWORD and it.default is it.empty
    ]
    error = kind(*(given if parameters else ["some text"]))
    error.more = "of this one"  # type: ignore[attr-defined]
    (came,) = await heard(framed([error]))
    assert type(came) is kind
    assert str(came) == str(error)
    assert vars(came) == vars(error)


async def test_what_is_compared_by_identity_keeps_it() -> None:
    sent = [Mutation("set", ("a", UUIDV7), "1"), NO_OPTIONS, EntryOptions(), EntryOptions(1)]
    mutation, no_options, empty, options = await heard(framed(sent))
    assert mutation.key[1] is UUIDV7
    assert mutation.options is mutation.on_create is no_options is NO_OPTIONS
    assert empty == NO_OPTIONS
    assert options == EntryOptions(1)


async def test_what_is_said_in_one_turn_leaves_in_one_piece(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other worker is woken once for it, and gets it however it is divided on its way."""
    _, second = await two.both()
    end = end_of(second)
    assert end is not None
    written: list[bytes] = []
    monkeypatch.setattr(end, "transport", Noting(end.transport, written))
    stamps = await asyncio.gather(*(second.set(ENCODED, JSON, str(n)) for n in range(3)))
    assert len(set(stamps)) == 3
    (frame,) = written
    assert len(frame) > 3
    said = await heard(frame)
    assert [arguments[2] for _, _, arguments, *_ in said] == ["0", "1", "2"]
    assert await heard(*(frame[at : at + 1] for at in range(len(frame)))) == said
    assert await heard(frame + frame[:9], frame[9:]) == said * 2


class Noting:
    """A transport that keeps what is written to another one."""

    def __init__(self, transport: asyncio.Transport, written: list[bytes]) -> None:
        self._transport = transport
        self._written = written

    def write(self, data: bytes) -> None:
        self._written.append(data)
        self._transport.write(data)

    def is_closing(self) -> bool:
        return self._transport.is_closing()
