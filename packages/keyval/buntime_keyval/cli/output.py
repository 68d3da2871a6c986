"""Printing: JSON for programs, tables at a terminal, tab-separated lines elsewhere."""

from __future__ import annotations

import errno
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Any, BinaryIO
from urllib.parse import quote

import click
import msgspec
from msgspec.structs import replace

from buntime_keyval._entries import raw_key
from buntime_keyval._results import KvDetails, KvEntry
from buntime_keyval.wire import InvalidInput, Key, key_to_json, parse_key_path
from buntime_keyval.wire.binary import tag_bytes
from buntime_keyval.wire.numbers import BigInt, tag_bigint

# Control characters may not reach a terminal; JSON leaves those behind U+007F as they are.
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_UNSAFE_IN_PATH = re.compile("[%/\\s\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_ROWS_OF_TABLE = 1000
_SHOWN = 500


class Output:
    """The data of one command on stdout."""

    def __init__(self, *, as_json: bool) -> None:
        """Raises `OSError` where stdout is closed."""
        if sys.stdout is None:
            raise OSError(errno.EBADF, "stdout is closed")
        self.as_json = as_json
        self.is_terminal = sys.stdout.isatty()
        self._stream: BinaryIO = sys.stdout.buffer

    def document(self, **members: Any) -> None:
        """One JSON document on a line of its own."""
        self.raw_line(msgspec.json.encode(members))

    def struct(self, found: msgspec.Struct, *values: str) -> None:
        """The same for a result, under the names of the wire; `values` hold what users stored."""
        members = msgspec.to_builtins(replace(found, **dict.fromkeys(values)))
        stored = {name: msgspec.Raw(value_json(getattr(found, name))) for name in values}
        self.document(**members | stored)

    def members(self, columns: tuple[str, str], members: Mapping[str, object]) -> None:
        """The members of the one result of a command: a JSON document, or a row for each."""
        if self.as_json:
            self.document(**members)
        else:
            shown = ((name, "-" if it is None else str(it)) for name, it in members.items())
            self.table(columns, shown)

    def result(self, shown: object, /, **members: Any) -> None:
        """The one result of a command: a JSON document, or a line of text."""
        if self.as_json:
            self.document(**members)
        else:
            self.line(str(shown))

    def outcome(self, otherwise: str, /, **done: bool) -> None:
        """Whether a command found what it was for. Ends it with status 1, and a note, if not."""
        if self.as_json:
            self.document(**done)
        if not all(done.values()):
            raise unsuccessful(otherwise)

    def line(self, text: str) -> None:
        """A line of text."""
        self.raw_line(text.encode("utf-8", "backslashreplace"))

    def raw_line(self, line: bytes) -> None:
        """A line that is encoded already."""
        self._stream.write(line + b"\n")

    def row(self, *cells: str) -> None:
        """A line of tab-separated cells."""
        self.line("\t".join([visible(cell) for cell in cells]))

    def flush(self) -> None:
        """Let others see what was printed so far."""
        self._stream.flush()

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
        """A table at a terminal, else a line for each row."""
        if not self.is_terminal:
            for row in rows:
                self.row(*row)
            return
        iterator = iter(rows)
        while batch := list(islice(iterator, _ROWS_OF_TABLE)):
            self._print_table(columns, batch)

    def entries(
        self, entries: Iterable[KvEntry[Any]], *, values: bool = True, details: bool = False
    ) -> None:
        """Entries, as one table or one line each, with or without values and details."""
        if self.as_json:
            for entry in entries:
                self.entry_json(entry, values=values)
            return
        columns = ["key"]
        if values:
            columns.append("value")
        if details:
            columns += ["metadata", "created", "updated", "expires", "revision", "type"]
        self.table(columns, self._entry_rows(entries, values=values, details=details))

    def entry_json(self, entry: KvEntry[Any], *, values: bool = True, **more: Any) -> None:
        """An entry as a JSON document, with its details if it has them, and further members."""
        members: dict[str, Any] = {"key": raw_key(entry.key)}
        if values:
            members["value"] = msgspec.Raw(value_json(entry.value))
        members["versionstamp"] = entry.versionstamp
        if entry.details is not None:
            members |= details_members(entry.details)
        self.document(**members, **more)

    def value(self, value: Any) -> None:
        """One value: indented at a terminal."""
        text = value_json(value)
        if self.is_terminal:
            self.line(_CONTROL_BUT_LINES.sub(_escape, msgspec.json.format(text, indent=2).decode()))
        else:
            self.raw_line(text)

    def _entry_rows(
        self, entries: Iterable[KvEntry[Any]], *, values: bool, details: bool
    ) -> Iterator[list[str]]:
        for entry in entries:
            row = [shown_key(entry.key)]
            if values:
                row.append(shown_value(entry.value, short=self.is_terminal))
            if details and entry.details is not None:
                of = entry.details
                metadata = shown_value(of.metadata, short=self.is_terminal)
                row.append("-" if of.metadata is None else metadata)
                row += [shown_time(of.created_at), shown_time(of.updated_at)]
                row.append("-" if of.expires_at is None else shown_time(of.expires_at))
                row += [str(of.revision), "-" if of.type is None else of.type]
            yield row

    def _print_table(self, columns: Sequence[str], rows: list[Sequence[str]]) -> None:
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        table = Table()
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in rows:
            table.add_row(*(Text(visible(cell)) for cell in row))  # texts have no markup
        Console(file=sys.stdout).print(table)


_CONTROL_BUT_LINES = re.compile(_CONTROL.pattern.replace("\x00-\x1f", "\x00-\x09\x0b-\x1f"))


def details_members(details: KvDetails) -> dict[str, Any]:
    """Details as members of a JSON document, under their names on the wire."""
    return {
        "metadata": msgspec.Raw(value_json(details.metadata)),
        "createdAt": details.created_at,
        "updatedAt": details.updated_at,
        "expiresAt": details.expires_at,
        "revision": details.revision,
        "type": details.type,
    }


def value_json(value: Any) -> bytes:
    """The JSON of a value that a server sent, with the numbers as they came."""
    return msgspec.json.encode(_tagged(value))


def _tagged(value: Any) -> Any:
    if isinstance(value, list):
        return [_tagged(item) for item in value]
    if isinstance(value, dict):
        return {name: _tagged(member) for name, member in value.items()}
    if isinstance(value, BigInt):
        return tag_bigint(value)
    return tag_bytes(value) if isinstance(value, bytes) else value


def shown_value(value: Any, *, short: bool = False) -> str:
    """A value on one line."""
    text = value_json(value).decode()
    return text[:_SHOWN] + "…" if short and len(text) > _SHOWN else text


def shown_key(key: Key) -> str:
    """A key as it may be typed: its path where there is one, else its JSON.

    Only what has to be is percent-encoded.
    """
    parts = [_UNSAFE_IN_PATH.sub(_percent, str(part)) for part in key]
    path = "/".join(parts)
    if path.startswith("["):
        path = "%5B" + path[1:]
    try:
        typed = parse_key_path(path)
    except InvalidInput:
        return key_to_json(key)
    same = typed == key and [type(part) for part in typed] == [type(part) for part in key]
    return path if same and not path.startswith("-") else key_to_json(key)


def shown_time(milliseconds: int) -> str:
    """A moment in the time of this machine."""
    try:
        moment = datetime.fromtimestamp(milliseconds / 1000).astimezone()
    except (OverflowError, ValueError, OSError):
        return str(milliseconds)
    return moment.isoformat(sep=" ", timespec="seconds")


def visible(text: str) -> str:
    """A text without control characters."""
    return _CONTROL.sub(_escape, text)


def one_line(text: str) -> str:
    """A text on one line, without control characters."""
    return visible(" ".join(text.split()))


def note(text: str) -> None:
    """Tell a person something, on stderr."""
    click.echo(f"{program()}: {one_line(text)}", err=True)


def unsuccessful(text: str) -> SystemExit:
    """What ends a command with status 1, after it has told a person why."""
    note(text)
    return SystemExit(1)


def program() -> str:
    """What was typed: `kv` or `buntime`."""
    context = click.get_current_context(silent=True)
    return "kv" if context and context.find_root().info_name == "kv" else "buntime"


def _escape(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"


def _percent(match: re.Match[str]) -> str:
    return quote(match[0], safe="")
