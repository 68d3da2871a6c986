"""What can go wrong in a database, whatever the engine.

    DatabaseError
    ├── DatabaseUnavailable      the engine cannot serve now; the same call may work later
    │   ├── DatabaseBusy         another process held the lock longer than the busy timeout
    │   ├── DatabaseFull         no space is left for the write
    │   ├── DatabaseClosed       the adapter was closed
    │   ├── DatabaseLost         its file was deleted, replaced or cut while it was open
    │   └── DatabaseDamaged      what is stored cannot be read
    ├── OutcomeUnknown           the answer was lost; the write may have been carried out
    ├── GuardFailed              a condition of a batch did not hold; nothing was written
    ├── ConstraintViolation      UNIQUE, NOT NULL, CHECK, FOREIGN KEY
    ├── InvalidStatement         the SQL or its arguments are wrong
    ├── LimitExceeded            the statement was stopped
    │   ├── StatementTimeout     it ran too long
    │   ├── TransactionTimeout   its transaction kept the write lock too long, and is undone
    │   └── ResultTooLarge       its rows are more than a session may return
    │       └── MoreThanAsked    they are more than the caller asked for this time
    ├── SessionsNotSupported     the database has no dedicated connections
    └── TransactionMisuse        a transaction inside a transaction, or one used after its end

Adapters translate every error of their driver into this tree and chain the original.
"""

from __future__ import annotations


class DatabaseError(Exception):
    """Base of all errors that an adapter raises."""

    code: str | None = None
    """The engine's stable name for what happened, such as `SQLITE_CONSTRAINT_UNIQUE`."""


class DatabaseUnavailable(DatabaseError):
    """The engine cannot serve the call now; nothing was written, and trying again is right."""


class DatabaseBusy(DatabaseUnavailable):
    """Another connection held the write lock for longer than the busy timeout."""


class DatabaseFull(DatabaseUnavailable):
    """The disk, or the size limit of the database, has no room for the write."""


class DatabaseClosed(DatabaseUnavailable):
    """The adapter was closed, or its plugin shut down."""


class DatabaseLost(DatabaseUnavailable):
    """The file of the open database is not there any more, or another: nothing is served from it.

    It does not get well by itself. Put the file back and start again.
    """

    code = "DATABASE_LOST"


class DatabaseDamaged(DatabaseUnavailable):
    """Stored data cannot be read: the file is damaged. This does not pass by itself."""

    code = "DATABASE_CORRUPT"


class OutcomeUnknown(DatabaseError):
    """The server was asked to commit, and did not answer: all of it was written, or nothing.

    Not a `DatabaseUnavailable`: code that repeats unwritten requests must not repeat this one.
    """

    code: str | None = "OUTCOME_UNKNOWN"


class GuardFailed(DatabaseError):
    """The guard at position `index` of a batch did not hold, and the batch was rolled back."""

    def __init__(self, index: int) -> None:
        super().__init__(f"guard at position {index} of the batch does not hold")
        self.index = index


class ConstraintViolation(DatabaseError):
    """A statement violated a constraint of the schema; its whole batch was rolled back."""


class InvalidStatement(DatabaseError):
    """The engine refuses the statement: syntax, unknown table or column, wrong arguments."""


class StatementStopped(DatabaseError):
    """A statement of a session was stopped because of the session's limits."""


class StatementTimeout(StatementStopped):
    """The statement ran longer than the limit and was interrupted."""

    code = "STATEMENT_TIMEOUT"


class TransactionTimeout(StatementStopped):
    """The transaction kept the write lock longer than the limit and was rolled back."""

    code = "TRANSACTION_TIMEOUT"


class ResultTooLarge(StatementStopped):
    """The rows of the result are larger than the limit."""

    code = "RESPONSE_TOO_LARGE"


class MoreThanAsked(ResultTooLarge):
    """The results are larger than the caller allowed; nothing was written."""


class SessionsNotSupported(DatabaseError):
    """The database has no dedicated connections, as a database in memory."""

    code = "SESSIONS_NOT_SUPPORTED"


class TransactionMisuse(DatabaseError):
    """A transaction was opened inside another one, or used after its end.

    *Inside* includes tasks that the function of the transaction has started. An engine may end a
    transaction early, when a statement of it fails.
    """
