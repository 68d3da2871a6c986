"""Reading and writing records."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from buntime_keyval._records import ANY_VERSION, UNLIMITED, RecordSpan, prefixed, ranged
from buntime_keyval.cli.direct.running import (
    NUMBERS,
    print_json,
    print_value,
    read_json,
    record_members,
    with_store,
)
from buntime_keyval.cli.options import CommandFailure
from buntime_keyval.cli.output import note, visible

if TYPE_CHECKING:
    from buntime_keyval import Kv

_SHOWN = 1000
"""Records that a list shows unless it is told another limit."""

OFFSET = click.argument("offset", type=int, default=0)
LIMIT = click.argument("limit", type=int, default=_SHOWN)
DELETED = click.argument("limit", type=int, default=UNLIMITED)
VERSION = click.option(
    "--version", type=int, default=ANY_VERSION, show_default=True,
    help="-1 whatever is there, 0 if nothing is, or the version that is there.",
)  # fmt: skip


@click.command()
@with_store
def init(kv: Kv) -> None:
    """Make the store, where there is none."""
    kv.has(("kv",))


@click.group()
def get() -> None:
    """Print records."""


@get.command("key")
@click.argument("key")
@click.option("--print-version", is_flag=True, help="Print the version, and not the value.")
@with_store
def get_key(kv: Kv, key: str, print_version: bool) -> None:
    """Print the value of a key; without one the status is 1."""
    record = kv.records().get(key)
    if record is None:
        raise CommandFailure(f"{visible(key)} does not exist")
    if print_version:
        click.echo(record.version, nl=False)
    else:
        print_value(record.value)


@get.command("batch")
@click.argument("keys", metavar="[KEY]...", nargs=-1)
@with_store
def get_batch(kv: Kv, keys: tuple[str, ...]) -> None:
    """Print the records of several keys, or of those in stdin, one on each line."""
    named = list(keys) or [line for line in sys.stdin.read().splitlines() if line]
    found = kv.records().get_batch(*named)
    for key in sorted(found):
        print_json(record_members(found[key]))


@get.command("prefix", context_settings=NUMBERS)
@click.argument("prefix")
@OFFSET
@LIMIT
@with_store
def get_prefix(kv: Kv, prefix: str, offset: int, limit: int) -> None:
    """Print the records whose keys begin with a text; a limit of -1 is all of them."""
    _print_records(kv, prefixed(prefix), offset, limit)


@get.command("range", context_settings=NUMBERS)
@click.argument("start")
@click.argument("end")
@OFFSET
@LIMIT
@with_store
def get_range(kv: Kv, start: str, end: str, offset: int, limit: int) -> None:
    """Print the records from one key to before another; a limit of -1 is all of them."""
    _print_records(kv, ranged(start, end), offset, limit)


@click.command("list", context_settings=NUMBERS)
@OFFSET
@LIMIT
@with_store
def list_(kv: Kv, offset: int, limit: int) -> None:
    """Print all records; a limit of -1 is really all of them."""
    _print_records(kv, RecordSpan(), offset, limit)


def _print_records(kv: Kv, selection: RecordSpan, offset: int, limit: int) -> None:
    found = kv.records()._records(selection, offset, limit, None)
    print_json([record_members(record) for record in found])


@click.group()
def count() -> None:
    """Print how many records there are."""


@count.command("all")
@with_store
def count_all(kv: Kv) -> None:
    """In the whole store."""
    click.echo(kv.records().count())


@count.command("prefix")
@click.argument("prefix")
@with_store
def count_prefix(kv: Kv, prefix: str) -> None:
    """Whose keys begin with a text."""
    click.echo(kv.records().count_prefix(prefix))


@count.command("range")
@click.argument("start")
@click.argument("end")
@with_store
def count_range(kv: Kv, start: str, end: str) -> None:
    """From one key to before another."""
    click.echo(kv.records().count_range(start, end))


@click.command()
@click.argument("key")
@VERSION
@with_store
def put(kv: Kv, key: str, version: int) -> None:
    """Write the JSON value in stdin."""
    kv.records().put(key, read_json("the value"), version)


@click.command()
@click.argument("key")
@VERSION
@with_store
def patch(kv: Kv, key: str, version: int) -> None:
    """Merge the JSON in stdin into a value: null removes a member (RFC 7396)."""
    kv.records().patch(key, read_json("the patch"), version)


@click.command()
@click.argument("key")
@with_store
def delete(kv: Kv, key: str) -> None:
    """Delete a key, if it is there."""
    if not kv.records().delete(key):
        note(f"{visible(key)} was not there")


@click.command("delete-prefix", context_settings=NUMBERS)
@click.argument("prefix")
@OFFSET
@DELETED
@with_store
def delete_prefix(kv: Kv, prefix: str, offset: int, limit: int) -> None:
    """Delete the records whose keys begin with a text, or all with '*'; print how many."""
    click.echo(kv.records().delete_prefix(prefix, offset, limit))


@click.command("delete-range", context_settings=NUMBERS)
@click.argument("start")
@click.argument("end")
@OFFSET
@DELETED
@with_store
def delete_range(kv: Kv, start: str, end: str, offset: int, limit: int) -> None:
    """Delete the records from one key to before another; print how many."""
    click.echo(kv.records().delete_range(start, end, offset, limit))


COMMANDS = [init, get, list_, count, put, patch, delete, delete_prefix, delete_range]
