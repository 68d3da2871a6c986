"""npm's `@libsql/client`, which nobody here wrote, against our server."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.database import Api, database_server
from support.hrana import HranaHttp
from support.live import LiveServer
from support.npm import npm_folder

pytestmark = pytest.mark.slow

VERSION = "0.18.0"
SCRIPT = Path(__file__).parent / "client.cjs"
CLIENT_SECONDS = 30
TRANSPORTS = ["http", "ws"]
UNIQUE = "SQLITE_CONSTRAINT"


@pytest.fixture(scope="session")
def packages() -> Path:
    """The folder where the client is installed."""
    return npm_folder("@libsql/client", VERSION)


def run(packages: Path, url: str, jobs: str, token: str = "") -> Any:
    """What the client saw."""
    done = subprocess.run(
        ["node", SCRIPT, packages, url, token, jobs],
        capture_output=True,
        text=True,
        timeout=CLIENT_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize("transport", TRANSPORTS)
@pytest.mark.parametrize(
    ("job", "expected"),
    [
        (
            "values",
            [
                [
                    None,
                    {"int": "9223372036854775807"},
                    {"int": "-9223372036854775808"},
                    0.5,
                    "ä💧",
                    {"blob": "00ff"},
                ]
            ],
        ),
        (
            "statements",
            {
                "affected": 2,
                "rowid": {"int": "2"},
                "columns": ["id", "name"],
                "types": ["INTEGER", "VARCHAR(9)"],
                "rows": [[{"int": "1"}, "a"], [{"int": "2"}, "b"]],
            },
        ),
        ("batch", {"rows": [[1.0]], "code": UNIQUE, "after": [[1.0]]}),
        (
            "transaction",
            {
                "inside": [[{"int": "3"}]],
                "outside": [[{"int": "0"}]],
                "code": "SQLITE_ERROR",
                "after": [[{"int": "3"}]],
            },
        ),
        ("scripts", [["a;b", None], ["c", None]]),
        (
            "errors",
            [
                "SQLITE_CONSTRAINT",
                "SQLITE_ERROR",
                "SQL_MANY_STATEMENTS",
                "ARGS_INVALID",
                "SQLITE_AUTH",
            ],
        ),
    ],
)
def test_what_the_client_sees(
    packages: Path,
    hrana_server: LiveServer,
    hrana: HranaHttp,
    transport: str,
    job: str,
    expected: Any,
) -> None:
    base = hrana_server.url.replace("http", transport, 1)
    url = f"{base}/database/api/dev/{hrana.tenant}/"
    assert run(packages, url, job) == {job: expected}


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    """A server that wants a token."""
    with database_server(tmp_path_factory.mktemp("locked"), token="right") as server:
        yield server


@pytest.mark.parametrize("transport", TRANSPORTS)
def test_a_token(packages: Path, locked: LiveServer, transport: str) -> None:
    for path in ("/database/api", "/database/api/"):  # both spellings of the URL work
        url = locked.url.replace("http", transport, 1) + path
        assert run(packages, url, "values", "right")["values"][0][4] == "ä💧"
    (code,) = run(packages, url, "refused", "wrong")["refused"]
    assert code in ("SERVER_ERROR", "AUTH_REQUIRED")
    Api(locked, authorization="Bearer right").client.close()
