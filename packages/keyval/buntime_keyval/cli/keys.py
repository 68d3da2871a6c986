"""Reading, writing, listing and counting entries."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from buntime_keyval.cli.inputs import (
    CONSISTENCY,
    CREATE_ONLY,
    ENTRY_TYPE,
    EXPIRES_IN,
    IDEMPOTENCY_KEY,
    IF_MATCH,
    IF_REVISION,
    KEY,
    LIFETIME,
    METADATA,
    PREFIX_ARGUMENT,
    WHERE,
    KeyType,
    StoredLine,
    pattern_argument,
    read_metadata,
    read_value,
    value_input,
    write_json,
)
from buntime_keyval.cli.options import Job, Mistake, confirm, connected
from buntime_keyval.cli.output import note, shown_key, shown_value
from buntime_keyval.wire import Key
from buntime_keyval.wire.entry_types import checked_type
from buntime_keyval.wire.python_options import Consistency
from buntime_keyval.wire.requirements import requirement

Where = dict[str, Any]
F = TypeVar("F", bound=Callable[..., Any])

DETAILS = click.option(
    "--details", is_flag=True, help="Also print metadata, times, number of writes and type."
)


@click.command()
@click.argument("keys", metavar="KEY...", type=KEY, nargs=-1, required=True)
@click.option("--text", is_flag=True, help="Print a text value without quotes.")
@DETAILS
@CONSISTENCY
@connected
def get(
    job: Job, keys: tuple[Key, ...], text: bool, details: bool, consistency: Consistency
) -> None:
    """Print the value of a key, or the entries of several keys.

    The status is 1 if one of them does not exist.

    Example: buntime kv get users/123
    """
    if text and details:
        raise Mistake("use either --text or --details")
    read = job.kv.get_with_metadata if details else job.kv.get
    entries = read(list(keys), consistency=consistency)
    found = [entry for entry in entries if entry.exists]
    if job.out.as_json:
        job.out.entries(entries)
    elif len(keys) > 1 or details:
        job.out.entries(found, details=details)
    elif found and text and isinstance(found[0].value, str):
        job.out.line(found[0].value)
    elif found:
        job.out.value(found[0].value)
    job.out.flush()
    for entry in entries:
        if not entry.exists:
            note(f"{shown_key(entry.key)} does not exist")
    if len(found) < len(entries):
        raise SystemExit(1)


_WRITING = (
    *(click.argument("key", type=KEY), value_input, METADATA, ENTRY_TYPE, EXPIRES_IN),
    *(CREATE_ONLY, IF_MATCH, IF_REVISION, IDEMPOTENCY_KEY, connected),
)
"""What a command takes that writes one entry."""


def _writing(run: F) -> F:
    for add in reversed(_WRITING):
        run = add(run)
    return run


def _write(
    job: Job,
    how: Literal["set", "patch"],
    key: Key,
    *,
    value: str | None,
    text: bool,
    file: Path | None,
    metadata: str | None,
    kind: str | None,
    expires_in: str | None,
    create_only: bool,
    if_match: str | None,
    if_revision: int | None,
    idempotency_key: str | None,
) -> None:
    """Send what such a command says; print the versionstamp."""
    required = requirement(if_match, if_revision, create_only=create_only)
    about = read_metadata(metadata)
    content = read_value(value, text=text, file=file)
    line = StoredLine(key, content, about, type=checked_type(kind))
    call = write_json(line, expires_in, required, how)
    result = job.kv._session.send(call, idempotency_key)
    _committed(job, result.versionstamp)


@click.command("set")
@_writing
def set_(job: Job, key: Key, **given: Any) -> None:
    """Store a value; print its versionstamp.

    Example: buntime kv set users/123 '{"name": "Ada"}' --expires-in 7d
    """
    _write(job, "set", key, **given)


@click.command()
@_writing
def patch(job: Job, key: Key, **given: Any) -> None:
    """Apply a JSON Merge Patch to a value; print the new versionstamp.

    Objects are merged, members that are null are removed, anything else is replaced.

    Example: buntime kv patch users/123 '{"age": 37}'
    """
    _write(job, "patch", key, **given)


@click.command("sum")
@click.argument("key", type=KEY)
@click.argument("amount", type=int, default=1)
@EXPIRES_IN
@IDEMPOTENCY_KEY
@connected
def sum_(
    job: Job, key: Key, amount: int, expires_in: str | None, idempotency_key: str | None
) -> None:
    """Add a whole number, by default 1, to a number in one atomic step.

    Write -- before a negative one.

    Example: buntime kv sum visits -- -1
    """
    atomic = job.kv.atomic().sum(key, amount, expires_in=expires_in)
    result = atomic.commit(idempotency_key=idempotency_key)
    _committed(job, result.versionstamp)


@click.command()
@click.argument("key", type=KEY)
@LIFETIME
@IDEMPOTENCY_KEY
@connected
def touch(job: Job, key: Key, expires_in: str, idempotency_key: str | None) -> None:
    """Set the remaining lifetime of an entry, without changing its value.

    The status is 1 if it does not exist.

    Example: buntime kv touch sessions/9 30m
    """
    touched = job.kv.touch(key, expires_in=expires_in, idempotency_key=idempotency_key)
    _touched(job, key, is_there=touched)


@click.command()
@click.argument("key", type=KEY)
@IDEMPOTENCY_KEY
@connected
def persist(job: Job, key: Key, idempotency_key: str | None) -> None:
    """Remove the expiry of an entry.

    The status is 1 if it does not exist.

    Example: buntime kv persist sessions/9
    """
    _touched(job, key, is_there=job.kv.persist(key, idempotency_key=idempotency_key))


_SELECTORS = (
    click.option(
        "--starts-with",
        metavar="KEY",
        type=KEY,
        help="Keys that begin like KEY, whose last text may be cut short.",
    ),
    click.option(
        "--pattern",
        type=pattern_argument,
        help="Keys that match a pattern such as users/*/name; * stands for any part.",
    ),
    click.option("--start", metavar="KEY", type=KeyType(empty=True), help="First key."),
    click.option("--end", metavar="KEY", type=KeyType(empty=True), help="Key after the last one."),
    click.option("--type", metavar="TEXT", help="Only entries of this type."),
    click.option("--limit", type=click.IntRange(1), help="At most this many."),
    click.option("--offset", type=click.IntRange(0), default=0, help="Skip this many first."),
)
"""They have the names of the client's parameters."""


