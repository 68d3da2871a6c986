"""Fixtures of all tests."""

from __future__ import annotations

import gc
import os
import re
import shutil
import sys
from collections.abc import Callable, Generator, Iterator
from functools import cache
from inspect import unwrap
from itertools import count
from pathlib import Path
from types import CodeType, FunctionType

import httpcore2
import pytest
from hypothesis import HealthCheck, settings
from support.live import LiveServer, live_server
from support.memory import folder_in_memory, move_to_disk
from support.postgres import Postgres, running_postgres
from support.sampling import is_in_sample, set_wide

# How long an example takes, or is made, tells of the machine and of nothing else.
settings.register_profile(
    "any-machine", deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("any-machine")

# To read the certificates of all authorities takes 40 ms, for each client, most of which need none.
httpcore2.default_ssl_context = cache(httpcore2.default_ssl_context)

SLOW_FOLDERS = (
    "client/_sync",  # the same tests as those of `_async`, from which they are generated
    "client/cli",
    "database/libsql",
    "database/postgres",
    "database/rqlite",
    "keyval/libsql",
    "keyval/postgres",
    "keyval/rqlite",
    "keyval/workers",
    "pages",
    "soak",
)
"""Tests that start programs, all of them: `slow` is for those besides them."""
STARTERS = frozenset(
    {
        "Popen",
        "Process",
        "create_subprocess_exec",
        "database_server",
        "live_server",
        "running_app",
        "running_postgres",
        "running_rqlite",
        "running_sqld",
        "subprocess",
    }
)
"""Names by which tests and fixtures start processes: to start a server takes a fifth of a second.
Who starts one by another name has the mark `slow`, or fails."""
STARTS = ("subprocess.Popen", "support.live_server")
"""What is said to audit hooks when a process starts, or a server that another process forks."""
KILLERS = frozenset({"SIGKILL", "kill", "killpg"})
"""Names by which tests and fixtures kill processes: their folders are on a disk, where a commit
takes as long as it does for users. In memory hardly any process is killed while it writes one.
Who kills by another name has the mark `disk`."""
QUICK = "not slow"
"""What `scripts/test --quick` asks for; then nothing slow is even looked at, where a folder is."""


TESTS = os.fspath(Path(__file__).parent)
GENERATED = Path(__file__).parent / "client/_sync"
"""Tests of the blocking client: `scripts/unasync` makes them from those beside, as the client."""
SAMPLE_OF_GENERATED = 4
"""One case in so many of each of them runs, and the first one."""


_SLOW_MODULE = re.compile(r"^pytestmark = (?:\[[^\]]*)?pytest\.mark\.slow\b", re.M)
_folders = count()
_PASSED = pytest.StashKey[bool]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--wide",
        action="store_true",
        help="run each test of a store on every engine, each case on both halves of the client, and"
        " all generated cases, not a sample: see tests/keyval/engines.py, tests/conftest.py and"
        " tests/support/sampling.py",
    )


def pytest_configure(config: pytest.Config) -> None:
    set_wide(is_wide=bool(config.getoption("wide")))
    sys.addaudithook(_refuse_processes)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    if config.option.markexpr != QUICK:
        return None
    return True if _is_in_slow_folder(collection_path) or _is_slow(collection_path) else None


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is collected stays: to look through half a million objects again finds nothing."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("wide"):
        _leave_out_generated_cases(config, items)
    for item in items:
        names = _names_of(item)
        if _is_in_slow_folder(item.path) or not STARTERS.isdisjoint(names):
            item.add_marker(pytest.mark.slow)
        if not KILLERS.isdisjoint(names):
            item.add_marker(pytest.mark.disk)
    # Files with slow tests first: at the end other processes wait for the one with the last file.
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def _is_slow(path: Path) -> bool:
    """Whether a module says that all its tests are slow, so that nobody need import it."""
    return (
        path.name.startswith("test_") and _SLOW_MODULE.search(path.read_text("utf-8")) is not None
    )


