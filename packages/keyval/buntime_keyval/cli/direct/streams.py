"""The stream of changes."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

import click
import msgspec

from buntime_keyval._entries import raw_key
from buntime_keyval._results import StreamRecord
from buntime_keyval.cli.direct.running import NUMBERS, print_json, shown_utc, with_store
from buntime_keyval.cli.output import note, value_json
from buntime_keyval.wire.limits import MAX_LIMIT

if TYPE_CHECKING:
    from buntime_keyval import Kv

ANY_TYPE = "all"


@click.group()
def stream() -> None:
    """All changes, in the order of their commits."""


@stream.command(context_settings=NUMBERS)
@click.argument("seq", type=click.IntRange(0), default=0)
@click.argument("limit", type=int, default=100)
@click.option("--of-type", default=ANY_TYPE, show_default=True, help="Only records of this type.")
@with_store
def get(kv: Kv, seq: int, limit: int, of_type: str) -> None:
    """Print the records from a position on, and how to get the next ones; -1 is no limit."""
    kind = None if of_type == ANY_TYPE else of_type
    records: list[StreamRecord] = []
    after, ends = max(0, seq - 1), False
    while not ends and (limit < 0 or len(records) < limit):
        most = MAX_LIMIT if limit < 0 else min(limit - len(records), MAX_LIMIT)
        page = kv.stream.read(after, limit=most, type=kind)
        records += page.records
        after, ends = page.next, page.next >= page.last
    print_json([change_members(it) for it in records])
    chosen = [] if kind is None else ["--of-type", kind]
    note("next: " + shlex.join(["kv", "stream", "get", str(after + 1), str(limit), *chosen]))


@stream.command("seq")
@with_store
def newest(kv: Kv) -> None:
    """Print the position of the newest record, 0 for none."""
    click.echo(kv.stream.seq())


@stream.command()
@click.argument("seq", type=click.IntRange(0))
@with_store
def trim(kv: Kv, seq: int) -> None:
    """Remove the records up to a position, but for the newest of all."""
    kv.stream.trim(seq)


def change_members(change: StreamRecord) -> dict[str, Any]:
    """A record as `kv` prints it."""
    key = change.key
    is_text = len(key) == 1 and isinstance(key[0], str)
    record = {
        "key": key[0] if is_text else raw_key(key),
        "version": change.version,
        "value": msgspec.Raw(value_json(change.value)),
        "type": change.type,
    }
    if not change.has_value:
        del record["value"]
        record["valueOmitted"] = True
    return {
        "seq": change.seq,
        "action": change.action,
        "record": record,
        "at": shown_utc(change.at),
    }
