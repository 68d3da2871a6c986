"""Fixtures of all tests."""

from __future__ import annotations

import gc
import re
from collections.abc import Generator, Iterator
from functools import cache
from itertools import count
from pathlib import Path

import httpcore2
import pytest
from hypothesis import HealthCheck, settings
from support.live import LiveServer, live_server
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
SLOW_FIXTURES = frozenset({"counting", "keyed", "serve", "server", "shared_server"})
"""Servers, for a module or for a test: to start one takes a fifth of a second."""


GENERATED = Path(__file__).parent / "client/_sync"
"""Tests of the blocking client: `scripts/unasync` makes them from those beside, as the client."""
SAMPLE_OF_GENERATED = 4
"""One case in so many of each of them runs, and the first one."""


_folders = count()


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
    folders = [Path(__file__).parent / name for name in SLOW_FOLDERS]
    in_slow = cache(lambda path: any(path.is_relative_to(folder) for folder in folders))
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if in_slow(item.path) or not SLOW_FIXTURES.isdisjoint(fixtures):
            item.add_marker(pytest.mark.slow)
    # Files with slow tests first: at the end other processes wait for the one with the last file.
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


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


@pytest.fixture
def tmp_path(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Path:
    """That of pytest looks at the folders of all tests before it makes one more."""
    name = re.sub(r"[^A-Za-z0-9]", "_", request.node.name)[:30]
    folder = tmp_path_factory.getbasetemp() / f"{name}_{next(_folders)}"
    folder.mkdir()
    return folder


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