@cache
def _is_in_slow_folder(path: Path) -> bool:
    return any(path.is_relative_to(Path(__file__).parent / name) for name in SLOW_FOLDERS)


def _names_of(item: pytest.Item) -> frozenset[str]:
    """The names in the code of a test, of its fixtures and of what they call."""
    if not isinstance(item, pytest.Function):
        return frozenset()
    fixtures = item._fixtureinfo.name2fixturedefs
    found = (item.function, *(it.func for defs in fixtures.values() for it in defs))
    return frozenset().union(*map(_names_reached_from, found))


@cache
def _names_reached_from(function: Callable[..., object]) -> frozenset[str]:
    """The names in the code of a function, and in that of those of the tests that it names."""
    seen: set[Callable[..., object]] = set()
    reached: set[str] = set()
    left = [unwrap(function)]
    while left:
        found = left.pop()
        if not isinstance(found, FunctionType) or found in seen:
            continue
        seen.add(found)
        names = _names_in(found.__code__)
        reached |= names
        called = (found.__globals__.get(name) for name in names)
        functions = [unwrap(it) for it in called if isinstance(it, FunctionType)]
        left += [it for it in functions if it.__code__.co_filename.startswith(TESTS)]
    return frozenset(reached)


@cache
def _names_in(code: CodeType) -> frozenset[str]:
    inner = (_names_in(it) for it in code.co_consts if isinstance(it, CodeType))
    return frozenset(code.co_names).union(*inner)


_running: list[pytest.Item] = []


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """It is known which test runs."""
    _running.append(item)
    try:
        return (yield)
    finally:
        _running.remove(item)


def _refuse_processes(event: str, _: object) -> None:
    """Let a test fail that starts a process, and that nobody would look for among the slow ones."""
    if event in STARTS and _running and not _running[0].get_closest_marker("slow"):
        raise AssertionError("what starts a process has the mark `slow`")


def _leave_out_generated_cases(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of what is said once and written twice, each test runs on both halves, its cases on one."""
    seen: set[str] = set()
    left_out = []
    for item in items:
        test, _, case = item.nodeid.partition("[")
        is_again = bool(case) and test in seen and item.path.is_relative_to(GENERATED)
        if is_again and not is_in_sample(item.nodeid, SAMPLE_OF_GENERATED):
            left_out.append(item)
        seen.add(test)
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        gone = set(left_out)
        items[:] = [item for item in items if item not in gone]


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if call.when == "call":
        item.stash[_PASSED] = report.passed
    return report


@pytest.fixture(scope="session")
def memory() -> Iterator[Path | None]:
    """Where folders of tests are, if the machine has room for them in memory."""
    with folder_in_memory() as folder:
        yield folder


@pytest.fixture
def tmp_path(
    tmp_path_factory: pytest.TempPathFactory, memory: Path | None, request: pytest.FixtureRequest
) -> Iterator[Path]:
    """That of pytest looks at the folders of all tests before it makes one more.

    It is in memory, unless the test has the mark `disk`. Where the test fails it stays, on the
    disk, by the same name. Those of a whole run would be gigabytes, which the system begins to
    write to the disk while other tests wait for it.
    """
    test = re.sub(r"[^A-Za-z0-9]", "_", request.node.name)[:30]
    kept = tmp_path_factory.getbasetemp() / f"{test}_{next(_folders)}"
    needs_disk = request.node.get_closest_marker("disk") is not None
    folder = kept if memory is None or needs_disk else memory / kept.name
    folder.mkdir()
    yield folder
    if request.node.stash.get(_PASSED, False):
        shutil.rmtree(folder, ignore_errors=True)
    elif folder != kept:
        move_to_disk(folder, kept)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def server(tmp_path: Path) -> Iterator[LiveServer]:
    """A server with the default plugins and an empty store."""
    with live_server(tmp_path) as running:
        yield running


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """A server that the tests of this process share, each in a schema or database of its own."""
    with running_postgres() as server:
        yield server
