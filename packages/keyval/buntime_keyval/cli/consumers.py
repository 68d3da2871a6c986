"""Consumers of the stream."""

from __future__ import annotations

import click

from buntime_keyval._calls.consumers import CommitMode
from buntime_keyval._entries import raw_key
from buntime_keyval._results import ConsumerInfo
from buntime_keyval.cli.inputs import KEY
from buntime_keyval.cli.options import Job, connected
from buntime_keyval.cli.output import shown_key, shown_time, unsuccessful
from buntime_keyval.cli.stream import print_records
from buntime_keyval.wire import Key

_NAME = click.argument("name", metavar="NAME")
_PREFIX = click.option(
    "--prefix", metavar="KEY", type=KEY, default=(), help="Only keys below this one."
)
_TYPE = click.option("--type", "kind", metavar="TYPE", help="Only entries of this type.")
_LIMIT = click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
_SEQ = click.argument("seq", type=click.IntRange(0), required=False)


@click.group()
def consumer() -> None:
    """Manage consumers: named positions in the stream of changes."""


@consumer.command("list")
@click.argument("prefix", default="")
@_LIMIT
@connected
def list_(job: Job, prefix: str, limit: int) -> None:
    """List the consumers, or those whose names begin with PREFIX.

    Example: buntime kv consumer list
    """
    _shown(job, job.kv.consumers.list(prefix, limit=limit))


@consumer.command()
@_NAME
@connected
def status(job: Job, name: str) -> None:
    """Show the position of a consumer. The status is 1 if there is none.

    Example: buntime kv consumer status mailer
    """
    found = job.kv.consumers.get(name)
    if found is None:
        raise unsuccessful(f"there is no consumer {name}")
    _shown(job, [found])


@consumer.command()
@_NAME
@_LIMIT
@_PREFIX
@_TYPE
@connected
def peek(job: Job, name: str, limit: int, prefix: Key, kind: str | None) -> None:
    """Print the next records without consuming them.

    Example: buntime kv consumer peek mailer --limit 5
    """
    print_records(job, job.kv.consumers.peek(name, limit=limit, prefix=prefix, type=kind))


@consumer.command()
@_NAME
@click.option("--owner", help="Name of this instance; by default a random one.")
@click.option(
    "--commit", type=click.Choice(["each", "batch", "none"]), default="batch", show_default=True,
    help="After which records the position is saved.",
)  # fmt: skip
@_LIMIT
@_PREFIX
@_TYPE
@connected
def run(
    job: Job,
    name: str,
    owner: str | None,
    commit: CommitMode,
    limit: int,
    prefix: Key,
    kind: str | None,
) -> None:
    """Print and commit records as they come, one per line, until Ctrl-C.

    Example: buntime kv consumer run mailer --prefix orders
    """
    at_work = job.kv.consumer(name, owner=owner, prefix=prefix, type=kind, batch=limit)
    for record in at_work.records(commit=commit):
        print_records(job, [record], has_head=False)
        job.out.flush()


@consumer.command()
@_NAME
@click.argument("seq", type=click.IntRange(0))
@connected
def position(job: Job, name: str, seq: int) -> None:
    """Let a consumer, which may be new, continue after the record SEQ.

    Example: buntime kv consumer position mailer 1200
    """
    _shown(job, [job.kv.consumers.set_position(name, seq)])


@consumer.command()
@_NAME
@click.argument("owner", metavar="OWNER")
@connected
def release(job: Job, name: str, owner: str) -> None:
    """Let another instance take over. The status is 1 if OWNER does not hold it.

    Example: buntime kv consumer release mailer host-1
    """
    released = job.kv.consumers.release(name, owner)
    job.out.outcome(f"{owner} does not have the consumer {name}", released=released)


@consumer.command()
@_NAME
@connected
def delete(job: Job, name: str) -> None:
    """Delete a consumer and its dead letters. The status is 1 if there is none.

    Example: buntime kv consumer delete mailer
    """
    deleted = job.kv.consumers.delete(name)
    job.out.outcome(f"there is no consumer {name}", deleted=deleted)


@consumer.command()
@_NAME
@_LIMIT
@connected
def dead(job: Job, name: str, limit: int) -> None:
    """List the records that a consumer failed to process.

    Example: buntime kv consumer dead mailer
    """
    letters = job.kv.consumers.dead_letters(name, limit=limit)
    if job.out.as_json:
        for it in letters:
            job.out.document(
                seq=it.record.seq,
                key=raw_key(it.record.key),
                action=it.record.action,
                attempts=it.attempts,
                error=it.error,
                failedAt=it.failed_at,
                requeued=it.requeued,
            )
        return
    rows = [
        (
            str(it.record.seq),
            it.record.action,
            shown_key(it.record.key),
            str(it.attempts),
            shown_time(it.failed_at),
            it.error or "",
        )
        for it in letters
    ]
    job.out.table(("seq", "action", "key", "attempts", "failed", "error"), rows)


@consumer.command()
@_NAME
@_SEQ
@connected
def requeue(job: Job, name: str, seq: int | None) -> None:
    """Deliver the dead letter of the record SEQ, or all, again; print how many.

    Example: buntime kv consumer requeue mailer 1200
    """
    _counted(job, "requeued", job.kv.consumers.requeue(name, seq))


@consumer.command()
@_NAME
@_SEQ
@connected
def forget(job: Job, name: str, seq: int | None) -> None:
    """Delete the dead letter of the record SEQ, or all; print how many.

    Example: buntime kv consumer forget mailer 1200
    """
    _counted(job, "deleted", job.kv.consumers.delete_dead_letters(name, seq))


def _counted(job: Job, name: str, number: int) -> None:
    job.out.result(number, **{name: number})


def _shown(job: Job, consumers: list[ConsumerInfo]) -> None:
    if job.out.as_json:
        for it in consumers:
            job.out.struct(it)
        return
    rows = [
        (
            it.name,
            str(it.position),
            str(it.lag),
            it.owner or "-",
            "-" if it.failing is None else f"{it.failing.seq} ({it.failing.attempts})",
            shown_time(it.updated_at),
        )
        for it in consumers
    ]
    job.out.table(("name", "position", "lag", "owner", "failing", "updated"), rows)


COMMANDS = [consumer]
