"""Keys, values and filters as they are typed."""

from __future__ import annotations

import codecs
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO, Literal, NamedTuple, TypeVar, get_args

import click
import msgspec
from click.shell_completion import CompletionItem

from buntime_keyval._calls.keys import read_commit, written_json
from buntime_keyval._calls.schedules import Missed
from buntime_keyval._core import Call, json_body
from buntime_keyval._entries import encoded, raw_key
from buntime_keyval._results import CommitResult
from buntime_keyval.cli.completion import complete_index_prefixes, complete_keys
from buntime_keyval.cli.options import CommandFailure, Mistake
from buntime_keyval.wire import (
    InvalidInput,
    Key,
    Pattern,
    checked_pattern,
    decode_json,
    parse_expires_in,
    parse_key_path,
    parse_pattern_text,
    untag,
)
from buntime_keyval.wire.commits import EntryOptions
from buntime_keyval.wire.python_keys import checked_key
from buntime_keyval.wire.python_options import Consistency, checked_lifetime
from buntime_keyval.wire.requirements import EntryRequirement

F = TypeVar("F", bound=Callable[..., Any])


class KeyType(click.ParamType[Key]):
    """A key as an argument or an option; a shell completes those of the store."""

    name = "key"

    def __init__(
        self,
        *,
        empty: bool = False,
        complete: Callable[[click.Context, str], list[str]] = complete_keys,
    ) -> None:
        """`empty` allows `[]`, which is the prefix of all keys."""
        self._empty = empty
        self._complete = complete

    def convert(
        self,
        value: Any,
        param: click.Parameter | None,  # noqa: ARG002 - as click calls it
        ctx: click.Context | None,  # noqa: ARG002 - as above
    ) -> Key:
        """Raises `Mistake`."""
        return value if isinstance(value, tuple) else _key_argument(value, empty=self._empty)

    def shell_complete(
        self,
        ctx: click.Context,
        param: click.Parameter,  # noqa: ARG002 - as above
        incomplete: str,
    ) -> list[CompletionItem]:
        """What may follow, as far as the server says it at once."""
        return [CompletionItem(text) for text in self._complete(ctx, incomplete)]


KEY = KeyType()
INDEX_PREFIX = KeyType(complete=complete_index_prefixes)


def _key_argument(text: str, *, empty: bool) -> Key:
    try:
        return parse_key(text, empty=empty)
    except InvalidInput as error:
        raise Mistake(f"not a key: {text}: {reason(error)}") from None


def pattern_argument(text: str) -> Pattern:
    """A pattern, as a key path with `*` or as JSON."""
    try:
        if text.startswith("["):
            return checked_pattern(decode_json(encoded(text)))
        parse_key(text)
        return parse_pattern_text(text)
    except InvalidInput as error:
        raise Mistake(f"not a pattern: {text}: {reason(error)}") from None


def filter_argument(text: str) -> dict[str, Any]:
    """A filter."""
    try:
        where = untag(decode_json(encoded(text)))
    except InvalidInput as error:
        raise Mistake(f"not a filter: {text}: {reason(error)}") from None
    if not isinstance(where, dict):
        raise Mistake(f"not a filter: {text}: it has to be an object")
    return where


WHERE = click.option(
    "--where",
    metavar="JSON",
    type=filter_argument,
    help="""Only entries that match this filter, such as '{"age": {"$gte": 18}}'.""",
)
PREFIX_ARGUMENT = click.argument("prefix", type=KeyType(empty=True), default="[]")
METADATA = click.option(
    "--metadata", metavar="JSON", help="Metadata of the entry, as JSON; by default none."
)
IDEMPOTENCY_KEY = click.option(
    "--idempotency-key", metavar="KEY", help="Repeating the command with this KEY does nothing."
)
CONSISTENCY = click.option(
    "--consistency",
    type=click.Choice(get_args(Consistency)),
    default="eventual",
    show_default=True,
    help="strong reads the newest state, even if replicas are behind.",
)


