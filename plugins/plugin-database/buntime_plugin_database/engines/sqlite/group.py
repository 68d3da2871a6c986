"""Running batches inside one open transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import apsw
from buntime_database import Batch, DatabaseError, Guard, GuardFailed, ResultSet

from buntime_plugin_database.engines.sqlite.statements import run
from buntime_plugin_database.shared.grouping import BatchOutcome
from buntime_plugin_database.shared.statements import guard_query

_GUARD_HELD = ResultSet((), [], 0)


Translate = Callable[[Exception], DatabaseError]


def run_group(
    connection: apsw.Connection, batches: Sequence[Batch], translate: Translate
) -> list[BatchOutcome]:
    """Run the batches, each undone alone if it fails.

    Raises, as it comes, the error that ended the whole transaction, or that of a sole batch: that
    one needs no savepoint, since the transaction is its own.
    """
    if len(batches) == 1:
        return [_run_batch(connection, batches[0])]
    # Failures are rare, so one savepoint for all does, until one of them does fail.
    execute = connection.execute
    execute("SAVEPOINT all_batches")
    try:
        return [_run_batch(connection, batch) for batch in batches]
    except Exception:
        if not connection.in_transaction:
            raise
    execute("ROLLBACK TO all_batches")
    return [_run_in_savepoint(connection, batch, translate) for batch in batches]


def _run_in_savepoint(
    connection: apsw.Connection, batch: Batch, translate: Translate
) -> BatchOutcome:
    execute = connection.execute
    execute("SAVEPOINT one_batch")
    try:
        results = _run_batch(connection, batch)
    except Exception as error:
        if not connection.in_transaction:
            raise
        execute("ROLLBACK TO one_batch")
        execute("RELEASE one_batch")
        return translate(error)
    execute("RELEASE one_batch")
    return results


def _run_batch(connection: apsw.Connection, batch: Batch) -> list[ResultSet]:
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
    return results
