"""Hosts that come to a new libSQL server at the same moment."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from threading import Barrier, Thread

from buntime_plugin_keyval.storage.schema import load_migrations
from keyval.libsql.support import config_of, run_sql
from support.api import api_of
from support.live import live_server
from support.sqld import Sqld, running_sqld

HOSTS = 3


def test_hosts_that_start_at_once_on_a_new_server(tmp_path: Path) -> None:
    folders = [tmp_path / str(number) for number in range(HOSTS)]
    together = Barrier(HOSTS, timeout=60)
    found: list[int] = []

    def run(folder: Path, servers: list[Sqld]) -> None:
        folder.mkdir()
        together.wait()
        with live_server(folder, config_of(servers)) as server, api_of(server.api) as api:
            api.put(f"started/{folder.name}", 1)
            together.wait()
            found.append(len(api.keys(prefix=["started"])))
            together.wait()

    with ExitStack() as stack:
        servers = stack.enter_context(running_sqld(tmp_path / "sqld"))
        threads = [Thread(target=run, args=(folder, servers)) for folder in folders]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        applied = run_sql(servers[0], "SELECT version FROM kv_migrations ORDER BY version")
    assert found == [HOSTS] * HOSTS
    assert [int(version) for (version,) in applied] == [m.version for m in load_migrations()]
