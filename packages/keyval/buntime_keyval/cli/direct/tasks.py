"""Tasks."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Any, get_args

import click
import msgspec

from buntime_keyval._calls.tasks import TaskStatus
from buntime_keyval._results import TaskInfo
from buntime_keyval.cli.direct.connection import StoreTarget
from buntime_keyval.cli.direct.durations import DURATION
from buntime_keyval.cli.direct.running import print_json, read_json, shown_utc, with_store
from buntime_keyval.cli.inputs import SCHEDULED_FOR
from buntime_keyval.cli.options import CommandFailure, failures_told
from buntime_keyval.cli.output import value_json, visible
from buntime_keyval.cli.runners import run_until_told
from buntime_keyval.wire.limits import MAX_LIMIT
from buntime_keyval.wire.tasks import no_task

if TYPE_CHECKING:
    from buntime_keyval import AsyncKv, AsyncRunner, Kv

_ID = click.argument("task_id", metavar="ID")


@click.group()
def task() -> None:
    """Named work, which runners do."""


@task.command()
@click.argument("name")
@click.option("--max-retries", type=click.IntRange(0), default=3, show_default=True,
              help="Most attempts.")  # fmt: skip
@click.option("--timeout-seconds", type=click.IntRange(1), default=300, show_default=True,
              help="How long an attempt may take.")  # fmt: skip
@SCHEDULED_FOR
@with_store
def new(
    kv: Kv, name: str, max_retries: int, timeout_seconds: int, scheduled_for: datetime | None
) -> None:
    """Make a task with the JSON in stdin as its payload; print its id."""
    payload = read_json("the payload", needed=False)
    made = kv.tasks.send(
        name,
        payload,
        max_retries=max_retries,
        timeout=timeout_seconds * 1000,
        scheduled_for=scheduled_for,
    )
    click.echo(made.id)


@task.command()
@_ID
@with_store
def get(kv: Kv, task_id: str) -> None:
    """Print a task; the status is 1 if there is none."""
    found = kv.tasks.get(task_id)
    if found is None:
        raise CommandFailure(no_task(visible(task_id)))
    print_json(_members(found))


@task.command("list")
@click.option("--status", type=click.Choice(get_args(TaskStatus)), help="Only those.")
@click.option("--name", help="Only those of this name.")
@click.option("--offset", type=click.IntRange(0), default=0, show_default=True)
@click.option("--limit", type=click.IntRange(1, MAX_LIMIT), default=10, show_default=True)
@with_store
def list_(kv: Kv, status: TaskStatus | None, name: str | None, offset: int, limit: int) -> None:
    """Print tasks, the newest first, one document each."""
    for found in kv.tasks.list(status=status, name=name, offset=offset, limit=limit).tasks:
        print_json(_members(found))


@task.command()
@_ID
@with_store
def cancel(kv: Kv, task_id: str) -> None:
    """Cancel a task that is not over."""
    kv.tasks.cancel(task_id)


@task.command()
@click.option("--runner-id", help="Its name; another one each time unless given.")
@click.option(
    "--poll-interval", type=DURATION, default="10s", show_default=True, expose_value=False,
    help="Has no effect: tasks are noticed as they come.",
)  # fmt: skip
@click.option(
    "--lock-duration", type=DURATION, default="5m", show_default=True,
    help="How long after this process has died others get its tasks.",
)  # fmt: skip
@click.option(
    "--task-types", multiple=True, metavar="NAMES",
    help="Which of echo, log and process, with commas between them; else all.",
)  # fmt: skip
@click.pass_obj
def run(
    target: StoreTarget, runner_id: str | None, lock_duration: float, task_types: tuple[str, ...]
) -> None:
    """Run tasks of three names to try things out, until SIGTERM or Ctrl-C.

    echo prints its payload, which is its result too; log prints an object; process prints its
    payload after a tenth of a second.
    """
    chosen = [name.strip() for given in task_types for name in given.split(",")] or [*_EXAMPLES]
    unknown = [name for name in chosen if name not in _EXAMPLES]
    if unknown:
        raise click.UsageError(
            f"--task-types: there is no function for {unknown[0]}; there is {', '.join(_EXAMPLES)}"
        )

    def make_runner(kv: AsyncKv) -> AsyncRunner:
        runner = kv.runner(name=runner_id, lease=lock_duration)
        for name in dict.fromkeys(chosen):
            runner.add(name, _EXAMPLES[name])
        return runner

    with failures_told(target.url):
        run_until_told(target.open_async, make_runner)


def _echo(payload: Any) -> Any:
    _print_payload(payload)
    return payload


def _log(payload: dict[str, Any]) -> None:
    _print_payload(payload)


def _process(payload: Any) -> None:
    time.sleep(0.1)
    _print_payload(payload)


_EXAMPLES: dict[str, Callable[[Any], Any]] = {"echo": _echo, "log": _log, "process": _process}


def _print_payload(payload: Any) -> None:
    sys.stdout.buffer.write(value_json(payload) + b"\n")
    sys.stdout.flush()


def _members(found: TaskInfo) -> dict[str, Any]:
    """A task as it is printed; what there is not yet is null."""
    is_tried = found.status in ("running", "completed")
    return {
        "id": found.id,
        "name": found.name,
        "payload": msgspec.Raw(value_json(found.payload)),
        "status": found.status,
        "created": shown_utc(found.created),
        "scheduledFor": shown_utc(found.scheduled_for),
        "startedAt": _moment(found.started_at),
        "completedAt": _moment(found.completed_at),
        "lastError": found.last_error,
        "retryCount": found.attempts - 1 if is_tried else found.attempts,
        "maxRetries": found.max_retries,
        "timeoutSeconds": -(-found.timeout // 1000),
        "lockedBy": found.locked_by,
        "lockExpiresAt": _moment(found.lock_expires_at),
        "result": msgspec.Raw(value_json(found.result)),
    }


def _moment(milliseconds: int | None) -> str | None:
    return None if milliseconds is None else shown_utc(milliseconds)
