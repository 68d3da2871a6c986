"""Consumers of the stream."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from buntime_keyval.cli.direct.running import NUMBERS, print_json, shown_utc, with_store
from buntime_keyval.cli.direct.streams import ANY_TYPE, change_members
from buntime_keyval.cli.options import CommandFailure
from buntime_keyval.cli.output import visible

if TYPE_CHECKING:
    from buntime_keyval import Kv

_OF_TYPE = click.option(
    "--of-type", default=ANY_TYPE, show_default=True, help="Only records of this type."
)


@click.group()
def consumer() -> None:
    """Named positions in the stream."""


@consumer.command()
@click.argument("name")
@_OF_TYPE
@click.option("--limit", type=click.IntRange(1), default=10, show_default=True)
@with_store
def get(kv: Kv, name: str, of_type: str, limit: int) -> None:
    """Print the records that come next; they stay to be done."""
    if kv.consumers.get(name) is None:
        raise _no_consumer(name)
    records = kv.consumers.peek(name, limit=limit, type=_chosen(of_type))
    print_json([change_members(it) for it in records])


@consumer.command()
@click.argument("name")
@with_store
def status(kv: Kv, name: str) -> None:
    """Print how far a consumer is: `seq` is the position of the next record."""
    found = kv.consumers.get(name)
    if found is None:
        raise _no_consumer(name)
    print_json(
        {
            "name": found.name,
            "seq": found.position + 1,
            "lag": found.lag,
            "lockedBy": found.owner,
            "expiresAt": None if found.until is None else shown_utc(found.until),
            "lastUpdated": shown_utc(found.updated_at),
        }
    )


@consumer.command(context_settings=NUMBERS)
@click.argument("name")
@click.argument("last_seq", type=click.IntRange(0))
@with_store
def commit(kv: Kv, name: str, last_seq: int) -> None:
    """Let a consumer go on behind a record."""
    kv.consumers.set_position(name, last_seq)


@consumer.command()
@click.argument("name")
@with_store
def delete(kv: Kv, name: str) -> None:
    """Forget a consumer; the next one of its name begins with the first record."""
    kv.consumers.delete(name)


@consumer.command()
@click.argument("stream_name")
@click.argument("consumer_name")
@_OF_TYPE
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True)
@with_store
def stream(kv: Kv, stream_name: str, consumer_name: str, of_type: str, limit: int) -> None:
    """Print each record of the consumer STREAM_NAME as it comes, until Ctrl-C, as the instance
    CONSUMER_NAME; those of a batch are committed together."""
    at_work = kv.consumer(stream_name, owner=consumer_name, type=_chosen(of_type), batch=limit)
    for record in at_work.records(commit="batch"):
        print_json(change_members(record))
        sys.stdout.flush()  # before it is committed, or who reads a pipe might never see it


def _chosen(of_type: str) -> str | None:
    return None if of_type == ANY_TYPE else of_type


def _no_consumer(name: str) -> CommandFailure:
    return CommandFailure(f"there is no consumer {visible(name)}")
