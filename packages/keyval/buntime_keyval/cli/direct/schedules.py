"""Schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click
import msgspec

from buntime_keyval._calls.schedules import Missed
from buntime_keyval.cli.direct.running import print_json, shown_utc, with_store
from buntime_keyval.cli.inputs import schedule_options
from buntime_keyval.cli.options import CommandFailure
from buntime_keyval.cli.output import value_json, visible
from buntime_keyval.wire.limits import MAX_LIMIT

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from buntime_keyval import Kv, ScheduleInfo

_NAME = click.argument("name")


@click.group()
def schedule() -> None:
    """Tasks that are started at times, while a program has the store open.

    That is a server, `kv task run`, or one of your own.
    """


@schedule.command()
@schedule_options
@with_store
def put(
    kv: Kv,
    name: str,
    task: Mapping[str, Any],
    cron: str | None,
    every: str | None,
    timezone: str | None,
    missed: Missed,
    paused: bool,
) -> None:
    """Make a schedule, or change it.

    TASK is the name of its tasks, or JSON of what they are made of, such as {"name": "send-report",
    "payload": {"to": "ada"}}.
    """
    kv.schedules.put(
        name, task, cron=cron, every=every, timezone=timezone, missed=missed, paused=paused
    )


@schedule.command()
@_NAME
@with_store
def get(kv: Kv, name: str) -> None:
    """Print a schedule with its next times; the status is 1 if there is none."""
    found = kv.schedules.get(name)
    if found is None:
        raise _no_schedule(name)
    print_json(_members(found))


@schedule.command("list")
@click.option("--after", default="", metavar="NAME", help="Only those after this name.")
@click.option("--limit", type=click.IntRange(1, MAX_LIMIT), default=100, show_default=True)
@with_store
def list_(kv: Kv, after: str, limit: int) -> None:
    """Print schedules in the order of their names, one document each."""
    for found in kv.schedules.list(after, limit=limit):
        print_json(_members(found))


@schedule.command()
@_NAME
@with_store
def run(kv: Kv, name: str) -> None:
    """Start the task of a schedule now; print the id of the task."""
    click.echo(kv.schedules.run(name))


@schedule.command()
@_NAME
@with_store
def delete(kv: Kv, name: str) -> None:
    """Remove a schedule; the status is 1 if there is none."""
    if not kv.schedules.delete(name):
        raise _no_schedule(name)


def _no_schedule(name: str) -> CommandFailure:
    return CommandFailure(f"there is no schedule {visible(name)}")


def _members(found: ScheduleInfo) -> dict[str, Any]:
    """A schedule as it is printed; what there is not is null."""
    return {
        "name": found.name,
        "cron": found.cron,
        "every": found.every,
        "timezone": found.timezone,
        "task": msgspec.Raw(value_json(found.task)),
        "missed": found.missed,
        "paused": found.paused,
        "next": [shown_utc(at) for at in found.next],
        "lastAt": None if found.last_at is None else shown_utc(found.last_at),
        "lastTask": found.last_task,
        "fires": found.fires,
    }
