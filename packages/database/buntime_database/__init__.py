"""The seam between Buntime's database plugin and the code that stores data through it.

Everything here is a plain type: no driver, no I/O, no dependency. `plugin-database` implements
`DatabaseService` and the adapters, other plugins use them through these protocols alone.
"""

from buntime_database._adapter import Adapter, Bells, DatabaseService, ReadsAtOnce, Transaction
from buntime_database._demands import ReadDemand, demand, demanding, read_demand
from buntime_database._errors import (
    ConstraintViolation,
    DatabaseBusy,
    DatabaseClosed,
    DatabaseDamaged,
    DatabaseError,
    DatabaseFull,
    DatabaseLost,
    DatabaseUnavailable,
    GuardFailed,
    InvalidStatement,
    MoreThanAsked,
    OutcomeUnknown,
    ResultTooLarge,
    SessionsNotSupported,
    StatementStopped,
    StatementTimeout,
    TransactionMisuse,
    TransactionTimeout,
)
from buntime_database._session import (
    Column,
    Description,
    Session,
    SessionCursor,
    SessionLimits,
    SessionResult,
)
from buntime_database._statements import Batch, Capabilities, Guard, ResultSet, Statement, Value

__all__ = [
    "Adapter",
    "Batch",
    "Bells",
    "Capabilities",
    "Column",
    "ConstraintViolation",
    "DatabaseBusy",
    "DatabaseClosed",
    "DatabaseDamaged",
    "DatabaseError",
    "DatabaseFull",
    "DatabaseLost",
    "DatabaseService",
    "DatabaseUnavailable",
    "Description",
    "Guard",
    "GuardFailed",
    "InvalidStatement",
    "MoreThanAsked",
    "OutcomeUnknown",
    "ReadDemand",
    "ReadsAtOnce",
    "ResultSet",
    "ResultTooLarge",
    "Session",
    "SessionCursor",
    "SessionLimits",
    "SessionResult",
    "SessionsNotSupported",
    "Statement",
    "StatementStopped",
    "StatementTimeout",
    "Transaction",
    "TransactionMisuse",
    "TransactionTimeout",
    "Value",
    "demand",
    "demanding",
    "read_demand",
]
