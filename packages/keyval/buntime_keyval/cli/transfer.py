"""Export and import: one JSON document a line, `{"key": [...], "value": ...}`."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import click
import msgspec

from buntime_keyval._entries import raw_key
from buntime_keyval._errors import KvError
from buntime_keyval._results import KvEntry
from buntime_keyval.cli.inputs import (
    CONSISTENCY,
    EXPIRES_IN,
    PREFIX_ARGUMENT,
    StoredLine,
    checked_json,
    commit_json,
    opened,
    reason,
    without_mark,
)
from buntime_keyval.cli.options import CommandFailure, Job, connected
from buntime_keyval.cli.output import details_members, note, value_json
from buntime_keyval.wire import InvalidInput, Key, encode_key, parse_expires_at, parse_expires_in
from buntime_keyval.wire.entry_types import checked_type
from buntime_keyval.wire.python_keys import checked_key
from buntime_keyval.wire.python_options import Consistency

_FLUSHED = 1000
# Well below what servers and proxies take as a body, unless a single value is larger.
_BATCH_BYTES = 1024 * 1024
_MOST_IN_BATCH = 1000

Advance = Callable[[int], None]


class _BadLines(Exception):
    """Lines that cannot be imported, and why."""


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    key: Any
    value: msgspec.Raw
    metadata: msgspec.Raw = msgspec.Raw(b"null")
    expiresAt: int | None = None
    type: str | None = None
    # The rest is what a store gives anew; `list --json` prints it.
    versionstamp: str | None = None
    createdAt: int | None = None
    updatedAt: int | None = None
    revision: int | None = None


class TransferItem(NamedTuple):
    """One line of an import."""

    number: int
    entry: StoredLine
    length: int
    """Of the whole line."""


@click.command("export")
@PREFIX_ARGUMENT
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, allow_dash=True, dir_okay=False),
    help="File to write; by default stdout.",
)  # fmt: skip
@click.option("--details", is_flag=True, help="Also write metadata, types, lifetimes and times.")
@click.option("--snapshot", is_flag=True, help="Everything as of one moment, or an error.")
@CONSISTENCY
@connected
def export(
    job: Job,
    prefix: Key,
    output: Path | None,
    details: bool,
    snapshot: bool,
    consistency: Consistency,
) -> None:
    """Write a key and everything below it, or the whole store, as NDJSON.

    Each page of 1000 entries shows the moment at which it is read; with --snapshot, all show the
    moment of the first one. With --details, an import restores metadata, types, and the rest of the
    lifetimes.

    Example: buntime kv export users -o users.ndjson
    """
    to_stdout = output is None or str(output) == "-"
    path = None if output is None or to_stdout else output
    read = job.kv.get_with_metadata if details else job.kv.get
    own = read(prefix, consistency=consistency) if prefix else None
    options: dict[str, Any] = {"details": details, "consistency": consistency}
    has_bar = sys.stderr.isatty() and not (to_stdout and sys.stdout.isatty())
    total = job.kv.count(prefix) + (own is not None and own.exists) if has_bar else None
    number = 0
    with _progress("export", total, shown=has_bar) as advance, _writing(path) as stream:
        for number, entry in enumerate(_subtree(job, prefix, own, options, snapshot), 1):
            stream.write(_line(entry))
            advance(1)
            if to_stdout and number % _FLUSHED == 0:
                stream.flush()
        stream.flush()
    note(f"{_entries(number)} exported")
    if job.out.as_json and path is not None:
        job.out.document(exported=number)


@click.command("import")
@click.argument("file", type=click.Path(path_type=Path, allow_dash=True), default="-")
@click.option("--dry-run", is_flag=True, help="Check all lines and write nothing.")
@click.option(
    "--batch-size", type=click.IntRange(1, _MOST_IN_BATCH), default=500, show_default=True,
    help="Entries in one commit.",
)  # fmt: skip
@EXPIRES_IN
@connected
def import_(job: Job, file: Path, dry_run: bool, batch_size: int, expires_in: str | None) -> None:
    """Store the entries of an NDJSON file, or of stdin.

    Each line is a JSON document with key and value. It may also have metadata, a type and a
    lifetime, as export --details writes them.

    Entries are written in batches, each completely or not at all. A wrong line ends the import: the
    batches before it are stored, and it is safe to run the import again.

    Example: buntime kv import users.ndjson --dry-run
    """
    parse_expires_in(expires_in)
    size = file.stat().st_size if file.is_file() else None
    done = 0
    what = "check" if dry_run else "import"
    with _reading(file) as stream, _progress(what, size, shown=sys.stderr.isatty()) as advance:
        try:
            for batch in _batches(_items(stream), batch_size):
                if not dry_run:
                    _commit(job, batch, expires_in)
                done += len(batch)
                advance(sum(item.length for item in batch))
        except _BadLines as error:
            before = "" if dry_run else f"; imported before: {_entries(done)}"
            raise CommandFailure(f"{error}{before}") from error
    note(f"{_entries(done)} {'checked, nothing was written' if dry_run else 'imported'}")
    if job.out.as_json:
        job.out.document(**{"checked" if dry_run else "imported": done})


def _entries(number: int) -> str:
    return "1 entry" if number == 1 else f"{number} entries"


def _subtree(
    job: Job, prefix: Key, own: KvEntry[Any] | None, options: dict[str, Any], snapshot: bool
) -> Iterator[KvEntry[Any]]:
    if not snapshot:
        if own is not None and own.exists:
            yield own
        yield from job.kv.list(prefix, **options)
        return
    # The key and what is below it follow each other, so one list has all of it.
    for entry in job.kv.list(start=prefix or None, snapshot=True, **options):
        if not _starts_with(entry.key, prefix):
            return
        yield entry


def _starts_with(key: Key, prefix: Key) -> bool:
    return encode_key(key[: len(prefix)]) == encode_key(prefix) if prefix else True


def _line(entry: KvEntry[Any]) -> bytes:
    members: dict[str, Any] = {
        "key": raw_key(entry.key),
        "value": msgspec.Raw(value_json(entry.value)),
    }
    if entry.details is not None:
        members |= details_members(entry.details)
    return msgspec.json.encode(members) + b"\n"


def _items(stream: BinaryIO) -> Iterator[TransferItem]:
    """The lines that are not blank. Raises `_BadLines` with the number of one that is wrong."""
    for number, line in enumerate(stream, 1):
        if number == 1:
            line = without_mark(line)
        if not line.strip():
            continue
        try:
            parsed = msgspec.json.decode(line, type=_Line)
            yield TransferItem(number, _stored(parsed), len(line))
        except (msgspec.MsgspecError, InvalidInput, UnicodeDecodeError, RecursionError) as error:
            why = reason(error) if isinstance(error, InvalidInput) else error
            raise _BadLines(f"line {number}: {why}") from error


def _stored(line: _Line) -> StoredLine:
    metadata = checked_json(bytes(line.metadata))
    return StoredLine(
        checked_key(line.key),
        checked_json(bytes(line.value)),
        None if metadata == b"null" else metadata,
        parse_expires_at(line.expiresAt),
        checked_type(line.type),
    )


def _batches(items: Iterator[TransferItem], size: int) -> Iterator[list[TransferItem]]:
    batch: list[TransferItem] = []
    length = 0
    for item in items:
        if batch and (len(batch) == size or length + item.length > _BATCH_BYTES):
            yield batch
            batch, length = [], 0
        batch.append(item)
        length += item.length
    if batch:
        yield batch


def _commit(job: Job, batch: list[TransferItem], expires_in: str | None) -> None:
    call = commit_json([item.entry for item in batch], expires_in)
    try:
        job.kv._session.send(call)
    except KvError as error:
        raise _BadLines(f"lines {batch[0].number} to {batch[-1].number}: {error}") from error


@contextmanager
def _reading(file: Path) -> Iterator[BinaryIO]:
    if str(file) == "-":
        yield sys.stdin.buffer
    else:
        with opened(file) as stream:
            yield stream


@contextmanager
def _writing(path: Path | None) -> Iterator[BinaryIO]:
    """Stdout, or a file that appears, or is replaced, when it is complete."""
    if path is None:
        yield sys.stdout.buffer
        return
    path = path.resolve()
    is_special = path.exists() and not path.is_file()
    part = path if is_special else path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as stream:
            yield stream
        if part != path:
            part.replace(path)
    except OSError as error:
        raise CommandFailure(f"{path}: {error.strerror}") from error
    finally:
        if part != path:
            with suppress(OSError):
                part.unlink(missing_ok=True)


@contextmanager
def _progress(what: str, total: int | None, *, shown: bool) -> Iterator[Advance]:
    """A bar on stderr, which is a terminal, or nothing."""
    if not shown:
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(what, total=total)
        yield lambda steps: progress.advance(task, steps)


COMMANDS = [export, import_]
