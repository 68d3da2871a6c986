"""Cases that every adapter must pass, run against the real engine.

Nothing here depends on a test framework. Describe the engine with an `EngineUnderTest` and run each
of `CASES` with `run_case`, or all of them with `run_all`. A case that needs a feature which the
engine does not have is *not applicable*, which is reported, not hidden.

SQL is kept to the part that SQLite, PostgreSQL and MySQL all understand; see `dialect.py` for the
rest.
"""

from buntime_database_conformance import (
    cases_batch,
    cases_batch_each,
    cases_concurrency,
    cases_errors,
    cases_lifecycle,
    cases_lost_answers,
    cases_reads,
    cases_schema_changes,
    cases_statements,
    cases_transactions,
    cases_values,
)
from buntime_database_conformance.suite import (
    Case,
    EngineUnderTest,
    Need,
    OpenAdapter,
    Outcome,
    collect,
    run_all,
    run_case,
)

CASES: tuple[Case, ...] = collect(
    cases_statements,
    cases_values,
    cases_errors,
    cases_reads,
    cases_schema_changes,
    cases_batch,
    cases_batch_each,
    cases_transactions,
    cases_concurrency,
    cases_lost_answers,
    cases_lifecycle,
)

__all__ = [
    "CASES",
    "Case",
    "EngineUnderTest",
    "Need",
    "OpenAdapter",
    "Outcome",
    "run_all",
    "run_case",
]
