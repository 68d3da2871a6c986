"""Running batches inside one open transaction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import inf
from time import perf_counter

import apsw
from buntime_database import Batch, DatabaseError, Guard, GuardFailed, ResultSet, Statement

from buntime_plugin_database.engines.sqlite.statements import run
from buntime_plugin_database.shared.grouping import BatchOutcome
from buntime_plugin_database.shared.statements import classify, guard_query

_GAVE_NOTHING = ResultSet((), [], 0)
"""The result of a guard that held, and of a step whose result is not needed."""

_MOST_SILENT = 1024
_silent: set[str] = set()
"""Texts that were found to write and give no rows: `classify` takes longer to say so again."""

SHORT_BATCH = 4
"""Steps that are run without a look at the clock between them."""

Translate = Callable[[Exception], DatabaseError]


class GroupRun:
    """Batches that are being run, each undone alone if it fails.

    The run can be paused at any point and continued in another thread.
    """

    def __init__(
        self,
        connection: apsw.Connection,
        cursor: apsw.Cursor,
        batches: Sequence[Batch],
        translate: Translate,
    ) -> None:
        """`cursor` is one of the connection, for statements that are over once they have run."""
        self._connection = connection
        self._cursor = cursor
        self._batches = batches
        self._translate = translate
        self._outcomes: list[BatchOutcome] = []
        self._results: list[ResultSet] = []
        """State of the batch that is being run."""
        # One batch needs no savepoint, since the transaction is its own. Several share one, since
        # failures are rare, until one of them does fail.
        self._is_sole = len(batches) == 1
        self._is_begun = self._is_sole
        self._one_by_one = False

    def run(self, until: float = inf) -> list[BatchOutcome] | None:
        """Run up to a moment of `perf_counter`; return the outcomes, or None if it takes longer.

        Raises the error that ended the whole transaction, or that of a single batch, unchanged.
        """
        connection = self._connection
        if not self._one_by_one:
            if not self._is_begun:
                self._is_begun = True
                connection.execute("SAVEPOINT all_batches")
            outcomes = self._outcomes
            try:
                for batch in self._batches[len(outcomes) :]:
                    if not self._run_batch(batch, until):
                        return None
                    outcomes.append(self._results)
                    self._results = []
                    if perf_counter() >= until and len(outcomes) < len(self._batches):
                        return None
            except Exception:
                if self._is_sole or not connection.in_transaction:
                    raise
            else:
                return outcomes
            connection.execute("ROLLBACK TO all_batches")
            outcomes.clear()
            self._results = []
            self._one_by_one = True
            self._is_begun = False
        return self._run_one_by_one(until)

    def _run_one_by_one(self, until: float) -> list[BatchOutcome] | None:
        connection, outcomes = self._connection, self._outcomes
        for batch in self._batches[len(outcomes) :]:
            if not self._is_begun:
                self._is_begun = True
                connection.execute("SAVEPOINT one_batch")
            try:
                if not self._run_batch(batch, until):
                    return None
            except Exception as error:
                if not connection.in_transaction:
                    raise
                connection.execute("ROLLBACK TO one_batch")
                outcomes.append(self._translate(error))
            else:
                outcomes.append(self._results)
            connection.execute("RELEASE one_batch")
            self._is_begun = False
            self._results = []
        return outcomes

    def _run_batch(self, batch: Batch, until: float) -> bool:
        """Run the rest of a batch; return whether it is done."""
        connection, cursor, results = self._connection, self._cursor, self._results
        steps = batch.steps
        wanted = None if batch.wanted is None else frozenset(batch.wanted)
        if not results:
            connection.set_last_insert_rowid(0)  # so that no batch gets a row of another one
        number = len(results)
        execute = cursor.execute
        for step in steps[number:] if number else steps:
            sql = step[0]
            # Most are statements, of which the type says as much as `isinstance`, for less.
            if type(step) is not Statement and isinstance(step, Guard):
                if execute(guard_query(sql), step.args).get != 1:
                    raise GuardFailed(number)
                results.append(_GAVE_NOTHING)
            elif wanted is None or number in wanted or not (sql in _silent or _is_silent(sql)):
                results.append(run(connection, sql, step[1]))
            else:
                execute(sql, step[1])
                results.append(_GAVE_NOTHING)
            number += 1
            if not number % SHORT_BATCH and perf_counter() >= until:
                return number == len(steps)
        return True


def _is_silent(sql: str) -> bool:
    """Whether a text writes and gives no rows. Raises `InvalidStatement`."""
    if classify(sql) != "silent":
        return False
    if len(_silent) >= _MOST_SILENT:  # threads may have gone past it together
        _silent.clear()
    _silent.add(sql)
    return True
