"""The plugin's options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from buntime_host import Duration, OptionError, Options, option, read_options

from buntime_plugin_keyval.model.limits import DEFAULT_LIMITS, Limits

LEGACY_PATH = "/_/plugin-keyval"
"""The path at which the first version of the plugin served what is below `/api` now."""

_OF_ONE_CLIENT = "those of [one client](#limits-and-deadlines)"


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the change log is kept; the newest change always is."""

    changes: int = 100_000
    age_ms: int = 24 * 60 * 60 * 1000


class IdempotencyConfig(Options, frozen=True):
    """For how long the results of writes with an idempotency key are kept."""

    max_count: Annotated[
        int,
        option(
            "Results that are kept",
            doc="results of writes with an idempotency key that are kept; each process "
            "remembers the keys, in some 130 bytes each",
            least=1,
        ),
    ] = 100_000
    max_age: Annotated[
        Duration,
        option("Age up to which results are kept", doc="age up to which they are kept", least=1),
    ] = Duration("24h")


class ChangesConfig(Options, frozen=True):
    """How much of the change log is kept."""

    max_count: Annotated[
        int, option("Changes that are kept", doc="changes that the log keeps", least=1)
    ] = 100_000
    max_age: Annotated[
        Duration,
        option("Age up to which changes are kept", doc="age up to which it keeps them", least=1),
    ] = Duration("24h")

    hold_for_consumers: Annotated[
        Duration,
        option(
            "Time for which changes are kept for a consumer that has not come to them",
            "0 keeps none for them",
            doc="for how long changes are kept beyond that for [consumers](consumers.md) that have"
            " not come to them, from the last time that they were known to be up to date; 0 for not"
            " at all",
        ),
    ] = Duration("24h")

    values: Annotated[
        bool | tuple[Any, ...],
        option(
            "Keep values in the change log, of all keys or below these prefixes",
            "Readers of the stream get them then; what is written takes twice the room",
            doc="whether the log has the values too, which [streams](streams.md) then tell: `true`,"
            ' or prefixes such as `["orders"]`',
        ),
    ] = False

    def retention(self) -> Retention:
        """The same for trimming the log."""
        return Retention(changes=self.max_count, age_ms=self.max_age.milliseconds)


class QueueConfig(Options, frozen=True):
    """Options of the queue."""

    lock_duration: Annotated[
        Duration, option("Time that a consumer has for a message before others get it", least=1)
    ] = Duration("30s")
    cleanup_interval: Annotated[
        Duration,
        option(
            "Longest pause between two looks for leases that ran out",
            "0 leaves it to those who ask for messages",
        ),
    ] = Duration("60s")
    heartbeat: Annotated[
        Duration, option("Pause after which an idle listener gets a ping", least=1)
    ] = Duration("15s")
    max_listeners: Annotated[int, option("Listeners that may be open at a time", least=1)] = 1000
    max_listeners_per_client: Annotated[
        int, option("Listeners of one client", doc=_OF_ONE_CLIENT, least=1)
    ] = 250
    dlq_max_age: Annotated[
        Duration,
        option(
            "Age from which dead letters are deleted", "0 keeps them until somebody deletes them"
        ),
    ] = Duration(0)


class TasksConfig(Options, frozen=True):
    """Options of tasks."""

    modules: Annotated[
        tuple[str, ...],
        option(
            "Python modules whose functions run tasks in this process",
            "Each has a function make_runner(kv)",
            doc="Python modules, such as `my.tasks`, whose functions"
            " [run tasks in this process](tasks.md#a-program-that-runs-tasks)",
        ),
    ] = ()
    drain: Annotated[
        Duration,
        option(
            "Time that tasks have to come to their end when the host stops",
            doc="time that tasks which run here have to come to their end when the host stops,"
            " within `hookTimeout`",
        ),
    ] = Duration("5s")


class WatchConfig(Options, frozen=True):
    """Options of watching."""

    max_watchers: Annotated[int, option("Watch streams that may be open at a time", least=1)] = 1000
    max_watchers_per_client: Annotated[
        int, option("Watch streams of one client", doc=_OF_ONE_CLIENT, least=1)
    ] = 250
    heartbeat: Annotated[
        Duration, option("Pause after which an idle watcher gets a ping", least=1)
    ] = Duration("30s")


class SnapshotsConfig(Options, frozen=True):
    """Options of snapshots over several pages."""

    max_open: Annotated[
        int,
        option(
            "Snapshots that are held at a time",
            "The one that was not used for longest goes first",
            doc="[snapshots](keyval.md#snapshots) that are held at a time; the one that was not"
            " used for longest goes first",
            least=1,
        ),
    ] = 16
    max_idle: Annotated[
        Duration,
        option("Pause between two pages after which a snapshot is let go", least=1),
    ] = Duration("30s")
    max_age: Annotated[
        Duration,
        option(
            "Time that a snapshot is held at the most",
            doc="time that a snapshot is held at the most: meanwhile the log of the database is not"
            " cut",
            least=1,
        ),
    ] = Duration("5m")


