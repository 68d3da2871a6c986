"""Running batches inside one open transaction."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from math import inf
from time import perf_counter
from typing import TypeVar

import apsw
from buntime_database import Batch, DatabaseError, Guard, GuardFailed, ResultSet

from buntime_plugin_database.engines.sqlite.statements import run
from buntime_plugin_database.shared.grouping import BatchOutcome
from buntime_plugin_database.shared.statements import guard_query

T = TypeVar("T")

_GUARD_HELD = ResultSet((), [], 0)


Translate = Callable[[Exception], DatabaseError]


Work = Generator[None, None, T]
"""Work that pauses after each statement, so that whoever runs it may go on in another thread."""


def advance(work: Work[T], until: float = inf) -> T | None:
    """Go on with work up to a moment of `perf_counter`; its result, or None if it takes longer.

    Raises what the work raises.
    """
    try:
        next(work)
        while perf_counter() < until:
            next(work)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return] # a generator's own result
    return None


def run_group(
    connection: apsw.Connection, batches: Sequence[Batch], translate: Translate
) -> Work[list[BatchOutcome]]:
    """Run the batches, each undone alone if it fails.

    Raises, as it comes, the error that ended the whole transaction, or that of a sole batch: that
    one needs no savepoint, since the transaction is its own.
    """
    if len(batches) == 1:
        return [(yield from _run_batch(connection, batches[0]))]
    # Failures are rare, so one savepoint for all does, until one of them does fail.
    execute = connection.execute
    execute("SAVEPOINT all_batches")
    outcomes: list[BatchOutcome] = []
    try:
        for batch in batches:
            outcomes += [(yield from _run_batch(connection, batch))]
    except Exception:
        if not connection.in_transaction:
            raise
    else:
        return outcomes
    execute("ROLLBACK TO all_batches")
    outcomes.clear()
    for batch in batches:
        outcomes += [(yield from _run_in_savepoint(connection, batch, translate))]
    return outcomes


def _run_in_savepoint(
    connection: apsw.Connection, batch: Batch, translate: Translate
) -> Work[BatchOutcome]:
    execute = connection.execute
    execute("SAVEPOINT one_batch")
    try:
        results = yield from _run_batch(connection, batch)
    except Exception as error:
        if not connection.in_transaction:
            raise
        execute("ROLLBACK TO one_batch")
        execute("RELEASE one_batch")
        return translate(error)
    execute("RELEASE one_batch")
    return results


def _run_batch(connection: apsw.Connection, batch: Batch) -> Work[list[ResultSet]]:
    connection.set_last_insert_rowid(0)  # so that nobody is told of another one's row
    results: list[ResultSet] = []
    for step in batch.steps:
        sql, args = step
        if isinstance(step, Guard):
            if connection.execute(guard_query(sql), args).get != 1:
                raise GuardFailed(len(results))
            results.append(_GUARD_HELD)
        else:
            results.append(run(connection, sql, args))
        yield
    return results
