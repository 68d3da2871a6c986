"""The steps that requests are made of, and the conditions under which they run."""

from __future__ import annotations

from buntime_plugin_database.engines.libsql.transport import Json


def control(sql: str, condition: Json | None = None, *, want_rows: bool = False) -> Json:
    """A statement of the engine itself."""
    step: Json = {"stmt": {"sql": sql, "want_rows": want_rows}}
    if condition is not None:
        step["condition"] = condition
    return step


def worked(step: int) -> Json:
    """Holds if the step at this position ran and did not fail."""
    return {"type": "ok", "step": step}


def negated(condition: Json) -> Json:
    """Holds if the condition does not."""
    return {"type": "not", "cond": condition}


def both(first: Json, second: Json) -> Json:
    """Holds if both do."""
    return {"type": "and", "conds": [first, second]}
