"""Locks."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from buntime_keyval._results import LockGrant, LockInfo
from buntime_keyval.cli.options import Job, connected
from buntime_keyval.cli.output import shown_time, shown_value, unsuccessful, value_json

_NAME = click.argument("name", metavar="NAME")
_OWNER = click.argument("owner", metavar="OWNER")
_FOR = click.option(
    "--for", "duration", metavar="DURATION", default="30s", show_default=True,
    help="How long it lasts unless it is prolonged.",
)  # fmt: skip
_METADATA = click.option("--metadata", metavar="JSON", help="What the owner says of it.")


@click.group()
def lock() -> None:
    """Locks by name: one owner at a time."""


@lock.command()
@_NAME
@_OWNER
@_FOR
@click.option("--wait", metavar="DURATION", help="Wait in line for so long.")
@_METADATA
@connected
def acquire(
    job: Job, name: str, owner: str, duration: str, wait: str | None, metadata: str | None
) -> None:
    """Take a lock, or prolong it; print its token. The status is 1 if somebody else has it."""
    granted = job.kv.locks.acquire(
        name, owner, duration=duration, wait=wait, metadata=_decoded(metadata)
    )
    _granted(job, granted)


@lock.command()
@_NAME
@_OWNER
@click.option("--lease", metavar="TOKEN", help="Release it only under this token.")
@connected
def release(job: Job, name: str, owner: str, lease: str | None) -> None:
    """Release a lock. The status is 1 if OWNER does not have it."""
    released = job.kv.locks.release(name, owner, token=lease)
    job.out.outcome(f"{owner} does not have the lock {name}", released=released)


@lock.command()
@_NAME
@_OWNER
@_FOR
@_METADATA
@connected
def steal(job: Job, name: str, owner: str, duration: str, metadata: str | None) -> None:
    """Take a lock from whoever has it; print its token."""
    _granted(job, job.kv.locks.steal(name, owner, duration=duration, metadata=_decoded(metadata)))


@lock.command()
@_NAME
@connected
def status(job: Job, name: str) -> None:
    """Show who has a lock. The status is 1 if nobody has it."""
    found = job.kv.locks.get(name)
    if found is None:
        raise unsuccessful(f"nobody has the lock {name}")
    _shown(job, [found])


@lock.command("list")
@click.argument("prefix", default="")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@connected
def list_(job: Job, prefix: str, limit: int) -> None:
    """List the locks that somebody has, by the beginning of their names."""
    _shown(job, job.kv.locks.list(prefix, limit=limit))


def _decoded(metadata: str | None) -> Any:
    if metadata is None:
        return None
    try:
        return msgspec.json.decode(metadata)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise click.UsageError("--metadata is no JSON") from None


def _granted(job: Job, granted: LockGrant) -> None:
    job.out.result(granted.token, token=granted.token, expiresAt=granted.expires_at)


def _shown(job: Job, locks: list[LockInfo]) -> None:
    if job.out.as_json:
        for it in locks:
            job.out.document(
                name=it.name,
                owner=it.owner,
                token=it.token,
                acquiredAt=it.acquired_at,
                expiresAt=it.expires_at,
                metadata=msgspec.Raw(value_json(it.metadata)),
                waiting=it.waiting,
            )
        return
    rows = [
        (
            it.name,
            it.owner,
            shown_time(it.expires_at),
            str(it.waiting),
            "-" if it.metadata is None else shown_value(it.metadata, short=job.out.is_terminal),
        )
        for it in locks
    ]
    job.out.table(("name", "owner", "ends", "waiting", "metadata"), rows)


COMMANDS = [lock]
