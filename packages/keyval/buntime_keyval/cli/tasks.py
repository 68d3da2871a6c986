"""Tasks."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import get_args

import click
import msgspec

from buntime_keyval._calls import tasks as calls
from buntime_keyval._calls.tasks import TaskStatus, new_task
from buntime_keyval._modules import runner_of_module
from buntime_keyval._results import TaskInfo
from buntime_keyval.cli.inputs import (
    IDEMPOTENCY_KEY,
    SCHEDULED_FOR,
    parse_rate,
    read_value,
    value_input,
)
from buntime_keyval.cli.options import Job, Mistake, connected
from buntime_keyval.cli.output import shown_time, shown_value, unsuccessful
from buntime_keyval.cli.runners import run_until_told
from buntime_keyval.wire import InvalidInput, parse_duration
from buntime_keyval.wire.limits import MAX_LIMIT, MOST_PRIORITY

_ID = click.argument("task_id", metavar="ID")
_NAME = click.argument("name", metavar="NAME")


@click.group()
def task() -> None:
    """Send, run and manage tasks: named work with a payload and a result."""


@task.command()
@_NAME
@value_input
@click.option("--id", "task_id", help="Id of the task; if it exists, nothing is sent.")
@click.option("--delay", metavar="DURATION", help="How long to hold it back, such as 5s.")
@SCHEDULED_FOR
@click.option("--max-retries", type=click.IntRange(0), default=3, show_default=True,
              help="Most attempts.")  # fmt: skip
@click.option(
    "--backoff", metavar="DURATION", multiple=True,
    help="Pause before the next attempt; repeatable. By default 2m, doubled up to 1h.",
)  # fmt: skip
@click.option("--timeout", metavar="DURATION", default="5m", show_default=True,
              help="How long an attempt may take.")  # fmt: skip
@click.option(
    "--priority", type=click.IntRange(-MOST_PRIORITY, MOST_PRIORITY), default=0, show_default=True,
    help="Each step counts like a minute of waiting.",
)  # fmt: skip
@click.option("--unique", metavar="TEXT", help="Send it only if no unfinished task has this TEXT.")
@click.option(
    "--sequence", metavar="TEXT", help="Tasks with this TEXT run one at a time, in order."
)
@click.option("--keep-result", metavar="DURATION", default="1d", show_default=True,
              help="How long the task is kept once it is over.")  # fmt: skip
@click.option("--parent", metavar="ID", help="Task that this one belongs to.")
@click.option("--after", metavar="ID", multiple=True,
              help="Run it once this task is completed; repeatable.")  # fmt: skip
@IDEMPOTENCY_KEY
@connected
def send(
    job: Job,
    name: str,
    value: str | None,
    text: bool,
    file: Path | None,
    task_id: str | None,
    delay: str | None,
    scheduled_for: datetime | None,
    max_retries: int,
    backoff: tuple[str, ...],
    timeout: str,
    priority: int,
    unique: str | None,
    sequence: str | None,
    keep_result: str,
    parent: str | None,
    after: tuple[str, ...],
    idempotency_key: str | None,
) -> None:
    """Send a task with the payload VALUE, or none; print its id.

    Example: buntime kv task send send-mail '{"to": "ada"}' --max-retries 5
    """
    new = new_task(
        name,
        None,
        id=task_id,
        delay=delay,
        scheduled_for=scheduled_for,
        max_retries=max_retries,
        backoff_schedule=backoff,
        timeout=timeout,
        priority=priority,
        unique=unique,
        sequence=sequence,
        keep_result=keep_result,
        parent=parent,
        after=after,
    )
    if value is not None or file is not None or text:
        new = new._replace(payload=read_value(value, text=text, file=file).decode())
    made = job.kv._session.send(calls.send(new), idempotency_key)
    if job.out.as_json:
        _shown(job, [made])
    else:
        job.out.line(made.id)


@task.command()
@_ID
@connected
def get(job: Job, task_id: str) -> None:
    """Show a task. The status is 1 if there is none.

    Example: buntime kv task get 0190-7
    """
    found = job.kv.tasks.get(task_id)
    if found is None:
        raise unsuccessful(f"there is no task {task_id}")
    _shown(job, [found])


@task.command("list")
@click.option(
    "--status", type=click.Choice(get_args(TaskStatus)), help="Only tasks with this status."
)
@click.option("--name", help="Only tasks of this name.")
@click.option("--parent", metavar="ID", help="Only tasks that belong to this one.")
@click.option("--limit", type=click.IntRange(1, MAX_LIMIT), default=100, show_default=True)
@click.option("--offset", type=click.IntRange(0), default=0, help="Skip this many first.")
@connected
def list_(
    job: Job,
    status: TaskStatus | None,
    name: str | None,
    parent: str | None,
    limit: int,
    offset: int,
) -> None:
    """List tasks, the newest first.

    Example: buntime kv task list --status failed
    """
    page = job.kv.tasks.list(status=status, name=name, parent=parent, limit=limit, offset=offset)
    _shown(job, page.tasks)


@task.command()
@_ID
@click.option("--timeout", metavar="DURATION", help="How long to wait; by default for ever.")
@connected
def wait(job: Job, task_id: str, timeout: str | None) -> None:
    """Wait until a task is over; show it. The status is 1 unless it is completed.

    Example: buntime kv task wait 0190-7 --timeout 30s
    """
    found = job.kv.tasks.wait(task_id, timeout)
    _shown(job, [found])
    if found.status != "completed":
        raise unsuccessful(f"the task {task_id} is {found.status}")


@task.command()
@_ID
@connected
def cancel(job: Job, task_id: str) -> None:
    """Cancel a task that is not over; show the result.

    Example: buntime kv task cancel 0190-7
    """
    _shown(job, [job.kv.tasks.cancel(task_id)])


@task.command()
@_ID
@connected
def retry(job: Job, task_id: str) -> None:
    """Run a failed or cancelled task again.

    Example: buntime kv task retry 0190-7
    """
    _shown(job, [job.kv.tasks.retry(task_id)])


@task.command()
@_ID
@connected
def delete(job: Job, task_id: str) -> None:
    """Delete a task. The status is 1 if there is none.

    Example: buntime kv task delete 0190-7
    """
    deleted = job.kv.tasks.delete(task_id)
    job.out.outcome(f"there is no task {task_id}", deleted=deleted)


@task.command()
@click.argument("name", required=False)
@connected
def stats(job: Job, name: str | None) -> None:
    """Show the number of tasks in each status, for all names or one.

    Example: buntime kv task stats send-mail
    """
    counts = job.kv.tasks.stats(name)
    if job.out.as_json:
        for it, numbers in counts.items():
            job.out.document(name=it, **numbers)
        return
    statuses = get_args(TaskStatus)
    rows = [(it, *(str(by.get(status, 0)) for status in statuses)) for it, by in counts.items()]
    job.out.table(("name", *statuses), rows)


@task.command()
@_NAME
@click.option("--max-running", type=click.IntRange(1), help="Most tasks that run at once.")
@click.option("--rate", metavar="COUNT/DURATION", help="Most starts per time, such as 100/1m.")
@click.option("--set", "is_set", is_flag=True, help="Set both; one left out is no limit.")
@connected
def limits(job: Job, name: str, max_running: int | None, rate: str | None, is_set: bool) -> None:
    """Show the limits of the tasks of a name; with --set, change them.

    Example: buntime kv task limits send-mail --set --max-running 4
    """
    if is_set:
        wanted = None if rate is None else parse_rate(rate)
        job.kv.tasks.set_limits(name, max_running=max_running, rate=wanted)
    elif max_running or rate:
        raise click.UsageError("add --set: it sets both limits, and removes one left out")
    found = job.kv.tasks.limits(name)
    job.out.members(("limit", "value"), msgspec.to_builtins(found))


@task.command()
@click.option("--module", required=True, metavar="NAME", help="Module with a make_runner(kv).")
@click.option(
    "--drain", metavar="DURATION", default="30s", show_default=True,
    help="How long running tasks have to finish.",
)  # fmt: skip
@connected
def run(job: Job, module: str, drain: str) -> None:
    """Run tasks with the functions of a Python module, until SIGTERM or Ctrl-C.

    The module may be in the working directory. After the signal no more tasks are taken; running
    ones may finish, and those that do not are given back.

    Example: buntime kv task run --module mails
    """
    try:
        parse_duration(drain)
    except InvalidInput as error:
        raise Mistake(f"--drain: {error}") from None
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    run_until_told(job.open_async, partial(runner_of_module, module), drain)


def _shown(job: Job, tasks: Sequence[TaskInfo]) -> None:
    if job.out.as_json:
        for it in tasks:
            job.out.struct(it, "payload", "result", "progress")
        return
    rows = [
        (
            it.id,
            it.name,
            it.status,
            f"{it.attempts}/{max(1, it.max_retries)}",
            shown_time(it.created),
            shown_value(it.payload, short=job.out.is_terminal),
            it.last_error or shown_value(it.result, short=job.out.is_terminal),
        )
        for it in tasks
    ]
    job.out.table(("id", "name", "status", "attempts", "created", "payload", "outcome"), rows)


COMMANDS = [task]