def selecting(run: F) -> F:
    """Give a command the options that select entries, besides a prefix and a filter."""
    for option in reversed(_SELECTORS):
        run = option(run)
    return run


@click.command()
@click.argument("keys", metavar="KEY...", type=KEY, nargs=-1)
@click.option("--exact", is_flag=True, help="Only the keys themselves, not what is below them.")
@click.option("--everything", is_flag=True, help="Delete the whole store, in batches.")
@selecting
@WHERE
@click.option("--yes", is_flag=True, help="Do not ask at a terminal.")
@IF_MATCH
@IF_REVISION
@IDEMPOTENCY_KEY
@connected
def delete(
    job: Job,
    /,
    keys: tuple[Key, ...],
    exact: bool,
    everything: bool,
    where: Where | None,
    yes: bool,
    if_match: str | None,
    if_revision: int | None,
    idempotency_key: str | None,
    **selectors: Any,
) -> None:
    """Delete keys and everything below them; print the number of entries.

    At a terminal it asks first, unless --exact or --yes is given.

    Example: buntime kv delete users/123 --exact
    """
    has_conditions = requirement(if_match, if_revision) is not None
    given = {name for name, it in selectors.items() if it not in (None, 0)}
    if has_conditions and (len(keys) != 1 or where is not None or given):
        raise Mistake("--if-match and --if-revision are for one key, and without --where")
    in_range = bool(given & {"starts_with", "pattern", "type"}) or given >= {"start", "end"}
    said = bool(keys) + everything + (in_range and not keys)
    if said != 1 or (everything and (exact or given)):
        raise Mistake(
            "give either KEY..., or --starts-with, or --pattern, or --start and --end, or --type,"
            " or --everything"
        )
    if not (keys and exact):
        confirm(_question(keys, where, everything=everything), yes=yes)
    result = job.kv.delete(
        keys[0] if has_conditions else list(keys),
        exact=exact,
        where=where,
        everything=everything,
        if_match=if_match,
        if_revision=if_revision,
        idempotency_key=idempotency_key,
        **selectors,
    )
    job.out.result(result.deleted_count, deletedCount=result.deleted_count)