def _lifetime_argument(_: click.Context, __: click.Parameter, text: str | None) -> str | None:
    try:
        return None if text is None else checked_lifetime(text)
    except InvalidInput as error:
        raise Mistake(f"--expires-in: {reason(error)}") from None


LIFETIME = click.argument("expires_in", metavar="DURATION", callback=_lifetime_argument)
EXPIRES_IN = click.option(
    "--expires-in",
    metavar="DURATION",
    callback=_lifetime_argument,
    help="Lifetime, such as 30s or 7d.",
)


def _moment_argument(_: click.Context, __: click.Parameter, text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        moment = None
    if moment is None or moment.tzinfo is None:
        raise Mistake(
            "--scheduled-for must be a time with its zone, such as 2030-01-31T08:00:00Z,"
            f" received {text}"
        )
    return moment


SCHEDULED_FOR = click.option(
    "--scheduled-for",
    metavar="TIME",
    callback=_moment_argument,
    help="Earliest time, such as 2030-01-31T08:00:00Z.",
)


def _task_argument(_: click.Context, __: click.Parameter, text: str) -> dict[str, Any]:
    if not text.lstrip().startswith("{"):
        return {"name": text}
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        raise click.UsageError("TASK is neither a name nor a JSON object") from None


_OF_A_SCHEDULE = (
    click.argument("name", metavar="NAME"),
    click.argument("task", metavar="TASK", callback=_task_argument),
    click.option("--cron", metavar="EXPRESSION", help='Cron expression, such as "*/5 * * * *".'),
    click.option("--every", metavar="DURATION", help="Interval, instead of --cron."),
    click.option(
        "--timezone", metavar="ZONE", help="Time zone of --cron; by default UTC."
    ),
    click.option(
        "--missed", type=click.Choice(get_args(Missed)), default="skip", show_default=True,
        help="What to do about times at which no host ran.",
    ),
    click.option("--paused", is_flag=True, help="Start no tasks until it is resumed."),
)  # fmt: skip


def schedule_options(command: F) -> F:
    """Give a command the arguments and options of a schedule; `task` is a dict."""
    for option in reversed(_OF_A_SCHEDULE):
        command = option(command)
    return command


def parse_rate(text: str) -> tuple[int, str]:
    """A rate such as `100/1m`: how many, in which time."""
    count, slash, per = text.partition("/")
    if not slash or not count.isdecimal():
        raise click.UsageError(f"--rate must be a count and a duration such as 100/1m, not {text}")
    return int(count), per


def parse_key(text: str, *, empty: bool = False) -> Key:
    """The key of a JSON array or a path; `empty` allows `[]`. Raises `InvalidInput`.

    Other than in a URL, what begins with a bracket has to be JSON, and no part may be missing: a
    typing error, or a variable of a shell that is not set, must not name another key.
    """
    if not text.startswith("["):
        if "//" in text or text.startswith("/") or text.endswith("/"):
            raise InvalidInput('a part is missing between slashes; the empty text is written [""]')
        key = parse_key_path(text)
        encoded(text)
        return key
    raw = decode_json(encoded(text))
    return () if empty and raw == [] else checked_key(raw)


def value_input(command: F) -> F:
    """Add the arguments of a command that takes a value."""
    for add in (
        click.option(
            "--file",
            type=click.Path(path_type=Path, allow_dash=True),
            help="Read VALUE from a file.",
        ),
        click.option("--text", is_flag=True, help="VALUE is plain text, not JSON."),
        click.argument("value", required=False),
    ):
        command = add(command)
    return command


def without_mark(content: bytes) -> bytes:
    """The content of a text file, which may begin with a byte order mark."""
    return content.removeprefix(codecs.BOM_UTF8)


def read_value(value: str | None, *, text: bool, file: Path | None) -> bytes:
    """The JSON of a value that was typed, or is in a file or in stdin. Raises `CommandFailure`."""
    if (value is None) == (file is None):
        raise Mistake("give one of VALUE, - for stdin, and --file")
    if file is not None and str(file) != "-":
        with opened(file) as stream:
            content = without_mark(stream.read())
    elif file is not None or value == "-":
        content = without_mark(sys.stdin.buffer.read())
    else:
        content = (value or "").encode("utf-8", "surrogateescape")
    if text:
        try:
            return msgspec.json.encode(content.decode())
        except UnicodeDecodeError:
            raise Mistake("the text is not UTF-8") from None
    try:
        return checked_json(content)
    except InvalidInput as error:
        raise Mistake(f"not a value: {reason(error)}; --text takes a plain text") from None


def reason(error: InvalidInput) -> str:
    """What is wrong with something that is no body of a request."""
    return "it is not valid JSON" if str(error) == "Invalid JSON body" else str(error)


def checked_json(content: bytes) -> bytes:
    """The text of a JSON value, as it is. Raises `InvalidInput`, also for broken tagged values.

    It is not turned into Python and back: an integer beyond 2^53 stays the number that it is, and
    does not become a bigint.
    """
    untag(decode_json(content))
    return content


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """A file to read. Raises `CommandFailure` when it cannot be."""
    try:
        with path.open("rb") as stream:
            yield stream
    except OSError as error:
        raise CommandFailure(f"{path}: {error.strerror}") from error


def read_metadata(text: str | None) -> bytes | None:
    """The JSON of metadata that was typed."""
    if text is None:
        return None
    try:
        return checked_json(encoded(text))
    except InvalidInput as error:
        raise Mistake(f"not metadata: {text}: {reason(error)}") from None


ENTRY_TYPE = click.option("--type", "kind", metavar="TEXT", help="Type of the entry.")


IF_MATCH = click.option(
    "--if-match", metavar="STAMP", help="Only if this is the entry's versionstamp."
)
IF_REVISION = click.option(
    "--if-revision",
    type=click.IntRange(0),
    help="Only if the entry has been written this many times; 0: if it is missing.",
)
CREATE_ONLY = click.option("--create-only", is_flag=True, help="Only if the key is missing.")


class StoredLine(NamedTuple):
    """An entry to store, in JSON texts that are stored as they are."""

    key: Key
    value: bytes
    metadata: bytes | None = None
    expires_at: int | None = None
    """Epoch milliseconds."""
    type: str | None = None


def write_json(
    line: StoredLine,
    expires_in: str | None,
    required: EntryRequirement | None,
    kind: Literal["set", "patch"] = "set",
) -> Call[CommitResult]:
    """What stores an entry, or patches it, if that is so which is required."""
    if required is None:
        return commit_json([line], expires_in, kind)
    metadata = None if line.metadata is None else line.metadata.decode()
    options = EntryOptions(parse_expires_in(expires_in), line.expires_at, metadata, line.type)
    method = "PUT" if kind == "set" else "PATCH"
    return written_json(method, line.key, line.value, options, required)


def commit_json(
    items: Iterable[StoredLine], expires_in: str | None, kind: Literal["set", "patch"] = "set"
) -> Call[CommitResult]:
    """One commit that stores entries, or patches them; `expires_in` wins over what they say."""
    milliseconds = parse_expires_in(expires_in)
    mutations: list[dict[str, Any]] = []
    for key, value, metadata, expires_at, entry_type in items:
        mutation: dict[str, Any] = {"type": kind, "key": raw_key(key), "value": msgspec.Raw(value)}
        if metadata is not None:
            mutation["metadata"] = msgspec.Raw(metadata)
        if entry_type is not None:
            mutation["entryType"] = entry_type
        if milliseconds is not None:
            mutation["expiresIn"] = msgspec.Raw(b"%d" % milliseconds)
        elif expires_at is not None:
            mutation["expiresAt"] = msgspec.Raw(b"%d" % expires_at)
        mutations.append(mutation)
    return Call("POST", "/atomic", read_commit, json_body(mutations=mutations))
