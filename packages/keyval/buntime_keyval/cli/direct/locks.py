"""Locks by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from buntime_keyval.cli.direct.durations import DURATION
from buntime_keyval.cli.direct.running import print_json, shown_utc, with_store
from buntime_keyval.cli.options import CommandFailure
from buntime_keyval.cli.output import visible

if TYPE_CHECKING:
    from buntime_keyval import Kv


@click.group()
def lock() -> None:
    """Locks by name: one owner at a time."""


@lock.command()
@click.argument("name")
@click.argument("owner")
@click.option(
    "--duration", type=DURATION, default="10m", show_default=True,
    help="How long it is held, such as 90s, 1h30m or 250ms.",
)  # fmt: skip
@with_store
def acquire(kv: Kv, name: str, owner: str, duration: float) -> None:
    """Take a lock, or prolong it; the status is 1 if somebody else has it."""
    kv.locks.acquire(name, owner, duration=duration)


@lock.command()
@click.argument("name")
@click.argument("owner")
@with_store
def release(kv: Kv, name: str, owner: str) -> None:
    """Release a lock; the status is 1 if the owner does not have it."""
    if not kv.locks.release(name, owner):
        raise CommandFailure(f"{visible(owner)} does not have the lock {visible(name)}")


@lock.command()
@click.argument("name")
@with_store
def status(kv: Kv, name: str) -> None:
    """Print who has a lock; the status is 1 if nobody has it."""
    found = kv.locks.get(name)
    if found is None:
        raise CommandFailure(f"no owner holds the lock {visible(name)}")
    print_json(
        {
            "name": found.name,
            "lockedBy": found.owner,
            "lockedAt": shown_utc(found.acquired_at),
            "expiresAt": shown_utc(found.expires_at),
            "token": found.token,
        }
    )
