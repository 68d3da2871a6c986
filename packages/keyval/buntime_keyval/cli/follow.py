"""Watching keys."""

from __future__ import annotations

import click

from buntime_keyval.cli.inputs import KEY
from buntime_keyval.cli.options import Job, connected
from buntime_keyval.cli.output import note, shown_key, shown_value
from buntime_keyval.wire import Key


def retry_note(error: Exception) -> None:
    """Report a failure that the client recovers from."""
    note(f"{error}; trying again")


@click.command()
@click.argument("keys", metavar="KEY...", type=KEY, nargs=-1, required=True)
@click.option("--prefix", is_flag=True, help="Also watch everything below the keys.")
@click.option("--changes", is_flag=True, help="Leave out the initial state.")
@click.option("--limit", type=click.IntRange(1), help="End after this many lines.")
@connected
def watch(job: Job, keys: tuple[Key, ...], prefix: bool, changes: bool, limit: int | None) -> None:
    """Print the entries of keys, then each change, until Ctrl-C.

    A line begins with "set", or with "gone" for an entry that does not exist, was deleted or
    expired. In JSON, the versionstamp of such an entry is null.

    Example: buntime kv watch users --prefix
    """
    job.kv.get(keys[0])  # so that a wrong address is an error, and not tried for ever
    left = limit
    with job.kv.watch(
        list(keys), exact=not prefix, emit_initial=not changes, limit=1000, on_error=retry_note
    ) as batches:
        for batch in batches:
            for entry in batch:
                if job.out.as_json:
                    job.out.entry_json(entry)
                elif entry.exists:
                    job.out.row("set", shown_key(entry.key), shown_value(entry.value))
                else:
                    job.out.row("gone", shown_key(entry.key))
                if left is not None:
                    left -= 1
                    if left == 0:
                        job.out.flush()
                        return
            job.out.flush()


COMMANDS = [watch]
