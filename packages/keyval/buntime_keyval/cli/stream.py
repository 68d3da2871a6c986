"""The stream of changes."""

from __future__ import annotations

from collections.abc import Sequence

import click

from buntime_keyval._calls.stream import StreamAction
from buntime_keyval._entries import raw_key, raw_value
from buntime_keyval._results import StreamRecord
from buntime_keyval.cli.inputs import KEY
from buntime_keyval.cli.options import Job, connected
from buntime_keyval.cli.output import shown_key, shown_time, shown_value
from buntime_keyval.wire import Key

_PREFIX = click.option(
    "--prefix", metavar="KEY", type=KEY, default=(), help="Only keys below this one."
)
_TYPE = click.option("--type", "kind", metavar="TYPE", help="Only entries of this type.")
_ACTION = click.option("--action", type=click.Choice(["create", "update", "delete", "expire"]))
_SINCE = click.option(
    "--since",
    metavar="MS",
    type=click.IntRange(0),
    help="Only records from this time on, in milliseconds since 1970.",
)


@click.group()
def stream() -> None:
    """Read the stream of all changes, in commit order."""


@stream.command()
@click.argument("after", type=click.IntRange(0), default=0)
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@click.option("--wait", metavar="DURATION", help="How long to wait for the first one.")
@_SINCE
@_PREFIX
@_TYPE
@_ACTION
@connected
def get(
    job: Job,
    after: int,
    limit: int,
    wait: str | None,
    since: int | None,
    prefix: Key,
    kind: str | None,
    action: StreamAction | None,
) -> None:
    """Print the records after the position AFTER.

    The columns are position, action, key, version, time and value.

    Example: buntime kv stream get 1200 --prefix orders
    """
    page = job.kv.stream.read(
        after, since=since, limit=limit, prefix=prefix, type=kind, action=action, wait=wait
    )
    print_records(job, page.records)


@stream.command()
@click.argument("after", type=click.IntRange(0), default=0)
@_SINCE
@_PREFIX
@_TYPE
@_ACTION
@connected
def follow(
    job: Job,
    after: int,
    since: int | None,
    prefix: Key,
    kind: str | None,
    action: StreamAction | None,
) -> None:
    """Print the records after AFTER, then each new one, until Ctrl-C.

    Example: buntime kv stream follow 1200
    """
    records = job.kv.stream.follow(after, since=since, prefix=prefix, type=kind, action=action)
    for record in records:
        print_records(job, [record], has_head=False)
        job.out.flush()


@stream.command()
@connected
def seq(job: Job) -> None:
    """Print the position of the newest record.

    Example: buntime kv stream seq
    """
    newest = job.kv.stream.seq()
    job.out.result(newest, seq=newest)


@stream.command()
@click.argument("up_to", type=click.IntRange(0))
@connected
def trim(job: Job, up_to: int) -> None:
    """Remove the records up to a position; print their number.

    Example: buntime kv stream trim 1200
    """
    trimmed = job.kv.stream.trim(up_to)
    job.out.result(trimmed, trimmed=trimmed)


def print_records(job: Job, records: Sequence[StreamRecord], *, has_head: bool = True) -> None:
    """Print records, those for people with a head unless they come one by one."""
    if job.out.as_json:
        for record in records:
            _print_json(job, record)
    elif has_head:
        job.out.table(_COLUMNS, map(_row, records))
    else:
        for record in records:
            job.out.row(*_row(record))


_COLUMNS = ("seq", "action", "key", "version", "at", "value")


def _row(record: StreamRecord) -> list[str]:
    return [
        str(record.seq),
        record.action,
        shown_key(record.key),
        "" if record.version is None else str(record.version),
        shown_time(record.at),
        shown_value(record.value) if record.has_value else "",
    ]


def _print_json(job: Job, record: StreamRecord) -> None:
    value = {"value": raw_value(record.value)} if record.has_value else {"valueOmitted": True}
    job.out.document(
        seq=record.seq,
        action=record.action,
        key=raw_key(record.key),
        versionstamp=record.versionstamp,
        version=record.version,
        type=record.type,
        at=record.at,
        **value,
    )


COMMANDS = [stream]
