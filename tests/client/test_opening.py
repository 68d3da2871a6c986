"""`open_kv`: one line for a store, wherever it is."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from buntime_keyval import open_kv_sync
from support.live import LiveServer
from support.postgres import Postgres
from support.rqlite import running_rqlite
from support.sqld import running_sqld

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).with_name("sample_program.py")


def lines_of(url: str) -> list[str]:
    """What the program says with its store there."""
    done = subprocess.run(
        [sys.executable, str(PROGRAM), url],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    # A server of tests does not wait for the disk, which is warned of.
    told = [line for line in done.stderr.splitlines() if "is off there" not in line]
    assert told == []
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def lines_of_a_file(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    return lines_of(str(tmp_path_factory.mktemp("file") / "app.db"))


@pytest.fixture
def libsql(tmp_path: Path) -> Iterator[str]:
    with running_sqld(tmp_path) as (server,):
        yield f"libsql://127.0.0.1:{server.port}?tls=0"


@pytest.fixture
def rqlite(tmp_path: Path) -> Iterator[str]:
    with running_rqlite(tmp_path) as (server,):
        yield f"rqlite://{server.url.partition('://')[2]}"


def test_the_program_says_the_same_on_a_server(
    server: LiveServer, lines_of_a_file: list[str]
) -> None:
    assert len(lines_of_a_file) > 25
    assert lines_of(server.url) == lines_of_a_file


def test_the_program_says_the_same_in_memory(lines_of_a_file: list[str]) -> None:
    assert lines_of(":memory:") == lines_of_a_file


def test_the_program_says_the_same_on_libsql(libsql: str, lines_of_a_file: list[str]) -> None:
    assert lines_of(libsql) == lines_of_a_file


def test_the_program_says_the_same_on_rqlite(rqlite: str, lines_of_a_file: list[str]) -> None:
    assert lines_of(rqlite) == lines_of_a_file


def test_the_program_says_the_same_on_postgresql(
    postgres: Postgres, lines_of_a_file: list[str]
) -> None:
    assert lines_of(postgres.url_of(postgres.create_database())) == lines_of_a_file


@pytest.mark.parametrize("form", [str, Path, "file:{}".format])
def test_a_file_keeps_what_was_written(tmp_path: Path, form: Callable[[Any], Any]) -> None:
    where = form(tmp_path / "app.db")
    with open_kv_sync(where) as kv:
        kv.set(["a"], 1)
    with open_kv_sync(where) as kv:
        assert kv.get(["a"]).value == 1


def test_a_relative_path_is_one_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for where in ("app.db", "file:app.db"):
        with open_kv_sync(where) as kv:
            kv.set(["a"], 1)
    assert {it.name.partition("-")[0] for it in tmp_path.iterdir()} == {"app.db"}


def test_a_file_needs_no_server_and_no_client_of_one(tmp_path: Path) -> None:
    program = (
        "import sys; from buntime_keyval import open_kv_sync\n"
        "with open_kv_sync(sys.argv[1]) as kv: kv.set(['a'], 1); kv.get(['a'])\n"
        "others = 'uvicorn click h11 urllib.request prometheus_client jwt cryptography rich"
        " aiohttp asyncpg libsql_client websockets yaml importlib.metadata multiprocessing"
        " buntime_host.routes.core_routes buntime_plugin_database.faces.served"
        " starlette.requests starlette.routing anyio httptools http.client email zipfile html"
        " zoneinfo cronsim buntime_host.described buntime_host.routing.dispatch"
        " buntime_plugin_keyval.faces.local.kv buntime_keyval._async'\n"
        "print([name for name in others.split() if name in sys.modules])\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "app.db")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_what_is_imported_counts_as_old_garbage(tmp_path: Path) -> None:
    """Else the first looks for young garbage go through all modules."""
    program = (
        "import gc, sys; looks = []\n"
        "def look(phase, info): looks.append(len(gc.get_objects(info['generation'])))\n"
        "from buntime_keyval import open_kv_sync; gc.collect(); gc.callbacks.append(look)\n"
        "with open_kv_sync(sys.argv[1]) as kv: kv.set(['a'], 1)\n"
        "gc.callbacks.clear(); print(gc.isenabled(), gc.get_freeze_count(), max(looks) < 20_000)\n"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "app.db")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "True 0 True\n"


@pytest.mark.parametrize("name", ["with spaces #1 %20 ü 🗝.db", "~", "a;b&c=d'\"\\.db", " "])
@pytest.mark.parametrize("form", [str, Path, "file:{}".format])
def test_a_name_is_taken_as_it_is(tmp_path: Path, name: str, form: Callable[[Any], Any]) -> None:
    """As a path has it: nothing of it is decoded, expanded or cut off."""
    with open_kv_sync(form(tmp_path / name)) as kv:
        kv.set(["a"], 1)
    assert (tmp_path / name).is_file()
    with open_kv_sync(form(tmp_path / name)) as kv:
        assert kv.get(["a"]).value == 1


@pytest.mark.parametrize("form", ["./{}", "file:{}", Path])
def test_a_colon_may_be_in_the_name_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("localhost:8000", "memory:", "sub/a:b.db"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        with open_kv_sync(form.format(name) if isinstance(form, str) else form(name)) as kv:
            kv.set(["a"], 1)
        assert (tmp_path / name).is_file()
    with open_kv_sync("sub/a:b.db") as kv:
        assert kv.get(["a"]).value == 1


def test_a_store_says_where_it_is_and_on_what(tmp_path: Path) -> None:
    with open_kv_sync(tmp_path / "a.db") as kv:
        assert repr(kv) == f"<Kv file:{tmp_path}/a.db (sqlite)>"
    with open_kv_sync(":memory:") as kv:
        assert repr(kv) == "<Kv :memory: (sqlite)>"
    with open_kv_sync("postgresql://ada:secret@db/app") as kv:
        assert repr(kv) == "<Kv postgresql://db/app (postgresql)>"
