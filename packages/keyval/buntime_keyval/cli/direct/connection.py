"""Which store `--type` and `--connection` mean."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qs, urlsplit

from buntime_keyval._opening import problem_of_path
from buntime_keyval.cli.options import Mistake

if TYPE_CHECKING:
    from buntime_keyval import AsyncKv, Kv

KINDS = ("sqlite", "rqlite", "postgres")
DEFAULT_CONNECTION = "file:data.db?mode=rwc"


class StoreTarget(NamedTuple):
    """The store that the group was told of."""

    url: str
    database: dict[str, Any] | None = None
    """Options of the engine, which may be secret."""

    def __repr__(self) -> str:
        """Without what may be secret."""
        return f"StoreTarget({self.url.partition(':')[0]!r})"

    def open(self) -> Kv:
        """The store. Raises what `open_kv_sync` does."""
        from buntime_keyval import open_kv_sync  # brings the store, of no use to `--help`

        return open_kv_sync(self.url, database=self.database)

    def open_async(self) -> AsyncKv:
        """The store for an event loop. Raises what `open_kv` does."""
        from buntime_keyval import open_kv

        return open_kv(self.url, database=self.database)


def target_of(kind: str, connection: str) -> StoreTarget:
    """The store that a type and a connection string mean. Raises `Mistake`."""
    if kind == "sqlite":
        return StoreTarget(_file(connection))
    scheme = connection.partition("://")[0].lower()
    if kind == "postgres":
        if scheme not in ("postgres", "postgresql"):
            raise Mistake("--connection of postgres is such as postgres://user:password@host/db")
        return StoreTarget(connection)
    return _rqlite(connection, scheme)


def _file(connection: str) -> str:
    path, _, query = connection.partition("?")
    modes = parse_qs(query).get("mode", ["rwc"])
    if modes == ["memory"] or path in (":memory:", "file::memory:"):
        return ":memory:"
    if "://" in path and not path.startswith("file:"):
        raise Mistake("--connection of sqlite is a file, such as file:data.db; see --type")
    problem = None if path.startswith("file:") else problem_of_path(path)
    if problem is not None:
        raise Mistake(f"--connection: {problem}")
    name = path.removeprefix("file:")
    if not name.strip("/"):
        raise Mistake("--connection of sqlite names no file, such as file:data.db")
    if modes == ["rw"] and not Path(name.removeprefix("//")).exists():
        raise Mistake(f"{name} does not exist, and mode=rw does not make it")
    if modes not in (["rw"], ["rwc"]):
        raise Mistake(f"mode of --connection must be rwc, rw or memory, received {modes[-1]}")
    return f"file:{name}"


def _rqlite(connection: str, scheme: str) -> StoreTarget:
    if scheme not in ("http", "https"):
        raise Mistake("--connection of rqlite is such as http://localhost:4001?user=a&password=b")
    parts = urlsplit(connection)
    given = parse_qs(parts.query, keep_blank_values=True)
    if unknown := given.keys() - {"user", "password"}:
        raise Mistake(f"--connection of rqlite has no {', '.join(sorted(unknown))}")
    options = {name: values[-1] for name, values in given.items()}
    return StoreTarget("rqlite://", {"urls": [f"{scheme}://{parts.netloc}"], **options})
