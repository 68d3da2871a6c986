"""Consumers of the stream."""

from __future__ import annotations

import click
import msgspec

from buntime_keyval._calls.consumers import CommitMode
from buntime_keyval._entries import raw_key
from buntime_keyval._results import ConsumerInfo
from buntime_keyval.cli.inputs import KEY
from buntime_keyval.cli.options import Job, connected
from buntime_keyval.cli.output import shown_key, shown_time, unsuccessful
from buntime_keyval.cli.stream import print_records
from buntime_keyval.wire import Key

_NAME = click.argument("name", metavar="NAME")
_PREFIX = click.option("--prefix", metavar="KEY", type=KEY, default=(), help="Only keys below it.")
_TYPE = click.option("--type", "kind", metavar="TYPE", help="Only entries of this type.")
_LIMIT = click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
_SEQ = click.argument("seq", type=click.IntRange(0), required=False)


@click.group()
def consumer() -> None:
    """Named positions in the stream, each held by one owner at a time."""


@consumer.command("list")
@click.argument("prefix", default="")
@_LIMIT
@connected
def list_(job: Job, prefix: str, limit: int) -> None:
    """List the consumers, by the beginning of their names."""
    _shown(job, job.kv.consumers.list(prefix, limit=limit))


@consumer.command()
@_NAME
@connected
def status(job: Job, name: str) -> None:
    """Show how far a consumer is. The status is 1 if there is none."""
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
    """Print the records that come next; they stay to be done."""
    print_records(job, job.kv.consumers.peek(name, limit=limit, prefix=prefix, type=kind))


@consumer.command()
@_NAME
@click.option("--owner", help="Which instance this is; another name each time unless given.")
@click.option(
    "--commit", type=click.Choice(["each", "batch", "none"]), default="batch", show_default=True,
    help="When records count as done.",
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
    """Print each record as it comes, a line each, until Ctrl-C, and commit it."""
    at_work = job.kv.consumer(name, owner=owner, prefix=prefix, type=kind, batch=limit)
    for record in at_work.records(commit=commit):
        print_records(job, [record], has_head=False)
        job.out.flush()


@consumer.command()
@_NAME
@click.argument("seq", type=click.IntRange(0))
@connected
def position(job: Job, name: str, seq: int) -> None:
    """Let a consumer, be it a new one, go on behind the record SEQ."""
    _shown(job, [job.kv.consumers.set_position(name, seq)])


@consumer.command()
@_NAME
@click.argument("owner", metavar="OWNER")
@connected
def release(job: Job, name: str, owner: str) -> None:
    """Let another instance go on. The status is 1 if OWNER does not have it."""
    released = job.kv.consumers.release(name, owner)
    job.out.outcome(f"{owner} does not have the consumer {name}", released=released)


@consumer.command()
@_NAME
@connected
def delete(job: Job, name: str) -> None:
    """Forget a consumer and its dead letters. The status is 1 if there is none."""
    deleted = job.kv.consumers.delete(name)
    job.out.outcome(f"there is no consumer {name}", deleted=deleted)


@consumer.command()
@_NAME
@_LIMIT
@connected
def dead(job: Job, name: str, limit: int) -> None:
    """List what a consumer could not process."""
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
    """Deliver the dead letter of the record SEQ once more, or all of them; print how many."""
    _counted(job, "requeued", job.kv.consumers.requeue(name, seq))


@consumer.command()
@_NAME
@_SEQ
@connected
def forget(job: Job, name: str, seq: int | None) -> None:
    """Delete the dead letter of the record SEQ, or all of them; print how many."""
    _counted(job, "deleted", job.kv.consumers.delete_dead_letters(name, seq))


def _counted(job: Job, name: str, number: int) -> None:
    job.out.result(number, **{name: number})


def _shown(job: Job, consumers: list[ConsumerInfo]) -> None:
    if job.out.as_json:
        for it in consumers:
            failing = it.failing
            job.out.document(
                name=it.name,
                position=it.position,
                lag=it.lag,
                owner=it.owner,
                until=it.until,
                updatedAt=it.updated_at,
                failing=None if failing is None else msgspec.structs.asdict(failing),
            )
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
