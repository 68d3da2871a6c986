"""All commands of `kv` as one group."""

from __future__ import annotations

import click

from buntime_keyval.cli.direct import (
    benchmarks,
    consumers,
    graph,
    locks,
    records,
    schedules,
    streams,
    tasks,
)
from buntime_keyval.cli.direct.connection import DEFAULT_CONNECTION, KINDS, target_of


@click.group()
@click.option(
    "--type", "kind", type=click.Choice(KINDS), default="sqlite", show_default=True,
    help="What keeps the store.",
)  # fmt: skip
@click.option(
    "--connection", default=DEFAULT_CONNECTION, show_default=True, metavar="TEXT",
    help="A file, http://host:4001?user=a&password=b for rqlite, or postgres://user@host/database.",
)  # fmt: skip
@click.pass_context
def kv(ctx: click.Context, kind: str, connection: str) -> None:
    """Read and write records: JSON values under text keys, with versions.

    The store is a file in this folder unless you say another. Documents go to stdout, everything
    else to stderr; the status is 1 for a failure, and 2 for what was typed wrong.
    """
    ctx.obj = target_of(kind, connection)


for _command in (
    *records.COMMANDS,
    graph.graph,
    locks.lock,
    streams.stream,
    consumers.consumer,
    tasks.task,
    schedules.schedule,
    benchmarks.benchmark,
):
    kv.add_command(_command)
