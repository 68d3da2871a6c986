"""The queue and its dead letters."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import msgspec

from buntime_keyval._core import Call, json_body
from buntime_keyval._entries import message_members
from buntime_keyval._results import DeleteResult, EnqueueResult, QueuedMessage, QueueMessage
from buntime_keyval.cli.follow import retry_note
from buntime_keyval.cli.inputs import IDEMPOTENCY_KEY, KEY, parse_rate, read_value, value_input
from buntime_keyval.cli.options import Job, confirm, connected
from buntime_keyval.cli.output import (
    Output,
    note,
    shown_time,
    shown_value,
    unsuccessful,
    value_json,
)
from buntime_keyval.wire import Key
from buntime_keyval.wire.limits import MAX_LIMIT, MOST_PRIORITY
from buntime_keyval.wire.python_options import message_options

_read_enqueued = msgspec.json.Decoder(EnqueueResult).decode


_OF_QUEUE = click.option(
    "--queue",
    "queue_name",
    metavar="NAME",
    default="",
    help="Its queue; needed with a token that may use only this one.",
)
_QUEUE = click.option(
    "--queue",
    "queue_name",
    metavar="NAME",
    default="",
    help="Name of the queue; by default the one without a name.",
)


@click.group()
def queue() -> None:
    """Send, receive and manage messages."""


@queue.command()
@value_input
@click.option("--delay", metavar="DURATION", help="How long to hold it back, such as 5s.")
@click.option(
    "--backoff", metavar="DURATION", multiple=True,
    help="Pause before the next delivery; repeatable. By default 1s, 5s, 10s.",
)  # fmt: skip
@click.option("--once", is_flag=True, help="Deliver it only once.")
@click.option(
    "--undelivered", metavar="KEY", type=KEY, multiple=True,
    help="Key that gets the value if it cannot be delivered; repeatable.",
)  # fmt: skip
@_QUEUE
@click.option(
    "--priority", type=click.IntRange(-MOST_PRIORITY, MOST_PRIORITY), default=0, show_default=True,
    help="Each step puts it ahead of messages that became ready up to a minute earlier.",
)  # fmt: skip
@click.option(
    "--id", "message_id", help="Id of the message; for a day, another one with this id is not sent."
)
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
    message_id: str | None,
    idempotency_key: str | None,
) -> None:
    """Send a message; print its id.

    Example: buntime kv queue enqueue '{"to": "ada"}' --delay 5s
    """
    if once and backoff:
        raise click.UsageError("--once and --backoff exclude each other")
    content = read_value(value, text=text, file=file)
    pauses = list(backoff) if backoff or once else None
    options = message_options(delay, pauses, list(undelivered), queue_name, priority, message_id)
    body = json_body(value=msgspec.Raw(content), options=message_members(options) or None)
    call = Call("POST", "/queue/enqueue", _read_enqueued, body)
    result = job.kv._session.send(call, idempotency_key)
    _sent(job, result)


@queue.command()
@_QUEUE
@connected
def poll(job: Job, queue_name: str) -> None:
    """Take a message: print id, deliveries and value. The status is 1 if there is none.

    Settle it with ack or nack, or it is delivered again when its lease ends.

    Example: buntime kv queue poll --queue mail
    """
    message = job.kv.dequeue(queue_name)
    if message is None:
        raise unsuccessful("no message is ready")
    _print_message(job.out, message, lease=message.lease)


@queue.command()
@_QUEUE
@click.option("--limit", type=click.IntRange(1), help="End after this many messages.")
@connected
def listen(job: Job, queue_name: str, limit: int | None) -> None:
    """Print and acknowledge messages as they come, one per line, until Ctrl-C.

    Example: buntime kv queue listen --limit 10
    """
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
@_OF_QUEUE
@IDEMPOTENCY_KEY
@connected
def ack(
    job: Job, message_id: str, lease: str | None, queue_name: str, idempotency_key: str | None
) -> None:
    """Remove a processed message. The status is 1 if there is none with this id.

    Example: buntime kv queue ack 0190-7
    """
    message = _message(message_id, lease, queue_name)
    job.kv.ack_message(message, strict=True, idempotency_key=idempotency_key)
    _done(job)


@queue.command()
@click.argument("message_id", metavar="ID")
@click.option("--error", help="What went wrong; shown with the dead letter.")
@click.option("--delay", metavar="DURATION", help="Pause before the next delivery.")
@click.option("--lease", help="That of the delivery, as poll --json prints it.")
@_OF_QUEUE
@IDEMPOTENCY_KEY
@connected
def nack(
    job: Job,
    message_id: str,
    error: str | None,
    delay: str | None,
    lease: str | None,
    queue_name: str,
    idempotency_key: str | None,
) -> None:
    """Give a message back; after its last delivery it becomes a dead letter.

    Example: buntime kv queue nack 0190-7 --error 'no such address' --delay 1m
    """
    message = _message(message_id, lease, queue_name)
    job.kv.nack_message(message, error, delay=delay, strict=True, idempotency_key=idempotency_key)
    _done(job)


@queue.command()
@click.argument("message_id", metavar="ID")
@click.option(
    "--for", "duration", metavar="DURATION", help="How long from now; by default a whole lease."
)
@click.option("--lease", help="That of the delivery, as poll --json prints it.")
@_OF_QUEUE
@IDEMPOTENCY_KEY
@connected
def extend(
    job: Job,
    message_id: str,
    duration: str | None,
    lease: str | None,
    queue_name: str,
    idempotency_key: str | None,
) -> None:
    """Extend the lease of a received message.

    Example: buntime kv queue extend 0190-7 --for 5m
    """
    message = _message(message_id, lease, queue_name)
    job.kv.extend_message(message, duration, strict=True, idempotency_key=idempotency_key)
    _done(job)


@queue.command()
@_QUEUE
@click.option("--limit", type=click.IntRange(1, 1000), default=1, show_default=True)
@connected
def peek(job: Job, queue_name: str, limit: int) -> None:
    """Show the next messages without taking them.

    Example: buntime kv queue peek --limit 5
    """
    _print_queued(job.out, job.kv.queues.peek(queue_name, limit=limit))


@queue.command("list")
@_QUEUE
@click.option("--limit", type=click.IntRange(1), help="End after this many messages.")
@connected
def list_messages(job: Job, queue_name: str, limit: int | None) -> None:
    """List all messages, in the order in which they were sent.

    Example: buntime kv queue list --limit 100
    """
    left, cursor = limit, None
    while left is None or left > 0:
        size = MAX_LIMIT if left is None else min(left, MAX_LIMIT)
        page = job.kv.queues.paginate(queue_name, cursor=cursor, limit=size)
        _print_queued(job.out, page.messages)
        job.out.flush()
        cursor = page.cursor
        if cursor is None:
            return
        if left is not None:
            left -= len(page.messages)


@queue.command("purge")
@_QUEUE
@click.option("--yes", is_flag=True, help="Do not ask at a terminal.")
@IDEMPOTENCY_KEY
@connected
def purge_messages(job: Job, queue_name: str, yes: bool, idempotency_key: str | None) -> None:
    """Delete all messages of a queue, delivered ones too; print their number.

    Example: buntime kv queue purge --queue mail --yes
    """
    confirm(f"Delete all messages of {_named(queue_name)}?", yes=yes)
    _deleted(job, job.kv.queues.purge(queue_name, idempotency_key=idempotency_key))


@queue.command()
@_QUEUE
@connected
def pause(job: Job, queue_name: str) -> None:
    """Stop delivery until the queue is resumed.

    Example: buntime kv queue pause --queue mail
    """
    job.kv.queues.pause(queue_name)
    _done(job)


@queue.command()
@_QUEUE
@connected
def resume(job: Job, queue_name: str) -> None:
    """Start delivery again.

    Example: buntime kv queue resume --queue mail
    """
    job.kv.queues.resume(queue_name)
    _done(job)


@queue.command()
@_QUEUE
@click.option("--lease", metavar="DURATION", help="How long a consumer has for a message.")
@click.option(
    "--backoff", metavar="DURATION", multiple=True,
    help="Pauses of messages that are sent without their own; repeatable.",
)  # fmt: skip
@click.option("--max-running", type=click.IntRange(1), help="Most messages in delivery at once.")
@click.option("--rate", metavar="COUNT/DURATION", help="Most deliveries per time, such as 100/1m.")
@click.option("--set", "is_set", is_flag=True, help="Set all options; those left out become unset.")
@connected
def options(
    job: Job,
    queue_name: str,
    lease: str | None,
    backoff: tuple[str, ...],
    max_running: int | None,
    rate: str | None,
    is_set: bool,
) -> None:
    """Show how a queue delivers; with --set, change it.

    Example: buntime kv queue options --queue mail --set --rate 100/1m
    """
    if not is_set:
        if lease or backoff or max_running or rate:
            raise click.UsageError("add --set: it sets all options, and unsets those left out")
        found = job.kv.queues.options(queue_name)
        job.out.members(("option", "value"), msgspec.to_builtins(found))
        return
    job.kv.queues.set_options(
        queue_name,
        lease=lease,
        backoff_schedule=list(backoff) or None,
        max_running=max_running,
        rate=None if rate is None else parse_rate(rate),
    )
    _done(job)


@queue.command()
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@connected
def names(job: Job, limit: int) -> None:
    """List the queues in use, with their numbers of messages.

    Example: buntime kv queue names
    """
    found = job.kv.queues.list(limit=limit)
    if job.out.as_json:
        for it in found:
            job.out.document(**msgspec.structs.asdict(it))
        return
    rows = [
        (
            it.queue or '""',
            str(it.pending),
            str(it.processing),
            str(it.dlq),
            "yes" if it.paused else "no",
        )
        for it in found
    ]
    job.out.table(("queue", "pending", "processing", "dlq", "paused"), rows)


@queue.command()
@_QUEUE
@connected
def stats(job: Job, queue_name: str) -> None:
    """Show the number of messages in each state.

    Example: buntime kv queue stats --queue mail
    """
    numbers = job.kv.queue_stats(queue_name)
    job.out.members(("state", "messages"), msgspec.structs.asdict(numbers))


@click.group()
def dlq() -> None:
    """Manage dead letters: messages that could not be delivered."""


@dlq.command("list")
@_QUEUE
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@click.option("--offset", type=click.IntRange(0), default=0)
@connected
def list_(job: Job, queue_name: str, limit: int, offset: int) -> None:
    """List dead letters, the newest failure first.

    Example: buntime kv dlq list --queue mail
    """
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
@_OF_QUEUE
@IDEMPOTENCY_KEY
@connected
def requeue(job: Job, ids: tuple[str, ...], queue_name: str, idempotency_key: str | None) -> None:
    """Send dead letters again as new messages; print the new ids.

    Example: buntime kv dlq requeue 0190-7
    """
    _for_one(ids, idempotency_key)
    letters = job.kv.dlq.of(queue_name)
    for letter_id in ids:
        _sent(job, letters.requeue(letter_id, idempotency_key=idempotency_key))
        job.out.flush()


@dlq.command()
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@_OF_QUEUE
@IDEMPOTENCY_KEY
@connected
def delete(job: Job, ids: tuple[str, ...], queue_name: str, idempotency_key: str | None) -> None:
    """Delete dead letters. The status is 1 if one of them does not exist.

    Example: buntime kv dlq delete 0190-7
    """
    _for_one(ids, idempotency_key)
    letters, missing = job.kv.dlq.of(queue_name), False
    for letter_id in ids:
        if idempotency_key is None and letters.get(letter_id) is None:
            note(f"{letter_id} is not a dead letter")
            missing = True
        else:
            letters.delete(letter_id, idempotency_key=idempotency_key)
    if missing:
        raise SystemExit(1)
    _done(job)


@dlq.command()
@_QUEUE
@click.option("--yes", is_flag=True, help="Do not ask at a terminal.")
@IDEMPOTENCY_KEY
@connected
def purge(job: Job, queue_name: str, yes: bool, idempotency_key: str | None) -> None:
    """Delete all dead letters of a queue; print their number.

    Example: buntime kv dlq purge --queue mail --yes
    """
    confirm(f"Delete all dead letters of {_named(queue_name)}?", yes=yes)
    _deleted(job, job.kv.dlq.of(queue_name).purge(idempotency_key=idempotency_key))


def _message(message_id: str, lease: str | None, queue_name: str) -> QueueMessage[None]:
    """A delivered message, as far as its settling has to know it."""
    return QueueMessage(message_id, None, 0, lease, queue_name)


def _named(queue_name: str) -> str:
    return f"the queue {queue_name}" if queue_name else "the queue without a name"


def _deleted(job: Job, result: DeleteResult) -> None:
    job.out.result(result.deleted_count, deletedCount=result.deleted_count)


def _print_queued(out: Output, found: Sequence[QueuedMessage[Any]]) -> None:
    for it in found:
        if out.as_json:
            out.struct(it, "value")
        else:
            out.row(it.id, it.state, str(it.attempts), str(it.priority), shown_value(it.value))


def _for_one(ids: tuple[str, ...], idempotency_key: str | None) -> None:
    if idempotency_key is not None and len(ids) > 1:
        raise click.UsageError("--idempotency-key is for one ID at a time")


def _print_message(out: Output, message: Any, **more: str | None) -> None:
    if out.as_json:
        value = msgspec.Raw(value_json(message.value))
        if message.queue:
            more["queue"] = message.queue
        out.document(id=message.id, value=value, attempts=message.attempts, **more)
    else:
        out.row(message.id, str(message.attempts), shown_value(message.value))


def _sent(job: Job, result: EnqueueResult) -> None:
    job.out.result(result.id, ok=True, id=result.id)


def _done(job: Job) -> None:
    if job.out.as_json:
        job.out.document(ok=True)


COMMANDS = [queue, dlq]
