"""What the document says holds against a real server: by schemathesis, and for TypeScript."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from support.live import DEFAULT_PLUGINS, live_server
from support.npm import NODE_SECONDS, TYPESCRIPT, npm_folder
from support.sampling import is_in_sample

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
)
WAITS = ("wait", "timeout")
"""Members that say how long a request may wait."""
FUZZING_SECONDS = 40
"""It goes through the operations again and again until this is over."""
MOST_SECONDS = 80
"""The longest that it gets where it has not come to all of them."""
SAMPLE = 3
"""Of so many paths one is tried without `--wide`."""

USE = """
import type { paths } from "./api";

type Listing = paths["/keyval/api/keys"]["get"]["parameters"]["query"];
type Sql =
  paths["/database/api/query"]["post"]["requestBody"]["content"]["application/json"];
type Problem =
  paths["/keyval/api/keys"]["get"]["responses"]["400"]["content"]["application/json"];

export const listing: Listing = { prefix: "users", limit: 10, reverse: true };
export const sql: Sql = { sql: "SELECT 1", maxRows: 5 };
export const told = (problem: Problem): string => problem.error;
// @ts-expect-error a limit is a number
export const wrong: Listing = { limit: "many" };
"""


def paths_that_wait(document: dict[str, Any]) -> list[str]:
    """Paths of streams, and of what waits for as long as it is told to."""
    return [
        path
        for path, methods in document["paths"].items()
        for said in methods.values()
        if "text/event-stream" in json.dumps(said["responses"])
        or any(one["name"] in WAITS for one in said["parameters"])
        or any(f'"{name}": ' in json.dumps(said.get("requestBody", {})) for name in WAITS)
    ]


@pytest.mark.slow
def test_schemathesis_finds_nothing(
    document: dict[str, Any], tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    wide = pytestconfig.getoption("wide")
    tried = document["paths"].keys() - paths_that_wait(document)
    tried = {path for path in tried if wide or is_in_sample(path, SAMPLE)}
    plugins = [*DEFAULT_PLUGINS, "@buntime/plugin-proxy"]
    with live_server(tmp_path, {"plugins": plugins}) as server:
        selected, tested, seconds = 1, 0, FUZZING_SECONDS
        while tested < selected and seconds <= MOST_SECONDS:  # a busy machine takes longer
            selected, tested = fuzz(f"{server.url}/api/openapi.json", tried, seconds, tmp_path)
            seconds *= 2
    assert selected > (100 if wide else 30)
    assert tested == selected


def fuzz(document: str, paths: set[str], seconds: int, folder: Path) -> tuple[int, int]:
    """How many operations there are below the paths, and how many were tried in the time."""
    done = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "run", document),
            *("--phases", "fuzzing", "-n", "1", "--max-time", str(seconds)),
            *("--generation-deterministic", "--no-shrink", "--continue-on-failure"),
            *("--include-path-regex", f"^({'|'.join(map(re.escape, paths))})$"),
            *("-c", ",".join(CHECKS)),
            *("--warnings", "off", "--no-color"),
        ],
        cwd=folder,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    selected = re.search(r"Operations: +([0-9]+) selected", done.stdout)
    tested = re.search(r"Tested: +([0-9]+)", done.stdout)
    assert selected is not None
    assert tested is not None
    return int(selected[1]), int(tested[1])


@pytest.mark.slow
def test_a_typescript_client_of_it_type_checks(document: dict[str, Any], tmp_path: Path) -> None:
    generator = npm_folder("openapi-typescript", "7.13.0")
    compiler = npm_folder("typescript", TYPESCRIPT)
    source = tmp_path / "openapi.json"
    source.write_text(json.dumps(document))
    made = subprocess.run(
        [
            *("node", generator / "node_modules/openapi-typescript/bin/cli.js"),
            *(source, "-o", tmp_path / "api.ts", "--default-non-nullable=false"),
        ],
        capture_output=True,
        text=True,
        timeout=NODE_SECONDS * 2,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    (tmp_path / "use.ts").write_text(USE)
    checked = subprocess.run(
        [
            *(compiler / "node_modules/.bin/tsc", "--strict", "--noEmit"),
            *("--skipLibCheck", tmp_path / "use.ts"),
        ],
        capture_output=True,
        text=True,
        timeout=NODE_SECONDS * 2,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
