"""The plugin's options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from buntime_host.units import parse_size
from buntime_keyval.wire import InvalidInput, parse_duration

from buntime_plugin_keyval.model.limits import DEFAULT_LIMITS, LEAST_ANSWER_BYTES, Limits

LEGACY_PATH = "/_/plugin-keyval"
"""Where the first version of the plugin served what is below `/api` today."""


class ConfigError(ValueError):
    """The configuration of the plugin is wrong; the message says what would be right."""


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the change log is kept; the newest change always is."""

    changes: int = 100_000
    age_ms: int = 24 * 60 * 60 * 1000


class QueueConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Options of the queue."""

    lock_duration_ms: int = 30_000
    """How long a delivered message stays invisible before it counts as not processed."""
    cleanup_interval_ms: int = 60_000
    """Longest pause between two looks for leases that ran out; 0 leaves that to dequeues."""
    heartbeat_ms: int = 15_000
    """Pause after which an idle listener gets a ping."""
    max_listeners: int = 1000
    """Listeners that may be open at a time."""
    max_listeners_per_client: int = 250
    """The same of one client."""
    dlq_max_age_ms: int = 0
    """Age from which dead letters are deleted; 0 keeps them until somebody deletes them."""


class WatchConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Options of watching."""

    max_watchers: int = 1000
    """Watch streams that may be open at a time."""
    max_watchers_per_client: int = 250
    """The same of one client."""
    heartbeat_ms: int = 30_000
    """Pause after which an idle watcher gets a ping."""


class SnapshotsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Options of snapshots over several pages."""

    max_open: int = 16
    """Snapshots that are held at a time; the one that was not used for longest goes first."""
    max_idle_ms: int = 30_000
    """Pause between two pages after which one is let go."""
    max_age_ms: int = 300_000
    """How long one is held at the most: as long as it is, the database keeps what it shows."""


class MetricsConfig(msgspec.Struct, frozen=True, kw_only=True):
    """Options of the metrics."""

    persistent: bool = False
    """Whether they survive restarts."""
    flush_interval_ms: int = 30_000
    """Pause between two times that they are saved; a crash loses what came after the last."""


class IdempotencyConfig(msgspec.Struct, frozen=True, kw_only=True):
    """For how long the results of writes with an idempotency key are kept."""

    max_age_ms: int = 24 * 60 * 60 * 1000
    """Age from which a result is forgotten."""
    max_count: int = 100_000
    """Results that are kept; the oldest go first."""


class KeyValConfig(msgspec.Struct, frozen=True, kw_only=True):
    """The options, checked."""

    database: str | None = None
    """Type of the adapter that holds the store; None means the default one."""
    own_database: Mapping[str, Any] | None = None
    """An adapter that holds the store instead, as plugin-database would be told of it."""
    legacy_base: bool = True
    """Whether the API is served at `LEGACY_PATH` too."""
    cleanup_interval_ms: int = 60_000
    """Longest pause between two sweeps of expired entries."""
    retention: Retention = Retention()
    """How much of the change log is kept."""
    foreign_poll_ms: int = 50
    """Pause between two looks for what other processes wrote, while anybody waits for it."""
    queue: QueueConfig = QueueConfig()
    watch: WatchConfig = WatchConfig()
    snapshots: SnapshotsConfig = SnapshotsConfig()
    idempotency: IdempotencyConfig = IdempotencyConfig()
    metrics: MetricsConfig = MetricsConfig()
    limits: Limits = DEFAULT_LIMITS


def parse_config(options: Mapping[str, Any]) -> KeyValConfig:
    """Check the options. Raises `ConfigError` with the option and what it should be."""
    database = options.get("database")
    if database is not None and not isinstance(database, str):
        raise ConfigError(f"database must be the type of an adapter, received {database!r}")
    own_database = _own_database(options)
    if own_database is not None and database:
        raise ConfigError("database and libsqlUrl both say where the store is: give one of them")
    legacy_base = options.get("legacyBase", True)
    if not isinstance(legacy_base, bool):
        raise ConfigError(f"legacyBase must be true or false, received {legacy_base!r}")
    changes = _section(options, "changes")
    idempotency = _section(options, "idempotency")
    queue = _section(options, "queue")
    watch = _section(options, "watch")
    snapshots = _section(options, "snapshots")
    metrics = _section(options, "metrics")
    persistent = metrics.get("persistent", False)
    if not isinstance(persistent, bool):
        raise ConfigError(f"metrics.persistent must be true or false, received {persistent!r}")
    return KeyValConfig(
        database=database or None,
        own_database=own_database,
        legacy_base=legacy_base,
        cleanup_interval_ms=_milliseconds(options, "cleanupInterval", 60_000),
        foreign_poll_ms=_milliseconds(options, "foreignPoll", 50),
        retention=Retention(
            changes=_count(changes, "maxCount", Retention().changes),
            age_ms=_milliseconds(changes, "maxAge", Retention().age_ms),
        ),
        queue=QueueConfig(
            lock_duration_ms=_milliseconds(queue, "lockDuration", 30_000),
            cleanup_interval_ms=_milliseconds(queue, "cleanupInterval", 60_000, least=0),
            heartbeat_ms=_milliseconds(queue, "heartbeat", 15_000),
            max_listeners=_count(queue, "maxListeners", 1000),
            max_listeners_per_client=_count(queue, "maxListenersPerClient", 250),
            dlq_max_age_ms=_milliseconds(queue, "dlqMaxAge", 0, least=0),
        ),
        watch=WatchConfig(
            max_watchers=_count(watch, "maxWatchers", 1000),
            max_watchers_per_client=_count(watch, "maxWatchersPerClient", 250),
            heartbeat_ms=_milliseconds(watch, "heartbeat", 30_000),
        ),
        snapshots=SnapshotsConfig(
            max_open=_count(snapshots, "maxOpen", 16),
            max_idle_ms=_milliseconds(snapshots, "maxIdle", 30_000),
            max_age_ms=_milliseconds(snapshots, "maxAge", 300_000),
        ),
        idempotency=IdempotencyConfig(
            max_age_ms=_milliseconds(idempotency, "maxAge", 24 * 60 * 60 * 1000),
            max_count=_count(idempotency, "maxCount", 100_000),
        ),
        metrics=MetricsConfig(
            persistent=persistent,
            flush_interval_ms=_milliseconds(metrics, "flushInterval", 30_000),
        ),
        limits=_limits(_section(options, "limits")),
    )


def _limits(section: Mapping[str, Any]) -> Limits:
    default = DEFAULT_LIMITS
    conditions = _count(section, "conditions", default.conditions)
    if conditions > default.conditions:
        raise ConfigError(f"conditions must be at most {default.conditions}, received {conditions}")
    answer_bytes = _size(section, "answerBytes", default.answer_bytes)
    if answer_bytes < LEAST_ANSWER_BYTES:
        raise ConfigError(
            f"answerBytes must be at least {LEAST_ANSWER_BYTES}, so that any entry fits,"
            f" received {answer_bytes}"
        )
    return Limits(
        mutations=_count(section, "mutations", default.mutations),
        commit_bytes=_size(section, "commitBytes", default.commit_bytes),
        conditions=conditions,
        stamps=_count(section, "stamps", default.stamps),
        request_bytes=_size(section, "requestBytes", default.request_bytes),
        request_ms=_milliseconds(section, "requestTime", default.request_ms),
        answer_bytes=answer_bytes,
        indexes=_count(section, "indexes", default.indexes),
    )


def _own_database(options: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """What the first version's options say about a database; None if they name none."""
    texts = {name: options.get(name) for name in ("libsqlUrl", "libsqlReplicaUrl", "libsqlToken")}
    for name, text in texts.items():
        if text is not None and not isinstance(text, str):
            raise ConfigError(f"{name} must be a text")  # not what it is: it may be a token
    urls = [text.strip() for name in ("libsqlUrl", "libsqlReplicaUrl") if (text := texts[name])]
    if not texts["libsqlUrl"]:
        if urls:
            raise ConfigError("libsqlReplicaUrl needs the primary too, in libsqlUrl")
        return None
    adapter = {
        "type": "libsql",
        "urls": urls,
        "operationTimeout": _milliseconds(options, "operationTimeout", 30_000),
    }
    if texts["libsqlToken"]:
        adapter["authToken"] = texts["libsqlToken"]
    return adapter


def _section(options: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    section = options.get(name) or {}
    if not isinstance(section, Mapping):
        raise ConfigError(f"{name} must be an object, received {section!r}")
    return section


def _count(section: Mapping[str, Any], name: str, default: int) -> int:
    value = section.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ConfigError(f"{name} must be a positive integer, received {value!r}")
    return value


def _size(section: Mapping[str, Any], name: str, default: int) -> int:
    value = section.get(name, default)
    try:
        return parse_size(value)
    except ValueError as error:
        raise ConfigError(f"{name} {error}, received {value!r}") from None


def _milliseconds(section: Mapping[str, Any], name: str, default: int, *, least: int = 1) -> int:
    value = section.get(name, default)
    try:
        milliseconds = int(parse_duration(value))
    except InvalidInput as error:
        raise ConfigError(f"{name}: {error}") from None
    if milliseconds < least:
        raise ConfigError(f"{name} must be at least {least} ms, received {value!r}")
    return milliseconds
