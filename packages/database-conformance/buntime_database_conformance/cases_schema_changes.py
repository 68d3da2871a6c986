"""The same text after the schema has changed: names and values belong together."""

from __future__ import annotations

from typing import NamedTuple

from buntime_database import Adapter, ResultSet, Statement, Transaction, Value

from buntime_database_conformance.expect import expect
from buntime_database_conformance.suite import Need, OpenAdapter, case

Row = dict[str, Value]


class _Change(NamedTuple):
    """A change of `staff (name, salary, age)` with the row Ada, 9000, 30."""

    name: str
    statements: tuple[str, ...]
    row: Row
    """The row of Ada afterwards, in the order of its columns."""


_CHANGES = (
    _Change(
        "a column more",
        ("ALTER TABLE staff ADD COLUMN town VARCHAR(20)",),
        {"name": "Ada", "salary": 9000, "age": 30, "town": None},
    ),
    _Change(
        "another name",
        ("ALTER TABLE staff RENAME COLUMN salary TO wage",),
        {"name": "Ada", "wage": 9000, "age": 30},
    ),
    _Change(
        "made anew in another order",
        (
            "DROP TABLE staff",
            "CREATE TABLE staff (age BIGINT, salary BIGINT, name VARCHAR(20))",
            "INSERT INTO staff VALUES (30, 9000, 'Ada')",
        ),
        {"age": 30, "salary": 9000, "name": "Ada"},
    ),
    _Change(
        "a column less", ("ALTER TABLE staff DROP COLUMN age",), {"name": "Ada", "salary": 9000}
    ),
)

_ALL = "SELECT * FROM staff"
_NONE = "SELECT * FROM staff WHERE name = 'nobody'"
_RETURNING = "UPDATE staff SET name = 'Ada' RETURNING *"
_RETURNING_NONE = "DELETE FROM staff WHERE name = 'nobody' RETURNING *"
_PRIMING_RUNS = 4
"""So often that every connection that reads has seen the text."""


async def _make(adapter: Adapter) -> None:
    await adapter.execute("CREATE TABLE staff (name VARCHAR(20), salary BIGINT, age BIGINT)")
    await adapter.execute("INSERT INTO staff VALUES ('Ada', 9000, 30)")


async def _check(open_adapter: OpenAdapter, texts: tuple[str, ...], *, elsewhere: bool) -> None:
    adapter = await open_adapter()
    other = await open_adapter() if elsewhere else adapter
    for change in _CHANGES:
        await _make(adapter)
        for text in texts * _PRIMING_RUNS:
            await adapter.execute_result(text)
        for statement in change.statements:
            await other.execute(statement)
        for text in texts:
            expected = [] if text in (_NONE, _RETURNING_NONE) else [change.row]
            what = f"{change.name}: {text}"
            found = await adapter.execute_result(text)
            expect(found.columns, tuple(change.row), f"{what}: columns")
            expect(found.as_dicts(), expected, what)
            expect(await adapter.execute(text), expected, f"{what}: as dictionaries")
            if adapter.capabilities.rows_of_batches:
                (step,) = await adapter.batch([Statement(text)])
                expect(step.as_dicts(), expected, f"{what}: in a batch")
        await other.execute("DROP TABLE staff")


@case(Need.SCHEMA_AT_ONCE)
async def columns_after_a_change_of_the_same_connection(open_adapter: OpenAdapter) -> None:
    await _check(open_adapter, (_ALL, _NONE), elsewhere=False)


@case(Need.ONE_VIEW)
async def columns_after_a_change_of_another_connection(open_adapter: OpenAdapter) -> None:
    await _check(open_adapter, (_ALL, _NONE), elsewhere=True)


@case(Need.RETURNING)
async def returned_columns_after_a_change_of_the_same_connection(open_adapter: OpenAdapter) -> None:
    await _check(open_adapter, (_RETURNING, _RETURNING_NONE), elsewhere=False)


@case(Need.RETURNING, Need.SEVERAL_CONNECTIONS)
async def returned_columns_after_a_change_of_another_connection(open_adapter: OpenAdapter) -> None:
    await _check(open_adapter, (_RETURNING, _RETURNING_NONE), elsewhere=True)


@case(Need.INTERACTIVE_TRANSACTIONS)
async def columns_after_a_change_inside_a_transaction(open_adapter: OpenAdapter) -> None:
    adapter = await open_adapter()
    for change in _CHANGES:
        await _make(adapter)

        async def read(transaction: Transaction, change: _Change = change) -> list[ResultSet]:
            texts = (_ALL, _NONE)
            for text in texts * 2:
                await transaction.execute(text)
            for statement in change.statements:
                await transaction.execute(statement)
            return [await transaction.execute_result(text) for text in texts]

        everybody, nobody = await adapter.transaction(read)
        expect(everybody.as_dicts(), [change.row], change.name)
        expect(nobody.columns, tuple(change.row), f"{change.name}: no row")
        await adapter.execute("DROP TABLE staff")
