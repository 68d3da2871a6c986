"""The plugin's options."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from buntime_host import Duration, OptionError, Options, option, read_options

from buntime_plugin_keyval.model.limits import DEFAULT_LIMITS, Limits

LEGACY_PATH = "/_/plugin-keyval"
"""The path at which the first version of the plugin served what is below `/api` now."""

_OF_ONE_CLIENT = "how many of them [one client](#limits-and-deadlines) may have"


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How much of the change log is kept; the newest change always is."""

    changes: int = 100_000
    age_ms: int = 24 * 60 * 60 * 1000


class IdempotencyConfig(Options, frozen=True):
    """For how long the results of writes with an idempotency key are kept."""

    max_count: Annotated[
        int,
        option(
            "How many results are kept",
            doc="how many results of writes with an idempotency key are kept; each process holds"
            " their keys in memory, about 130 bytes each",
            least=1,
        ),
    ] = 100_000
    max_age: Annotated[
        Duration, option("How long results are kept", doc="how long they are kept", least=1)
    ] = Duration("24h")


class ChangesConfig(Options, frozen=True):
    """How much of the change log is kept."""

    max_count: Annotated[
        int, option("How many changes are kept", doc="how many changes the log keeps", least=1)
    ] = 100_000
    max_age: Annotated[
        Duration, option("How long changes are kept", doc="how long it keeps them", least=1)
    ] = Duration("24h")

    hold_for_consumers: Annotated[
        Duration,
        option(
            "How long changes are kept for a consumer that is behind",
            "0 keeps none for consumers",
            doc="how long changes are kept beyond that for a [consumer](consumers.md) that is"
            " behind, from the last time it was known to be up to date; 0 keeps none for consumers",
        ),
    ] = Duration("24h")

    values: Annotated[
        bool | tuple[Any, ...],
        option(
            "Keep values in the change log, for all keys or those below these prefixes",
            "Streams then deliver them, and every write takes twice the space",
            doc="keep values in the log too, so that [streams](streams.md) deliver them: `true`, or"
            ' prefixes such as `["orders"]`',
        ),
    ] = False

    def retention(self) -> Retention:
        """The same for trimming the log."""
        return Retention(changes=self.max_count, age_ms=self.max_age.milliseconds)


class QueueConfig(Options, frozen=True):
    lock_duration: Annotated[
        Duration,
        option("How long a consumer has for a message before another one gets it", least=1),
    ] = Duration("30s")
    cleanup_interval: Annotated[
        Duration,
        option(
            "Longest pause between two checks for expired leases",
            "With 0, leases are checked only when a client asks for messages",
        ),
    ] = Duration("60s")
    heartbeat: Annotated[Duration, option("How often an idle listener gets a ping", least=1)] = (
        Duration("15s")
    )
    max_listeners: Annotated[int, option("Listeners that may be open at once", least=1)] = 1000
    max_listeners_per_client: Annotated[
        int, option("Listeners of one client", doc=_OF_ONE_CLIENT, least=1)
    ] = 250
    dlq_max_age: Annotated[
        Duration,
        option("How long dead letters are kept", "0 keeps them until they are deleted by hand"),
    ] = Duration(0)


class TasksConfig(Options, frozen=True):
    modules: Annotated[
        tuple[str, ...],
        option(
            "Python modules that run tasks in this process",
            "Each has a function make_runner(kv)",
            doc="Python modules, such as `my.tasks`, that"
            " [run tasks in this process](tasks.md#a-program-that-runs-tasks)",
        ),
    ] = ()
    drain: Annotated[
        Duration,
        option(
            "How long running tasks have to finish when the host stops",
            doc="how long tasks that run in this process have to finish when the host stops, within"
            " `hookTimeout`",
        ),
    ] = Duration("5s")


class WatchConfig(Options, frozen=True):
    max_watchers: Annotated[int, option("Watch streams that may be open at once", least=1)] = 1000
    max_watchers_per_client: Annotated[
        int, option("Watch streams of one client", doc=_OF_ONE_CLIENT, least=1)
    ] = 250
    heartbeat: Annotated[Duration, option("How often an idle watcher gets a ping", least=1)] = (
        Duration("30s")
    )


