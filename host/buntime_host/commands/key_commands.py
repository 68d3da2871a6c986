"""`buntime keys …`: the same operations as the API, with only the part of the host that keys
need.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, TypeVar

import click
import msgspec

from buntime_host.access.administration import KeyAdministration, Made, Wanted, row_of
from buntime_host.access.grants import UNLIMITED
from buntime_host.access.principal import Principal
from buntime_host.config import HostConfig
from buntime_host.errors import BadRequest
from buntime_host.host import Host

T = TypeVar("T")

OPERATOR = Principal("(command line)", "command line", UNLIMITED)
"""Whoever may read the configuration and the database: that is more than any key permits."""

Row = Mapping[str, Any]
_COLUMNS = ("id", "name", "role", "state", "expiresAt", "lastUsedAt")


def run(config: HostConfig, work: Callable[[KeyAdministration, Principal], Awaitable[T]]) -> T:
    """Do something with the keys of a host that has this configuration. Raises `BuntimeError`.

    All plugins are loaded, since they declare permissions; nothing is served.
    """
    logging.disable(logging.WARNING)
    quiet = msgspec.structs.replace(config, workers=1, insecure=True)

    async def do() -> T:
        async with Host(quiet) as host:
            return await work(host.keys, OPERATOR)

    try:
        return asyncio.run(do())
    finally:
        logging.disable(logging.NOTSET)


def wanted(
    name: str,
    grants: Sequence[str],
    role: str | None,
    expires: str | None,
    description: str | None,
    limits: str | None,
) -> Wanted:
    """The key that options ask for. Raises `BadRequest`."""
    try:
        read_limits = msgspec.json.decode(limits or "{}", type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise BadRequest(f"--limits: {error}") from None
    return Wanted(
        name=name,
        description=description,
        role=role,
        permissions=list(grants),
        expires_in=expires,
        limits=read_limits,
    )


async def all_rows(keys: KeyAdministration, _: Principal) -> list[dict[str, Any]]:
    """All keys."""
    return keys.all()


def one_row(key_id: str) -> Callable[[KeyAdministration, Principal], Awaitable[dict[str, Any]]]:
    """Find one key."""

    async def find(keys: KeyAdministration, _: Principal) -> dict[str, Any]:
        return keys.one(key_id)

    return find


def print_made(made: Made, *, as_json: bool) -> None:
    """Print a key that was just made; on its own line, so that scripts find it."""
    if as_json:
        _print_json(row_of(made))
        return
    click.echo(made.text)
    click.echo("This is the only time that it is shown.", err=True)


def print_rows(rows: Sequence[Row], *, as_json: bool) -> None:
    """Print keys as a table, or all their public details as JSON."""
    if as_json:
        _print_json({"keys": rows})
        return
    table = [_COLUMNS, *([str(_cell(row, name)) for name in _COLUMNS] for row in rows)]
    widths = [max(len(line[place]) for line in table) for place in range(len(_COLUMNS))]
    for line in table:
        cells = zip(line, widths, strict=True)
        click.echo("  ".join(cell.ljust(width) for cell, width in cells).rstrip())


def print_row(row: Row, *, as_json: bool) -> None:
    """Print one key."""
    if as_json:
        _print_json(row)
        return
    for name in row:
        value = _cell(row, name)
        text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
        click.echo(f"{name}: {text}")


def _cell(row: Row, name: str) -> Any:
    if name == "state":
        return "revoked" if row.get("revokedAt") else "good"
    value = row.get(name)
    if value is None:
        return "-"
    if name.endswith(("At", "Until")):
        from datetime import UTC, datetime

        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m-%d %H:%M:%SZ")
    return value


def _print_json(value: object) -> None:
    click.echo(msgspec.json.format(msgspec.json.encode(value)).decode())
