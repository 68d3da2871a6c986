"""`open_kv`: one line for a store, wherever it is."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from buntime_keyval import (
    AsyncKv,
    CannotOpen,
    ClientClosed,
    GraphEdge,
    InvalidInput,
    OutcomeUnknown,
    ServerFailure,
    TooLarge,
    open_kv,
    open_kv_sync,
)
from buntime_keyval.embedded import Location
from support.children import exit_code
from support.live import LiveServer
from support.postgres import Postgres
from support.rqlite import running_rqlite
from support.sqld import running_sqld
from support.waiting import until

pytestmark = pytest.mark.slow

UNCLOSED = """
import sys
from buntime_keyval import open_kv_sync
kv = open_kv_sync(sys.argv[1])
kv.set(["a"], 1)
kv.watch(["a"], print)
"""

UNCLOSED_IN_A_LOOP = """
import asyncio, sys
from buntime_keyval import open_kv
async def main():
    await open_kv(sys.argv[1]).set(["b"], 2)
asyncio.run(main())
"""

UNQUOTED = ("hu:/sh", "hu@sh", "hu#sh", "hu?sh", "hu[sh", "12/hush")
"""Passwords that do not stand in a URL as they are."""


class BytesPath(os.PathLike[bytes]):
    """A path that is no text, such as one of `os.scandir(b".")`."""

    def __fspath__(self) -> bytes:
        return b"a.db"


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


async def test_a_store_in_memory_lets_others_run() -> None:
    """None of its readings waits for anything, and a walk makes one after the other."""
    async with open_kv(":memory:") as kv:
        await kv.set(["a"], 1)
        turned = asyncio.Event()
        asyncio.get_running_loop().call_soon(turned.set)
        for _ in range(20_000):
            await kv.get(["a"])
            if turned.is_set():
                break
        assert turned.is_set()
        atomic = kv.atomic()
        for number in range(400):
            kv.graph.add_to(atomic, ("n", number), "next", ("n", number + 1))
        await atomic.commit()
        seen: list[GraphEdge] = []

        def look(edge: GraphEdge) -> bool:
            seen.append(edge)
            walking.cancel()
            return True

        walking = asyncio.create_task(kv.graph.shortest_path(("n", 0), ("n", 400), where=look))
        with pytest.raises(asyncio.CancelledError):
            await walking
        assert len(seen) < 400


async def test_who_is_cancelled_as_it_opens_leaves_it_to_the_next_one() -> None:
    async with open_kv(":memory:") as kv:
        for turns in range(3):
            writing = asyncio.create_task(kv.set(["n"], turns))
            for _ in range(turns + 1):
                await asyncio.sleep(0)
            assert writing.cancel()
        assert (await kv.get(["m"])).value is None
        await kv.set(["n"], "last")
        assert (await kv.get(["n"])).value == "last"


async def test_stores_in_memory_have_nothing_in_common() -> None:
    async with open_kv(":memory:") as one, open_kv(":memory:") as other:
        await one.set(["a"], 1)
        assert not await other.has(["a"])


def test_processes_share_a_file(tmp_path: Path) -> None:
    where = str(tmp_path / "app.db")
    program = (
        "import sys; from buntime_keyval import open_kv_sync\n"
        "with open_kv_sync(sys.argv[1]) as kv:\n"
        "    for _ in range(50): kv.atomic().sum(['n'], 1).commit()\n"
    )
    seen: list[Any] = []
    with open_kv_sync(where) as kv:
        kv.set(["n"], 0)
        with kv.watch(["n"], lambda batch: seen.extend(it.value for it in batch)):
            others = [subprocess.Popen([sys.executable, "-c", program, where]) for _ in range(2)]
            for _ in range(50):
                kv.atomic().sum(["n"], 1).commit()
            assert [other.wait(60) for other in others] == [0, 0]
            assert kv.get(["n"]).value == 150
            until_seen = threading.Event()
            while not until_seen.wait(0.02) and seen[-1:] != [150]:
                pass


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


def test_threads_share_a_store(tmp_path: Path) -> None:
    with open_kv_sync(tmp_path / "app.db") as kv, ThreadPoolExecutor(16) as threads:

        def use(number: int) -> Any:
            kv.set(["n", number], number)
            return kv.get(["n", number]).value

        assert list(threads.map(use, range(200))) == list(range(200))


def test_loops_share_a_file_and_not_what_is_in_memory(tmp_path: Path) -> None:
    kv = open_kv(tmp_path / "app.db")

    async def use(kv: AsyncKv, number: int, *, last: bool = False) -> list[Any]:
        await kv.set(["n", number], number)
        found = [entry.value async for entry in kv.list(["n"])]
        if last:
            await kv.aclose()
        return found

    async def in_two_loops() -> None:
        assert await use(kv, 1) == [1]
        other = asyncio.to_thread(asyncio.run, use(kv, 2))
        assert await other == [1, 2]
        await kv.aclose()

    asyncio.run(in_two_loops())

    async def of_memory() -> None:
        async with open_kv(":memory:") as memory:
            await use(memory, 1)
            with pytest.raises(CannotOpen, match="belongs to the event loop"):
                await asyncio.to_thread(asyncio.run, use(memory, 2))

    asyncio.run(of_memory())


def test_a_program_that_does_not_close_it_ends_all_the_same(tmp_path: Path) -> None:
    where = str(tmp_path / "app.db")
    for text in (UNCLOSED, UNCLOSED_IN_A_LOOP):
        program = [sys.executable, "-c", text, where]
        assert subprocess.run(program, timeout=60, check=False).returncode == 0
    with open_kv_sync(where) as kv:
        assert [kv.get([name]).value for name in "ab"] == [1, 2]


def test_what_a_server_asks_keys_for_is_open_to_whoever_has_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = {"type": "sqlite", "url": "file:app.db"}
    plugins = [["@buntime/plugin-database", {"adapters": [adapter]}], "@buntime/plugin-keyval"]
    (tmp_path / "buntime.jsonc").write_text(json.dumps({"plugins": plugins}))
    command = [sys.executable, "-m", "buntime_host", "keys", "create", "--name", "a"]
    subprocess.run([*command, "--grant", "*"], cwd=tmp_path, check=True, timeout=60)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    with open_kv_sync(tmp_path / "app.db") as kv:
        kv.set(["a"], 1)
        assert kv.get(["a"]).value == 1
        with kv.watch(["a"]) as watch:
            assert [entry.value for entry in next(watch)] == [1]
    assert [*Path().iterdir()] == []


def test_what_is_too_large_is_refused_as_by_a_server(tmp_path: Path) -> None:
    with open_kv_sync(tmp_path / "app.db") as kv:
        builder = kv.atomic()
        for number in range(3):
            builder.set(["a", number], "x" * 5_000_000)
        with pytest.raises(TooLarge):
            builder.commit()
        assert not kv.has(["a", 0])


async def test_what_expires_goes_while_it_is_open(tmp_path: Path) -> None:
    options = {"cleanupInterval": "100ms"}
    seen: list[str] = []
    async with open_kv(tmp_path / "app.db", keyval=options) as kv:
        await kv.set(["a"], 1, expires_in="200ms")
        async with kv.watch(["a"], lambda batch: seen.extend(str(it.value) for it in batch)):
            await until(lambda: seen == ["1", "None"])


def test_it_closes_with_what_runs(tmp_path: Path) -> None:
    kv = open_kv_sync(tmp_path / "app.db")
    watch = kv.watch(["a"], lambda batch: None)
    waiting = ThreadPoolExecutor(1).submit(lambda: next(iter(kv.watch(["b"]))))
    kv.set(["a"], 1)
    kv.close()
    kv.close()
    watch.stop()
    with pytest.raises(ClientClosed, match="make a new one"):
        kv.get(["a"])
    assert isinstance(waiting.exception(20), (ClientClosed, StopIteration))


async def test_who_is_cancelled_has_written_or_not(tmp_path: Path) -> None:
    """The store finishes what was begun, and goes on."""
    async with open_kv(tmp_path / "app.db") as kv:
        await kv.set(["a"], 0)
        for number in range(1, 50):
            writing = asyncio.create_task(kv.set(["a"], number))
            for _ in range(number % 7):
                await asyncio.sleep(0)
            writing.cancel()
            await asyncio.wait([writing])
        await kv.set(["b"], 1)
        assert (await kv.get(["a"])).value in range(50)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"url": ""}, "url is empty"),
        ({"url": "file:"}, "url names no file"),
        ({"url": "file:///"}, "url names no file"),
        ({"url": 7}, "url must be a text or a path, received one of type int"),
        ({"url": "redis://x"}, "redis:// is not known; use http://"),
        ({"url": "http://[::"}, "is no URL"),
        ({"url": "a\0.db"}, "holds a character that no path"),
        ({"url": Path("a\0.db")}, "holds a character that no path"),
        ({"url": "caf\udce9.db"}, "holds a character that no path"),
        ({"url": Path("caf\ud800.db")}, "holds a character that no path"),
        ({"url": BytesPath()}, "url must be a text or a path, received one of type bytes"),
        ({"url": "what?.db"}, r"a path with a \? in it"),
        ({"url": Path("why?") / "a.db"}, r"a path with a \? in it"),
        ({"url": "memory:"}, r"did you mean :memory:\?"),
        ({"url": ":memory"}, r"did you mean :memory:\?"),
        ({"url": "file::memory:"}, "a store in memory is :memory:"),
        ({"url": "localhost:8000"}, r"did you mean http://localhost:8000\?"),
        ({"url": "127.0.0.1:8000/keyval/api"}, r"mean http://127\.0\.0\.1:8000/keyval/api\?"),
        ({"url": "localhost:8000", "token": "secret"}, r"did you mean http://localhost:8000\?"),
        ({"url": "[::1]:8000"}, r"did you mean http://\[::1\]:8000\?"),
        ({"url": "http:/x"}, r"did you mean http://x\?"),
        ({"url": "HTTPS:x/y"}, r"did you mean https://x/y\?"),
        ({"url": "postgres:/user:hush@x"}, r"'postgres:…' .*; did you mean postgres://…\?$"),
        ({"url": "sqlite:a.db"}, r"did you mean a\.db\?"),
        ({"url": "a:b.db"}, r"neither a URL nor a path\. A file of this name is \./a:b\.db"),
        ({"url": "http://x", "keyval": {}}, "a server has its own options"),
        ({"url": "a.db", "token": "secret"}, "token is for a server"),
    ],
)
def test_mistakes_are_told_at_once(arguments: dict[str, Any], told: str) -> None:
    for opening in (open_kv, open_kv_sync):
        with pytest.raises(InvalidInput, match=told):
            opening(**arguments)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"keyval": {"queue": {"lockDuration": "soon"}}}, r"\.db: queue\.lockDuration: must be"),
        (
            {"keyval": {"queu": {}}},
            r"\.db: there are no such options: queu \(did you mean queue\?\)",
        ),
        ({"database": {"type": "mysql"}}, "mysql"),
        ({"database": {"synchronus": "off"}}, r"\.db: .*`synchronus` \(did you mean synchronous\?"),
        ({"keyval": {"lockDuration": "1s"}}, "no such options: lockDuration"),
        ({"keyval": {"queue": {"lockDurations": "1s"}}}, r"options: queue\.lockDurations"),
    ],
)
def test_wrong_options_are_told_by_the_first_request(
    tmp_path: Path, options: dict[str, Any], told: str
) -> None:
    kv = open_kv_sync(tmp_path / "app.db", **options)
    with pytest.raises(CannotOpen, match=told):
        kv.get(["a"])
    kv.close()


@pytest.mark.parametrize(
    ("scheme", "variable", "told"),
    [
        ("rqlite", "RQLITE_URL", "at least one URL"),
        ("libsql", "LIBSQL_URL", "at least one URL"),
        ("postgresql", "POSTGRES_URL", "URL is required"),
    ],
)
def test_no_variable_says_where_a_store_is(
    monkeypatch: pytest.MonkeyPatch, scheme: str, variable: str, told: str
) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:9")
    with open_kv_sync(f"{scheme}://") as kv, pytest.raises(CannotOpen, match=told):
        kv.get(["a"])


def test_a_file_that_is_none_is_told_by_the_first_request(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database, but long enough to be one\n" * 100)
    kv = open_kv_sync(tmp_path / "text.db")
    with pytest.raises(CannotOpen, match=r"text\.db"):
        kv.get(["a"])
    kv.close()
    assert (tmp_path / "text.db").read_text().startswith("not a database")


@pytest.mark.parametrize(
    "url",
    [
        "libsql://user:hush@127.0.0.1:9/?authToken=hush",
        "libsql://127.0.0.1:9?authToken=hu@sh",
        "postgresql://user:hush@127.0.0.1:9/app",
        *(f"postgresql://user:{password}@127.0.0.1:9/app" for password in UNQUOTED),
    ],
)
def test_no_secret_is_in_a_message(url: str) -> None:
    options = {"queue": {"lockDuration": "soon"}}
    entry = {"authToken": "hush"} if url.startswith("libsql") else {}
    kv = open_kv_sync(url, database=entry, keyval=options)
    with pytest.raises(CannotOpen) as caught:
        kv.get(["a"])
    kv.close()
    assert not re.search("hu|sh", str(caught.value).partition(": ")[0])
    assert "hush" not in str(caught.value)
    assert "sh" not in Location(url).shown


def test_what_is_shown_of_a_url() -> None:
    assert (
        Location("postgresql://a:b@c:5432,[::1]:1/d?e=f").shown == "postgresql://c:5432,[::1]:1/d"
    )
    assert Location("file:/srv/a@b.db?c").shown == "file:/srv/a@b.db"
    assert Location("postgresql://a:b/c@d/e").shown == "postgresql://…"


@pytest.mark.parametrize("password", UNQUOTED)
def test_a_password_with_characters_that_are_not_quoted(password: str) -> None:
    kv = open_kv_sync(f"postgresql://user:{password}@127.0.0.1:9/app")
    with pytest.raises(CannotOpen, match=r"written as|is written %23") as caught:
        kv.get(["a"])
    kv.close()
    assert "hush" not in str(caught.value)


def test_a_database_server_that_is_away(tmp_path: Path) -> None:
    with (
        running_sqld(tmp_path) as (server,),
        open_kv_sync(f"libsql://127.0.0.1:{server.port}?tls=0") as kv,
    ):
        kv.set(["a"], 1)
        server.kill()
        with pytest.raises((ServerFailure, OutcomeUnknown)):
            kv.set(["a"], 2)
        server.start()
        assert kv.get(["a"]).value in (1, 2)


def test_a_folder_is_not_made(tmp_path: Path) -> None:
    """Of a path that was misspelt; a file is, and one that is there may be in any folder."""
    for path in (tmp_path / "none" / "a.db", str(tmp_path / "none" / "a.db"), tmp_path):
        kv = open_kv_sync(path)
        with pytest.raises(CannotOpen, match=r"there is no folder .*none: make it|is a folder"):
            kv.set(["a"], 1)
        kv.close()
    assert [*tmp_path.iterdir()] == []
    with open_kv_sync(tmp_path / "a.db") as kv:
        kv.set(["a"], 1)


@pytest.mark.parametrize("path", ["a" * 300, "a" * 300 + "/a.db"])
def test_a_name_that_is_too_long(tmp_path: Path, path: str) -> None:
    with (
        open_kv_sync(tmp_path / path) as kv,
        pytest.raises(CannotOpen, match="File name too long"),
    ):
        kv.get(["a"])


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


def test_it_is_the_database_that_says_why(tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("no database " * 100)
    kv = open_kv_sync(tmp_path / "text.db")
    with pytest.raises(CannotOpen, match="not a database") as caught:
        kv.get(["a"])
    kv.close()
    assert "plugin" not in str(caught.value)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_child_is_told_not_to_use_the_file_of_its_parent(tmp_path: Path) -> None:
    """It would take the locks of its parent for its own."""
    with open_kv_sync(tmp_path / "app.db") as kv:
        kv.set(["a"], 1)
        for again in (kv, open_kv_sync(tmp_path / "app.db")):
            child = os.fork()
            if child == 0:
                status = 1
                try:
                    again.set(["a"], 2)
                except CannotOpen as error:
                    status = 0 if "before the fork" in str(error) else 2
                finally:
                    os._exit(status)
            assert exit_code(child) == 0
        assert kv.get(["a"]).value == 1
    child = os.fork()
    if child == 0:
        status = 1
        try:
            with open_kv_sync(tmp_path / "other.db") as own:
                own.set(["a"], 2)
            status = 0
        finally:
            os._exit(status)
    assert exit_code(child) == 0


def test_a_store_says_where_it_is_and_on_what(tmp_path: Path) -> None:
    with open_kv_sync(tmp_path / "a.db") as kv:
        assert repr(kv) == f"<Kv file:{tmp_path}/a.db (sqlite)>"
    with open_kv_sync(":memory:") as kv:
        assert repr(kv) == "<Kv :memory: (sqlite)>"
    with open_kv_sync("postgresql://ada:secret@db/app") as kv:
        assert repr(kv) == "<Kv postgresql://db/app (postgresql)>"
