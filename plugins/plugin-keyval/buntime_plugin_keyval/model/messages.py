"""Messages and the options that they are sent with."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import msgspec
import uuid_utils
from buntime_keyval import QueueRate
from buntime_keyval.wire import InvalidInput, Key, check_key, check_keys, parse_duration
from buntime_keyval.wire.canonical import text_of
from buntime_keyval.wire.commits import DEFAULT_OPTIONS, MessageOptions
from buntime_keyval.wire.describe import describe
from buntime_keyval.wire.limits import MAX_BACKOFF_STEPS
from buntime_keyval.wire.members import check_members
from buntime_keyval.wire.names import checked_name, checked_priority, checked_queue

OPTION_NAMES = (
    *("delay", "backoffSchedule", "keysIfUndelivered", "queue", "priority", "id"),
    "delivery",
)
"""The options of an enqueue. `delivery` has no effect: older clients send it."""

_OF_ENTRIES = ("key", "expiresIn", "expireIn", "expiresAt", "metadata")
_MEMBERS = ("type", "value", *OPTION_NAMES, *_OF_ENTRIES)


LEAST_LEASE_MS = 1000
"""A shorter lease might end before its delivery is counted."""

MOST_COUNT = 1_000_000
"""The largest count of a rate, and the largest limit of running messages."""


class LeasedMessage(NamedTuple):
    """A delivered message. Its lease is the permission to settle it."""

    id: str
    value: str
    """Canonical JSON text."""
    attempts: int
    """The number of deliveries, this one included."""
    lease: str
    ends_at_ms: int
    """When the lease ends, unless it is prolonged."""


class StoredMessage(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A message that is shown without being taken."""

    id: str
    value: msgspec.Raw
    state: str
    """`ready`, `delayed`, `processing`, or `ended` for one that has no attempts left."""
    attempts: int
    """The number of deliveries."""
    max_attempts: int
    priority: int
    ready_at: int
    """Wall-clock time, like the next one."""
    created_at: int
    queue: str = ""


class MessagePage(NamedTuple):
    """Messages of a queue, and where the next page begins; None after the last one."""

    messages: list[StoredMessage]
    after: int | None


class StoredLetter(msgspec.Struct, frozen=True, rename="camel", omit_defaults=True):
    """A dead letter as it is stored and sent to clients."""

    id: str
    original_id: str
    value: msgspec.Raw
    error_message: str | None
    attempts: int
    original_created_at: int
    failed_at: int
    queue: str = ""


def new_id() -> str:
    """An id for a message, a dead letter or a task: a UUIDv7.

    Rows are found by an index of their ids. Ids that grow with time are adjacent in it, so that a
    commit of many rows writes one or two pages of it, where random ids would write a page each.
    """
    return str(uuid_utils.uuid7())


def parse_options(raw: object) -> MessageOptions:
    """Parse the options of an enqueue request. Raises `InvalidInput` with the option's name."""
    if raw is None:
        return DEFAULT_OPTIONS
    if not isinstance(raw, dict):
        raise InvalidInput(f"options must be an object, received {describe(raw)}")
    check_members(raw, OPTION_NAMES, "options")
    delay, backoff_schedule = raw.get("delay"), raw.get("backoffSchedule")
    backoff: tuple[int, ...] | None = None
    if backoff_schedule is not None:
        backoff = tuple(parse_backoff("backoffSchedule", backoff_schedule))
    keys: tuple[Key, ...] = ()
    if given := raw.get("keysIfUndelivered"):
        try:
            keys = tuple(check_keys(given))
        except InvalidInput as error:
            raise InvalidInput(f"keysIfUndelivered: {error}") from None
    queue, priority, message_id = raw.get("queue"), raw.get("priority"), raw.get("id")
    return MessageOptions(
        0 if delay is None else parse_pause("delay", delay),
        backoff,
        keys,
        "" if queue is None else checked_queue("queue", queue),
        0 if priority is None else checked_priority("priority", priority),
        None if message_id is None else checked_name("id", message_id),
    )


def parse_message(item: dict[str, Any], place: str, now_ms: int) -> tuple[str, MessageOptions]:
    """Parse a message among mutations into canonical value and options. Raises `InvalidInput`."""
    check_members(item, _MEMBERS, place)
    if "value" not in item:
        raise InvalidInput("value is required: any JSON value, null included")
    for name in _OF_ENTRIES:
        if item.get(name) is not None:
            raise InvalidInput(f"{name} is not allowed on an enqueue")
    options = {name: option for name, option in item.items() if name in OPTION_NAMES}
    return text_of(item["value"], now_ms), parse_options(options)


def parse_pause(name: str, value: object) -> int:
    """Parse a pause into milliseconds, rounded up. Raises `InvalidInput`."""
    try:
        milliseconds = parse_duration(value)
    except InvalidInput:
        milliseconds = -1
    if milliseconds < 0:
        raise InvalidInput(
            f'{name} must be a number of milliseconds or a duration such as "5s", not negative, '
            f"received {describe(value)}"
        )
    return math.ceil(min(milliseconds, 2**52))


def parse_lease_duration(name: str, value: object) -> int:
    """Parse the length of a lease into milliseconds. Raises `InvalidInput`, also for 0."""
    milliseconds = parse_pause(name, value)
    if not milliseconds:
        raise InvalidInput(f"{name} must be more than 0, received {describe(value)}")
    return milliseconds


def parse_backoff(name: str, value: object) -> list[int]:
    """Parse pauses between deliveries into milliseconds. Raises `InvalidInput`."""
    if not isinstance(value, (list, tuple)):
        raise InvalidInput(f"{name} must be an array of durations, received {describe(value)}")
    if len(value) > MAX_BACKOFF_STEPS:
        raise InvalidInput(f"{name} too long: {len(value)} (max {MAX_BACKOFF_STEPS})")
    return [parse_pause(f"{name}[{index}]", pause) for index, pause in enumerate(value)]


def parse_queue_lease(value: object) -> int:
    """Parse the length of a queue's leases into milliseconds. Raises `InvalidInput`."""
    milliseconds = parse_pause("lease", value)
    if milliseconds < LEAST_LEASE_MS:
        raise InvalidInput(f"lease must be at least 1s, received {describe(value)}")
    return milliseconds


def parse_rate(value: object) -> QueueRate:
    """Parse the rate of a queue's deliveries. Raises `InvalidInput`."""
    if not isinstance(value, dict):
        raise InvalidInput(
            f'rate must be an object such as {{"count": 100, "per": "1m"}}, received '
            f"{describe(value)}"
        )
    check_members(value, ("count", "per"), "rate")
    count, per = value.get("count"), parse_pause("rate.per", value.get("per"))
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= MOST_COUNT:
        raise InvalidInput(
            f"rate.count must be a whole number from 1 to {MOST_COUNT}, received {describe(count)}"
        )
    if not per:
        raise InvalidInput("rate.per must be more than 0")
    return QueueRate(count, per)


def stored_keys(text: str) -> list[Key]:
    """The keys that a message names, from their stored JSON."""
    raw: list[Any] = msgspec.json.decode(text)
    return [check_key(key) for key in raw]