class SnapshotsConfig(Options, frozen=True):
    max_open: Annotated[
        int,
        option(
            "Snapshots that may be held at once",
            "Beyond them, the least recently used one is released",
            doc="[snapshots](keyval.md#snapshots) that may be held at once; beyond them, the least"
            " recently used one is released",
            least=1,
        ),
    ] = 16
    max_idle: Annotated[
        Duration, option("How long a snapshot may be idle between two pages", least=1)
    ] = Duration("30s")
    max_age: Annotated[
        Duration,
        option(
            "How long a snapshot may be held in all",
            doc="how long a snapshot may be held in all; the log of the database cannot shrink"
            " meanwhile",
            least=1,
        ),
    ] = Duration("5m")


class MetricsConfig(Options, frozen=True):
    persistent: Annotated[
        bool, option("Keep counts and latencies of operations across restarts")
    ] = False
    flush_interval: Annotated[Duration, option("How often they are saved", least=1)] = Duration(
        "30s"
    )


class EncryptionConfig(Options, frozen=True):
    prefixes: Annotated[
        tuple[Any, ...],
        option(
            "Prefixes below which values are encrypted",
            doc='prefixes, such as `["secrets"]`, below which values are'
            " [encrypted](keyval.md#encryption-at-rest); `[]` means the whole store",
        ),
    ] = ()
    keys: Annotated[
        str | None,
        option(
            "Keys as name:base64, separated by commas",
            "The first encrypts, all decrypt",
            doc="keys as `name:base64`, separated by commas; the first encrypts, all decrypt",
            env="KEYVAL_ENCRYPTION_KEYS",
            secret=True,
        ),
    ] = None
    key_file: Annotated[
        str | None, option("File with more keys, one per line", env="KEYVAL_ENCRYPTION_KEY_FILE")
    ] = None


class KeyValConfig(Options, frozen=True):
    """The options, checked."""

    database: Annotated[
        str | None,
        option(
            "Database",
            "Type of the plugin-database adapter that holds the store; empty means the default",
            doc="type of the adapter that holds the store; by default the default adapter",
        ),
    ] = None
    libsql_url: Annotated[
        str | None,
        option(
            "URL of a libSQL server, or a file, that holds the store",
            "Kept from the original Buntime; prefer an adapter of plugin-database",
            doc="URL of a libSQL server, or a file, that holds the store instead of an adapter of"
            " plugin-database",
        ),
    ] = None
    libsql_replica_url: Annotated[str | None, option("URL of a replica of that server")] = None
    libsql_token: Annotated[str | None, option("Token for that server", secret=True)] = None
    operation_timeout: Annotated[
        Duration, option("How long that server may take for a request", least=1)
    ] = Duration("30s")
    legacy_base: Annotated[
        bool,
        option(
            "Serve the API at /_/plugin-keyval too, as the original Buntime did",
            doc="serve the API at `/_/plugin-keyval` too, as the original Buntime did",
        ),
    ] = True
    cleanup_interval: Annotated[
        Duration, option("Longest pause between two sweeps of expired entries", least=1)
    ] = Duration("60s")
    foreign_poll: Annotated[
        Duration,
        option(
            "How often to check for writes of other processes, while a client waits for them",
            "Once a second if the operating system reports that nothing was written",
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
            "How long lines of the logger audit are kept in the store",
            "0 keeps none",
            doc="how long lines of the logger `audit` are [kept in the"
            " store](keyval.md#who-did-what); 0 keeps none",
        ),
    ] = Duration(0)
    encryption: Annotated[EncryptionConfig, option("Encryption of values")] = EncryptionConfig()
    limits: Annotated[
        Limits,
        option("Limits of what a request may cost; above one, it gets 413, which names the limit"),
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
        raise OptionError("database and libsqlUrl both name the store: give only one of them")
    if config.libsql_replica_url and not config.libsql_url:
        raise OptionError("libsqlReplicaUrl needs the primary too, in libsqlUrl")
    return config
