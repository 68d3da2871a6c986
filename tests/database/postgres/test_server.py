"""The server that tests run comes back with what it had, whatever ended it."""

from __future__ import annotations

import subprocess

import pytest
from support.postgres import ESCAPED, GUARDED, Postgres, programs, running_postgres


def test_it_comes_back_with_what_was_committed() -> None:
    with running_postgres({"fsync": "on"}) as server:
        server.run("CREATE TABLE t (n int)")
        server.run("INSERT INTO t VALUES (7)")
        server.kill()
        server.start()
        assert server.run("SELECT n FROM t") == ["7"]
        server.stop()
        server.start()
        assert server.run("SELECT n FROM t") == ["7"]
    assert not server.folder.exists()


def test_databases_know_nothing_of_each_other(postgres: Postgres) -> None:
    one, two = postgres.create_database(), postgres.create_database()
    postgres.run("CREATE TABLE t (n int)", one)
    with pytest.raises(AssertionError, match='relation "t" does not exist'):
        postgres.run("SELECT n FROM t", two)


def test_one_user_is_asked_for_a_password(postgres: Postgres) -> None:
    def connects(url: str) -> bool:
        psql = [str(programs() / "psql"), "-w", "-c", "SELECT 1", "-d", url]
        return subprocess.run(psql, capture_output=True, check=False).returncode == 0

    url = postgres.url_of("postgres", GUARDED)
    assert connects(url)
    assert not connects(url.replace(ESCAPED, "wrong"))
