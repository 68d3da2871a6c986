"""`buntime move`: move a store to another database while it is in use."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path
from typing import Any

import click
import msgspec
from buntime_database import DatabaseError
from buntime_host import BuntimeError
from buntime_host.config import HostConfig, load_config

from buntime_plugin_keyval.command.config_file import check_config, write_config
from buntime_plugin_keyval.command.places import NamedDatabase, check_files, open_both, place_of
from buntime_plugin_keyval.command.progress import ProgressShown
from buntime_plugin_keyval.features.moving.checks import MoveRefused, abort, check_move
from buntime_plugin_keyval.features.moving.mover import MAX_PAUSE_SECONDS, MoveFailed, StoreMover
from buntime_plugin_keyval.located import reason_of

FAILED = 1
"""Exit code of a move that ended early: the same command goes on with it."""
REFUSED = 3
"""Exit code of a move that cannot be done as requested; nothing has changed."""
INTERRUPTED = 130


@click.command()
@click.option(
    "--config",
    "config_path",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    envvar="BUNTIME_CONFIG",
    help="Configuration file; by default ./buntime.jsonc, if it exists.",
)
@click.option("--from", "source", required=True, metavar="DB", help="An adapter, URL or file.")
@click.option("--to", "target", required=True, metavar="DB", help="The same, but empty.")
@click.option("--dry-run", is_flag=True, help="Report what would be moved, and change nothing.")
@click.option("--abort", "is_abort", is_flag=True, help="Cancel an unfinished move.")
@click.option(
    "--max-pause",
    type=click.FloatRange(min=0.1),
    default=MAX_PAUSE_SECONDS,
    show_default=True,
    metavar="SECONDS",
    help="Longest time for which the store may be closed.",
)
@click.option("--without-indexes", is_flag=True, help="Leave full-text indexes behind.")
@click.option(
    "--write-config", "is_written", is_flag=True, help="Write the new adapter to the configuration."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def move(
    config_path: Path | None,
    source: str,
    target: str,
    dry_run: bool,
    is_abort: bool,
    max_pause: float,
    without_indexes: bool,
    is_written: bool,
    as_json: bool,
) -> None:
    """Move the key-value store to another database while it is in use.

    If the move is interrupted, repeat the command to continue it. Exit codes: 0 done, 1 not done
    yet, 2 wrong options, 3 refused.

    Example: buntime move --from sqlite --to postgres --dry-run
    """
    logging.disable(logging.WARNING)
    try:
        config = load_config(config_path)
        places = place_of(config, "--from", source), place_of(config, "--to", target)
        if is_written:
            check_config(config, config.path)
            if not places[1].is_configured:
                raise click.UsageError(
                    "--write-config: --to must be an adapter of the configuration"
                )
        check_files(*places)
        if is_abort:
            told = asyncio.run(_abort(config, *places))
        else:
            run = _run(
                config,
                *places,
                dry_run=dry_run,
                without_indexes=without_indexes,
                max_pause=max_pause,
            )
            told = asyncio.run(run)
            if is_written and not dry_run:
                told["config"] = _write(config, places[1].name)
    except MoveRefused as error:
        raise _ended(error, REFUSED) from error
    except (BuntimeError, DatabaseError, MoveFailed, OSError) as error:
        raise _ended(reason_of(error), FAILED) from error
    except KeyboardInterrupt:
        raise _ended("interrupted: repeat the command to continue", INTERRUPTED) from None
    finally:
        logging.disable(logging.NOTSET)
    _print(told, as_json=as_json)


async def _run(
    config: HostConfig,
    source: NamedDatabase,
    target: NamedDatabase,
    *,
    dry_run: bool,
    without_indexes: bool,
    max_pause: float,
) -> dict[str, Any]:
    names = (source.name, target.name)
    async with open_both(config, source, target, makes=False) as (here, there):
        counts = await check_move(here, there, names, without_indexes=without_indexes)
    if dry_run:
        return {"state": "would be moved", **counts._asdict()}
    async with open_both(config, source, target, makes=True) as (here, there):
        with ProgressShown() as shown:
            mover = StoreMover(
                here, there, names, shown, without_indexes=without_indexes, max_pause=max_pause
            )
            moved = await mover.run()
    return {
        "state": "moved",
        **moved.counts._asdict(),
        "repaired": moved.repaired,
        "hashes": moved.hashes,
        "pauseSeconds": round(moved.pause_seconds, 3),
    }


async def _abort(
    config: HostConfig, source: NamedDatabase, target: NamedDatabase
) -> dict[str, Any]:
    async with open_both(config, source, target, makes=False) as (here, there):
        return {"state": "given up" if await abort(here, there) else "no move under way"}


def _write(config: HostConfig, database: str) -> str:
    path = config.path
    if path is None:
        raise MoveRefused("--write-config needs a configuration file")
    write_config(config, path, database)
    return str(path)


def _print(told: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(told).decode())
        return
    told = dict(told)
    click.echo(told.pop("state"))
    for name, value in told.items():
        click.echo(f"  {name}: {value}")


def _ended(reason: Exception | str, code: int) -> SystemExit:
    click.echo(f"buntime: error: {' '.join(str(reason).split())}", err=True)
    return SystemExit(code)
