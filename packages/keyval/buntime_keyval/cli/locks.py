"""Locks."""

from __future__ import annotations

from typing import Any

import click
import msgspec

from buntime_keyval._results import LockGrant, LockInfo
from buntime_keyval.cli.options import Job, connected
from buntime_keyval.cli.output import shown_time, shown_value, unsuccessful

_NAME = click.argument("name", metavar="NAME")
_OWNER = click.argument("owner", metavar="OWNER")
_FOR = click.option(
    "--for", "duration", metavar="DURATION", default="30s", show_default=True,
    help="How long it lasts unless it is renewed.",
)  # fmt: skip
_METADATA = click.option("--metadata", metavar="JSON", help="Anything to show with the lock.")


@click.group()
def lock() -> None:
    """Take, show and release locks, each with one owner at a time."""


@lock.command()
@_NAME
@_OWNER
@_FOR
@click.option("--wait", metavar="DURATION", help="How long to wait in line.")
@_METADATA
@connected
def acquire(
    job: Job, name: str, owner: str, duration: str, wait: str | None, metadata: str | None
) -> None:
    """Take or renew a lock; print its token. The status is 1 if another owner holds it.

    Example: buntime kv lock acquire report host-1 --for 1h --wait 5s
    """
    granted = job.kv.locks.acquire(
        name, owner, duration=duration, wait=wait, metadata=_decoded(metadata)
    )
    _granted(job, granted)


@lock.command()
@_NAME
@_OWNER
@click.option("--lease", metavar="TOKEN", help="Only if this is its token.")
@connected
def release(job: Job, name: str, owner: str, lease: str | None) -> None:
    """Release a lock. The status is 1 if OWNER does not hold it.

    Example: buntime kv lock release report host-1
    """
    released = job.kv.locks.release(name, owner, token=lease)
    job.out.outcome(f"{owner} does not have the lock {name}", released=released)


@lock.command()
@_NAME
@_OWNER
@_FOR
@_METADATA
@connected
def steal(job: Job, name: str, owner: str, duration: str, metadata: str | None) -> None:
    """Take a lock away from its owner; print the new token.

    Example: buntime kv lock steal report host-2
    """
    _granted(job, job.kv.locks.steal(name, owner, duration=duration, metadata=_decoded(metadata)))


@lock.command()
@_NAME
@connected
def status(job: Job, name: str) -> None:
    """Show the owner of a lock. The status is 1 if it is free.

    Example: buntime kv lock status report
    """
    found = job.kv.locks.get(name)
    if found is None:
        raise unsuccessful(f"no owner holds the lock {name}")
    _shown(job, [found])


@lock.command("list")
@click.argument("prefix", default="")
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True)
@connected
def list_(job: Job, prefix: str, limit: int) -> None:
    """List the held locks, or those whose names begin with PREFIX.

    Example: buntime kv lock list
    """
    _shown(job, job.kv.locks.list(prefix, limit=limit))


def _decoded(metadata: str | None) -> Any:
    if metadata is None:
        return None
    try:
        return msgspec.json.decode(metadata)
    except (msgspec.DecodeError, UnicodeError, RecursionError):
        raise click.UsageError("--metadata is not JSON") from None


def _granted(job: Job, granted: LockGrant) -> None:
    job.out.result(granted.token, token=granted.token, expiresAt=granted.expires_at)


def _shown(job: Job, locks: list[LockInfo]) -> None:
    if job.out.as_json:
        for it in locks:
            job.out.struct(it, "metadata")
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