def _question(keys: tuple[Key, ...], where: Where | None, *, everything: bool) -> str:
    """What a terminal is asked before something is deleted."""
    if everything:
        which = "the whole store" if where is None else "everything that matches in the whole store"
        return f"Delete {which}?"
    if not keys:
        return "Delete everything that is so selected?"
    what = ", ".join([shown_key(key) for key in keys[:5]]) + (", ..." if keys[5:] else "")
    which = "everything" if where is None else "everything that matches"
    return f"Delete {what}, and {which} below?"


@click.command("list")
@PREFIX_ARGUMENT
@selecting
@click.option("--reverse", is_flag=True, help="Last key first.")
@click.option("--keys-only", is_flag=True, help="Only the keys; values are not sent.")
@click.option("--snapshot", is_flag=True, help="Everything as of one moment, or an error.")
@CONSISTENCY
@DETAILS
@WHERE
@connected
def list_(
    job: Job,
    /,
    prefix: Key,
    reverse: bool,
    keys_only: bool,
    snapshot: bool,
    consistency: Consistency,
    details: bool,
    where: Where | None,
    **selectors: Any,
) -> None:
    """List the entries below a prefix, or all, in key order.

    Example: buntime kv list users --limit 10
    """
    values = not keys_only
    entries = job.kv.list(
        prefix,
        reverse=reverse,
        where=where,
        details=details,
        values=values,
        snapshot=snapshot,
        consistency=consistency,
        **selectors,
    )
    job.out.entries(entries, values=values, details=details)


@click.command()
@PREFIX_ARGUMENT
@selecting
@CONSISTENCY
@WHERE
@connected
def count(
    job: Job, /, prefix: Key, consistency: Consistency, where: Where | None, **selectors: Any
) -> None:
    """Count the entries below a prefix, or all.

    Example: buntime kv count users
    """
    number = job.kv.count(prefix, where=where, consistency=consistency, **selectors)
    job.out.result(number, count=number)


@click.command()
@click.option("--limit", type=click.IntRange(1), help="At most this many.")
@connected
def vacuum(job: Job, limit: int | None) -> None:
    """Remove expired entries now; print their number.

    The server does this by itself, but later.

    Example: buntime kv vacuum
    """
    result = job.kv.vacuum(limit=limit)
    job.out.result(result.count, count=result.count, hasMore=result.has_more)


@click.command()
@connected
def metrics(job: Job) -> None:
    """Show the counters and sizes of the server.

    Example: buntime kv metrics --json
    """
    values = job.kv.metrics()
    if job.out.as_json:
        job.out.document(**values)
    else:
        # The API has the operations within themselves as well, for older clients.
        operations = {k: it for k, it in values.get("operations", {}).items() if k != "operations"}
        job.out.table(("name", "value"), _flat({**values, "operations": operations}))


def _flat(values: dict[str, Any], above: str = "") -> list[tuple[str, str]]:
    rows = []
    for name, value in values.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{above}{name}.")
        else:
            rows.append((above + name, shown_value(value)))
    return rows


def _touched(job: Job, key: Key, *, is_there: bool) -> None:
    job.out.outcome(f"{shown_key(key)} does not exist", touched=is_there)


def _committed(job: Job, versionstamp: str | None) -> None:
    job.out.result(versionstamp or "", ok=True, versionstamp=versionstamp)


COMMANDS = [get, set_, patch, sum_, touch, persist, delete, list_, count, vacuum, metrics]
