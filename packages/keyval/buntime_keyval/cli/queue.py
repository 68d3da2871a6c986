"""The queue and its dead letters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click
import msgspec

from buntime_keyval._core import Call, json_body
from buntime_keyval._entries import message_members
from buntime_keyval._results import EnqueueResult
from buntime_keyval.cli.follow import retry_note
from buntime_keyval.cli.inputs import IDEMPOTENCY_KEY, KEY, read_value, value_input
from buntime_keyval.cli.options import Job, confirm, connected
from buntime_keyval.cli.output import Output, note, shown_time, shown_value, value_json
from buntime_keyval.wire import Key
from buntime_keyval.wire.limits import MOST_PRIORITY
from buntime_keyval.wire.python_options import message_options

_read_enqueued = msgspec.json.Decoder(EnqueueResult).decode


_QUEUE = click.option(
    "--queue",
    "queue_name",
    metavar="NAME",
    default="",
    help="Which queue; else the one without a name.",
)


@click.group()
def queue() -> None:
    """Send and receive messages."""


@queue.command()
@value_input
@click.option("--delay", metavar="DURATION", help="Hold it back, for instance for 5s.")
@click.option(
    "--backoff", metavar="DURATION", multiple=True,
    help="Pause before a further delivery; may be given several times. Default 1s, 5s, 10s.",
)  # fmt: skip
@click.option("--once", is_flag=True, help="No further delivery after the first.")
@click.option(
    "--undelivered", metavar="KEY", type=KEY, multiple=True,
    help="Key that gets the value if it cannot be delivered; may be given several times.",
)  # fmt: skip
@_QUEUE
@click.option(
    "--priority", type=click.IntRange(-MOST_PRIORITY, MOST_PRIORITY), default=0, show_default=True,
    help="Each step goes before what became ready up to a minute earlier.",
)  # fmt: skip
@IDEMPOTENCY_KEY
@connected
def enqueue(
    job: Job,
    value: str | None,
    text: bool,
    file: Path | None,
    delay: str | None,
    backoff: tuple[str, ...],
    once: bool,
    undelivered: tuple[Key, ...],
    queue_name: str,
    priority: int,
    idempotency_key: str | None,
) -> None:
    """Send a message; print its id."""
    if once and backoff:
        raise click.UsageError("--once and --backoff exclude each other")
    content = read_value(value, text=text, file=file)
    pauses = list(backoff) if backoff or once else None
    options = message_options(delay, pauses, list(undelivered), queue_name, priority)
    body = json_body(value=msgspec.Raw(content), options=message_members(options) or None)
    call = Call("POST", "/queue/enqueue", _read_enqueued, body)
    result = job.kv._session.send(call, idempotency_key)
    _sent(job, result)


@queue.command()
@_QUEUE
@connected
def poll(job: Job, queue_name: str) -> None:
    """Take a message: print id, deliveries and value. The status is 1 if there is none.

    Settle it with ack or nack, or it is delivered again after a while.
    """
    message = job.kv.dequeue(queue_name)
    if message is None:
        note("no message is ready")
        raise SystemExit(1)
    _print_message(job.out, message, lease=message.lease)


@queue.command()
@_QUEUE
@click.option("--limit", type=click.IntRange(1), help="End after so many messages.")
@connected
def listen(job: Job, queue_name: str, limit: int | None) -> None:
    """Print messages as they come, a line each, until Ctrl-C. What was printed is acknowledged."""
    job.kv.queue_stats(queue_name)  # so that a wrong address is an error, and not tried for ever
    left = limit
    with job.kv.listen_queue(queue=queue_name, on_error=retry_note) as messages:
        for message in messages:
            _print_message(job.out, message)
            job.out.flush()
            if left is not None:
                left -= 1
                if left == 0:
                    return


@queue.command()
@click.argument("message_id", metavar="ID")
@click.option("--lease", help="That of the delivery, as poll --json prints it.")
@IDEMPOTENCY_KEY
@connected
def ack(job: Job, message_id: str, lease: str | None, idempotency_key: str | None) -> None:
    """Remove a message that was processed. The status is 1 if there is none with this id."""
    job.kv.ack_message(message_id, lease=lease, strict=True, idempotency_key=idempotency_key)
    _done(job)


@queue.command()
@click.argument("message_id", metavar="ID")
@click.option("--error", help="What went wrong, for the dead letter.")
@click.option("--delay", metavar="DURATION", help="Pause before the next delivery.")
@click.option("--lease", help="That of the delivery, as poll --json prints it.")
@IDEMPOTENCY_KEY
@connected
def nack(
    job: Job,
    message_id: str,
    error: str | None,
    delay: str | None,
    lease: str | None,
    idempotency_key: str | None,
) -> None:
    """Give a message back; after its last delivery it becomes a dead letter."""
    job.kv.nack_message(
        message_id, error, delay=delay, lease=lease, strict=True, idempotency_key=idempotency_key
    )
    _done(job)


@queue.command()
@click.argument("message_id", metavar="ID")
@click.option("--for", "duration", metavar="DURATION", help="From now on; else a whole lease.")
@click.option("--lease", help="That of the delivery, as poll --json prints it.")
@IDEMPOTENCY_KEY
@connected
def extend(
    job: Job,
    message_id: str,
    duration: str | None,
    lease: str | None,
    idempotency_key: str | None,
) -> None:
    """Keep a message that was received for longer."""
    job.kv.extend_message(
        message_id, duration, lease=lease, strict=True, idempotency_key=idempotency_key
    )
    _done(job)


@queue.command()
@_QUEUE
@connected
def stats(job: Job, queue_name: str) -> None:
    """Show how many messages there are in which state."""
    members = msgspec.structs.asdict(job.kv.queue_stats(queue_name))
    if job.out.as_json:
        job.out.document(**members)
    else:
        job.out.table(("state", "messages"), [(name, str(it)) for name, it in members.items()])


@click.group()
def dlq() -> None:
    """Dead letters: messages that were given up."""


@dlq.command("list")
@_QUEUE
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@click.option("--offset", type=click.IntRange(0), default=0)
@connected
def list_(job: Job, queue_name: str, limit: int, offset: int) -> None:
    """List them, the newest failure first."""
    letters = job.kv.dlq.of(queue_name).list(limit=limit, offset=offset)
    if job.out.as_json:
        for it in letters:
            job.out.document(
                id=it.id,
                originalId=it.original_id,
                value=msgspec.Raw(value_json(it.value)),
                errorMessage=it.error_message,
                attempts=it.attempts,
                originalCreatedAt=it.original_created_at,
                failedAt=it.failed_at,
            )
        return
    rows = [
        (
            it.id,
            shown_time(it.failed_at),
            str(it.attempts),
            it.error_message or "-",
            shown_value(it.value, short=job.out.is_terminal),
        )
        for it in letters
    ]
    job.out.table(("id", "failed", "attempts", "error", "value"), rows)


@dlq.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@IDEMPOTENCY_KEY
@connected
def requeue(job: Job, ids: tuple[str, ...], idempotency_key: str | None) -> None:
    """Send them again as new messages; print the new ids."""
    _for_one(ids, idempotency_key)
    for letter_id in ids:
        _sent(job, job.kv.dlq.requeue(letter_id, idempotency_key=idempotency_key))
        job.out.flush()


@dlq.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@IDEMPOTENCY_KEY
@connected
def delete(job: Job, ids: tuple[str, ...], idempotency_key: str | None) -> None:
    """Delete them. The status is 1 if one of them does not exist."""
    _for_one(ids, idempotency_key)
    missing = False
    for letter_id in ids:
        if idempotency_key is None and job.kv.dlq.get(letter_id) is None:
            note(f"{letter_id} is no dead letter")
            missing = True
        else:
            job.kv.dlq.delete(letter_id, idempotency_key=idempotency_key)
    if missing:
        raise SystemExit(1)
    _done(job)


@dlq.command()
@_QUEUE
@click.option("--yes", is_flag=True, help="Do not ask at a terminal.")
@IDEMPOTENCY_KEY
@connected
def purge(job: Job, queue_name: str, yes: bool, idempotency_key: str | None) -> None:
    """Delete all dead letters of a queue; print how many that were."""
    of_queue = f" of the queue {queue_name}" if queue_name else ""
    confirm(f"Delete all dead letters{of_queue}?", yes=yes)
    result = job.kv.dlq.of(queue_name).purge(idempotency_key=idempotency_key)
    if job.out.as_json:
        job.out.document(deletedCount=result.deleted_count)
    else:
        job.out.line(str(result.deleted_count))


def _for_one(ids: tuple[str, ...], idempotency_key: str | None) -> None:
    if idempotency_key is not None and len(ids) > 1:
        raise click.UsageError("--idempotency-key is for one ID at a time")


def _print_message(out: Output, message: Any, **more: str | None) -> None:
    if out.as_json:
        value = msgspec.Raw(value_json(message.value))
        out.document(id=message.id, value=value, attempts=message.attempts, **more)
    else:
        out.row(message.id, str(message.attempts), shown_value(message.value))


def _sent(job: Job, result: EnqueueResult) -> None:
    if job.out.as_json:
        job.out.document(ok=True, id=result.id)
    else:
        job.out.line(result.id)


def _done(job: Job) -> None:
    if job.out.as_json:
        job.out.document(ok=True)


COMMANDS = [queue, dlq]
