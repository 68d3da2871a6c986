"""What the commands of `kv` share: the store that is open, and how outcomes are printed."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import click
import msgspec

from buntime_keyval._records import KvRecord
from buntime_keyval.cli.direct.connection import StoreTarget
from buntime_keyval.cli.inputs import checked_json, reason, without_mark
from buntime_keyval.cli.options import Job, Mistake, ServerTarget, failures_told
from buntime_keyval.cli.output import value_json
from buntime_keyval.wire import InvalidInput, decode_json, untag

if TYPE_CHECKING:
    from buntime_keyval import Kv

P = ParamSpec("P")

NUMBERS = {"ignore_unknown_options": True}
"""Settings of commands whose arguments may be -1."""


def with_store(run: Callable[Concatenate[Kv, P], None]) -> Callable[P, None]:
    """Make a function that takes a store the body of a command of `kv`, or of `buntime kv`."""

    @functools.wraps(run)
    def command(*args: P.args, **kwargs: P.kwargs) -> None:
        target: ServerTarget | StoreTarget = click.get_current_context().obj
        with failures_told(target.url):
            if isinstance(target, ServerTarget):
                job = Job(target, as_json=True)
                try:
                    run(job.kv, *args, **kwargs)
                finally:
                    job.close()
            else:
                with target.open() as kv:
                    run(kv, *args, **kwargs)
            sys.stdout.flush()

    return command


def print_json(document: Any) -> None:
    """A document, indented by two spaces."""
    text = msgspec.json.format(msgspec.json.encode(document), indent=2)
    sys.stdout.buffer.write(text + b"\n")


def print_value(value: Any) -> None:
    """A value of the store, indented by two spaces."""
    print_json(msgspec.Raw(value_json(value)))


def record_members(record: KvRecord[Any]) -> dict[str, Any]:
    """A record as it is printed."""
    return {
        "key": record.key,
        "version": record.version,
        "value": msgspec.Raw(value_json(record.value)),
        "type": record.type,
        "created": shown_utc(record.created),
    }


def shown_utc(milliseconds: int) -> str:
    """A moment, so that texts sort as moments do."""
    moment = datetime.fromtimestamp(milliseconds / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def read_json(what: str, *, needed: bool = True) -> Any:
    """The JSON value in stdin, None for nothing unless it is needed. Raises `Mistake`."""
    content = without_mark(sys.stdin.buffer.read())
    if not content.strip():
        if needed:
            raise Mistake(f"{what} is read from stdin as JSON, and there is nothing")
        return None
    try:
        return untag(decode_json(checked_json(content)))
    except InvalidInput as error:
        raise Mistake(f"{what} in stdin: {reason(error)}") from None
