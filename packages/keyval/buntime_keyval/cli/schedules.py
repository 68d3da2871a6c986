"""Schedules."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from buntime_keyval._calls.schedules import Missed
from buntime_keyval._results import ScheduleInfo
from buntime_keyval.cli.inputs import schedule_options
from buntime_keyval.cli.options import Job, connected
from buntime_keyval.cli.output import shown_time, unsuccessful, value_json

_NAME = click.argument("name", metavar="NAME")


@click.group()
def schedule() -> None:
    """Manage schedules, which start tasks at given times, once over all hosts."""


@schedule.command()
@schedule_options
@connected
def put(
    job: Job,
    name: str,
    task: dict[str, Any],
    cron: str | None,
    every: str | None,
    timezone: str | None,
    missed: Missed,
    paused: bool,
) -> None:
    """Create or change a schedule.

    TASK is the name of the task, or JSON that describes it, such as {"name": "send-report",
    "payload": {"to": "ada"}}.

    Example: buntime kv schedule put daily send-report --cron "0 7 * * *"
    """
    made = job.kv.schedules.put(
        name, task, cron=cron, every=every, timezone=timezone, missed=missed, paused=paused
    )
    _shown(job, [made])


@schedule.command()
@_NAME
@connected
def get(job: Job, name: str) -> None:
    """Show a schedule with its next times. The status is 1 if there is none.

    Example: buntime kv schedule get daily
    """
    found = job.kv.schedules.get(name)
    if found is None:
        raise unsuccessful(f"there is no schedule {name}")
    _shown(job, [found])


@schedule.command("list")
@click.option("--after", metavar="NAME", default="", help="Only those after this name.")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@connected
def list_(job: Job, after: str, limit: int) -> None:
    """List schedules in the order of their names.

    Example: buntime kv schedule list
    """
    _shown(job, job.kv.schedules.list(after, limit=limit))


@schedule.command()
@_NAME
@connected
def run(job: Job, name: str) -> None:
    """Start the task of a schedule now; print the id of the task.

    Example: buntime kv schedule run daily
    """
    task_id = job.kv.schedules.run(name)
    job.out.result(task_id, taskId=task_id)


@schedule.command()
@_NAME
@connected
def delete(job: Job, name: str) -> None:
    """Delete a schedule. The status is 1 if there is none.

    Example: buntime kv schedule delete daily
    """
    deleted = job.kv.schedules.delete(name)
    job.out.outcome(f"there is no schedule {name}", deleted=deleted)


def _shown(job: Job, schedules: list[ScheduleInfo]) -> None:
    if job.out.as_json:
        for it in schedules:
            job.out.document(
                name=it.name,
                cron=it.cron,
                every=it.every,
                timezone=it.timezone,
                task=msgspec.Raw(value_json(it.task)),
                missed=it.missed,
                paused=it.paused,
                next=it.next,
                lastAt=it.last_at,
                lastTask=it.last_task,
                fires=it.fires,
            )
        return
    rows = [
        (
            it.name,
            it.cron or f"every {it.every} ms",
            it.timezone,
            str(it.task.get("name")),
            "paused" if it.paused else shown_time(it.next[0]) if it.next else "-",
            str(it.fires),
        )
        for it in schedules
    ]
    job.out.table(("name", "when", "zone", "task", "next", "started"), rows)


COMMANDS = [schedule]
