"""All commands of the store as one group."""

from __future__ import annotations

import click

from buntime_keyval.cli import (
    consumers,
    follow,
    keys,
    locks,
    queue,
    schedules,
    search,
    stream,
    tasks,
    transfer,
)
from buntime_keyval.cli.direct.benchmarks import benchmark
from buntime_keyval.cli.direct.graph import graph
from buntime_keyval.cli.options import DEFAULT_URL, TOKEN_VARIABLES, URL_VARIABLES, ServerTarget


@click.group()
@click.option(
    "--url", default=DEFAULT_URL, envvar=URL_VARIABLES, show_default=True, show_envvar=True,
    help="URL of the API.",
)  # fmt: skip
@click.option("--token", envvar=TOKEN_VARIABLES, show_envvar=True, help="Bearer token.")
@click.pass_context
def kv(ctx: click.Context, url: str, token: str | None) -> None:
    """Read, write and watch a key-value store.

    A key is a path, such as users/123, or JSON, such as '["users", 123]'. In a path, whole numbers
    are numbers, and %2F is a slash inside a part. A value is JSON, or plain text with --text.
    """
    ctx.obj = ServerTarget(url, token)


_MODULES = (keys, transfer, follow, search, queue, locks, stream, consumers, tasks, schedules)

for _command in [command for module in _MODULES for command in module.COMMANDS]:
    kv.add_command(_command)
kv.add_command(graph)
kv.add_command(benchmark)