class MetricsConfig(Options, frozen=True):
    """Options of the metrics."""

    persistent: Annotated[bool, option("Keep counts and latencies of operations over restarts")] = (
        False
    )
    flush_interval: Annotated[
        Duration, option("Pause between two times that they are saved", least=1)
    ] = Duration("30s")


class EncryptionConfig(Options, frozen=True):
    """Options of the encryption of values."""

    prefixes: Annotated[
        tuple[Any, ...],
        option(
            "Prefixes below which values are encrypted",
            doc='prefixes, such as `["secrets"]`, below which values are'
            " [encrypted](keyval.md#encryption-at-rest); `[]` is all of the store",
        ),
    ] = ()
    keys: Annotated[
        str | None,
        option(
            "Keys as name:base64, separated by commas",
            "The first one encrypts, all of them decrypt",
            doc="keys as `name:base64`, separated by commas: the first encrypts, all decrypt",
            env="KEYVAL_ENCRYPTION_KEYS",
            secret=True,
        ),
    ] = None
    key_file: Annotated[
        str | None,
        option(
            "File with further keys, one a line",
            doc="a file with further keys, one a line",
            env="KEYVAL_ENCRYPTION_KEY_FILE",
        ),
    ] = None


class KeyValConfig(Options, frozen=True):
    """The options, checked."""

    database: Annotated[
        str | None,
        option(
            "Database",
            "Type of the plugin-database adapter that holds the store; empty means the default",
            doc="type of the adapter that holds the store; without it the default one",
        ),
    ] = None
    libsql_url: Annotated[
        str | None,
        option(
            "URL of a libSQL server, or a file, that holds the store",
            "As in the first version of the plugin; today an adapter of plugin-database does it",
            doc="a libSQL server, or a file, that holds the store instead of an adapter of"
            " plugin-database",
        ),
    ] = None
    libsql_replica_url: Annotated[
        str | None,
        option("URL of a replica of that server", doc="a replica of that server"),
    ] = None
    libsql_token: Annotated[str | None, option("What that server asks for", secret=True)] = None
    operation_timeout: Annotated[
        Duration, option("Time that that server may take for a request", least=1)
    ] = Duration("30s")
    legacy_base: Annotated[
        bool,
        option(
            "Serve the API at /_/plugin-keyval too, as the first version did",
            doc="serve the API at `/_/plugin-keyval` too, as the first version of Buntime did",
        ),
    ] = True
    cleanup_interval: Annotated[
        Duration, option("Longest pause between two sweeps of expired entries", least=1)
    ] = Duration("60s")
    foreign_poll: Annotated[
        Duration,
        option(
            "Pause between two looks for what other processes wrote, while anybody waits for it",
            "Once a second where the system says that nobody writes",
            least=1,
        ),
    ] = Duration("100ms")
    idempotency: Annotated[
        IdempotencyConfig, option("Results of writes with an idempotency key")
    ] = IdempotencyConfig()
    changes: Annotated[ChangesConfig, option("Change log")] = ChangesConfig()
    queue: Annotated[QueueConfig, option("Queue")] = QueueConfig()
    tasks: Annotated[TasksConfig, option("Tasks")] = TasksConfig()
    watch: Annotated[WatchConfig, option("Watch")] = WatchConfig()
    snapshots: Annotated[SnapshotsConfig, option("Snapshots over several pages")] = (
        SnapshotsConfig()
    )
    metrics: Annotated[MetricsConfig, option("Metrics")] = MetricsConfig()
    audit_keep: Annotated[
        Duration,
        option(
            "Time for which lines of the logger audit are kept in the store",
            "0 keeps none",
            doc="time for which lines of the logger `audit` are"
            " [kept in the store](keyval.md#who-did-what); 0 keeps none",
        ),
    ] = Duration(0)
    encryption: Annotated[EncryptionConfig, option("Encryption of values")] = EncryptionConfig()
    limits: Annotated[
        Limits, option("What a request may cost at the most; beyond it 413 says which limit it is")
    ] = DEFAULT_LIMITS

    def own_database(self) -> Mapping[str, Any] | None:
        """The entry of an adapter for the store itself, in the form of plugin-database's options.

        None unless options of the first version name one.
        """
        if not self.libsql_url:
            return None
        urls = [self.libsql_url, self.libsql_replica_url or ""]
        adapter = {
            "type": "libsql",
            "urls": [url for text in urls if (url := text.strip())],
            "operationTimeout": self.operation_timeout.milliseconds,
        }
        return {**adapter, "authToken": self.libsql_token} if self.libsql_token else adapter


def parse_config(options: Mapping[str, Any]) -> KeyValConfig:
    """Check the options. Raises `OptionError`, which names the option and what it should be."""
    config = read_options(KeyValConfig, options)
    if config.libsql_url and config.database:
        raise OptionError("database and libsqlUrl both say where the store is: give one of them")
    if config.libsql_replica_url and not config.libsql_url:
        raise OptionError("libsqlReplicaUrl needs the primary too, in libsqlUrl")
    return config
