"""The command `kv`, which opens stores by itself: its page line by line, and its failures."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import click
import pytest
from buntime_keyval import open_kv_sync
from buntime_keyval.cli.direct.connection import StoreTarget, target_of
from buntime_keyval.cli.direct.durations import DURATION
from buntime_keyval.cli.direct.group import kv
from buntime_keyval.cli.options import Mistake
from click.testing import CliRunner, Result
from client.cli.conftest import Commands
from support.children import program
from support.commands import command_for_shells
from support.examples import output_problems, parse_documents
from support.forking import forking_program
from support.waiting import PATIENCE

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[3] / "docs" / "from-ah-kv.md"
ROW = re.compile(r"^\| (?:`.*?` )?\| `(.+?)` \| (?:`(.+)`|(nothing)) \|$", re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def call(*arguments: str, given: str | bytes = b"") -> Result:
    """The command in this process, on `data.db` of the working directory."""
    result = CliRunner().invoke(kv, arguments, input=given, prog_name="kv")
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def program_of_kv() -> Path:
    """The command as a program of its own."""
    return forking_program("buntime_keyval.cli.direct", "kv")


def documents(*arguments: str) -> list[Any]:
    result = call(*arguments)
    assert result.exit_code == 0, result.stderr
    return parse_documents(result.stdout)


def test_the_page_says_what_is_printed(
    folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    rows = ROW.findall(PAGE.read_text("utf-8"))
    assert len(rows) > 30
    # One shell for all; a line of its own ends the output of each.
    lines = [f"{command.replace(chr(92) + '|', '|')}\necho; echo ----" for command, _, _ in rows]
    here = tmp_path_factory.mktemp("kv")
    # The first command starts the program itself, the others come to this process.
    lines[0] = f"PATH={Path(sys.executable).parent}:$PATH {lines[0]}"
    with command_for_shells(kv, "kv", here):
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", "\n".join(lines)],
            env={**os.environ, "PATH": f"{here}{os.pathsep}{os.environ['PATH']}"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=4 * PATIENCE,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    printed = done.stdout.split("----\n")[:-1]
    assert len(printed) == len(rows)
    for (command, expected, nothing), text in zip(rows, printed, strict=True):
        if nothing:
            assert not text.strip(), command
        else:
            assert len(parse_documents(text)) == len(parse_documents(expected)), command
            assert not output_problems(expected, text), command


def test_the_page_names_every_command() -> None:
    text = PAGE.read_text("utf-8")

    def check(command: click.Command, path: str) -> None:
        if isinstance(command, click.Group):
            for name, inner in command.commands.items():
                check(inner, f"{path} {name}")
        else:
            assert f"`{path}" in text or f"| {path}" in text, path

    check(kv, "kv")


def test_failures_are_on_stderr_with_a_status(folder: Path) -> None:
    assert call("put", "a", given="1").exit_code == 0
    for arguments, given, status, words in (
        (("get", "key", "nobody"), "", 1, "kv: error: nobody does not exist"),
        (("put", "a", "--version", "0"), "2", 1, "the version of 'a' is 1, and not 0"),
        (("patch", "a", "--version", "7"), "{}", 1, "is 1, and not 7"),
        (("put", "a"), "", 2, "there is nothing"),
        (("put", "a"), "{", 2, "not valid JSON"),
        (("put", ""), "1", 2, "not empty"),
        (("delete-prefix", ""), "", 2, "the prefix is empty"),
        (("list", "0", "-2"), "", 2, "limit must be -1"),
        (("count", "range", "a"), "", 2, "Missing argument"),
        (("--type", "mysql", "init"), "", 2, "mysql"),
        (("graph", "get-edge", "u", "1", "t", "u", "2"), "", 1, "there is no t"),
        (("graph", "find-path", "u", "1", "u", "2"), "", 1, "there is no path"),
        (("list", "-1"), "", 2, "offset must be an integer from 0"),
        (("--connection", ".", "init"), "", 1, "is a folder: name a file in it"),
        (("--connection", "none/data.db", "init"), "", 1, "there is no folder"),
    ):
        result = call(*arguments, given=given)
        assert (result.exit_code, result.stdout) == (status, ""), arguments
        assert words in result.stderr, arguments
    assert call("get", "key", "a").stdout == "1\n"


def test_fault_12_values_are_json_and_errors_are_not_output(folder: Path) -> None:
    for number, value in enumerate(("[1, null]", '"text"', "1.5", "null", "{}")):
        assert call("put", f"k{number}", given=value).exit_code == 0
        assert json.loads(call("get", "key", f"k{number}").stdout) == json.loads(value)
    batch = documents("get", "batch", "k0", "k1")
    assert [it["value"] for it in batch] == [[1, None], "text"]
    assert call("delete-prefix", "k", "0", "2").stdout == "2\n"
    assert call("delete-range", "k3", "k9").stdout == "2\n"
    failed = call("get", "key", "nobody")
    assert (failed.exit_code, failed.stdout) == (1, "")
    assert failed.stderr


def test_what_was_not_there_is_said(folder: Path) -> None:
    result = call("delete", "nobody")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == "kv: nobody was not there\n"
    edge = ("graph", "remove-edge", "user", "1", "follows", "user", "2")
    assert call(*edge).stderr == "kv: there was no follows between these nodes\n"
    call("graph", "add-edge", *edge[2:])
    assert call(*edge).stderr == ""


def test_what_a_store_logs_is_no_second_message(folder: Path) -> None:
    where = ("--type", "postgres", "--connection", "postgres://nobody@127.0.0.1:1/x")
    done = subprocess.run(
        [program_of_kv(), *where, "init"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("kv: error: cannot open postgres://127.0.0.1:1/x")
    assert done.stderr.count("\n") == 1


def test_an_edge_is_there_once(folder: Path) -> None:
    edge = ("graph", "add-edge", "u", "1", "t", "u", "2")
    assert call(*edge, given='{"a": 1}').exit_code == 0
    again = call(*edge, given='{"a": 2}')
    assert (again.exit_code, "--upsert" in again.stderr) == (1, True)
    assert call(*edge, "--upsert", given='{"a": 2}').exit_code == 0
    assert documents("graph", "get-incoming", "u", "2")[0][0]["data"] == {"a": 2}


def test_a_lock_is_of_one_owner(folder: Path) -> None:
    assert call("lock", "acquire", "report", "ada").exit_code == 0
    assert call("lock", "acquire", "report", "ada", "--duration", "1h").exit_code == 0
    held = call("lock", "acquire", "report", "bob")
    assert (held.exit_code, "ada" in held.stderr) == (1, True)
    wrong = call("lock", "release", "report", "bob")
    assert (wrong.exit_code, wrong.stdout) == (1, "")
    assert "bob does not have the lock report" in wrong.stderr
    assert documents("lock", "status", "report")[0]["lockedBy"] == "ada"
    assert call("lock", "release", "report", "ada").exit_code == 0
    assert call("lock", "release", "report", "ada").exit_code == 1
    assert call("lock", "status", "report").exit_code == 1


def test_the_stream_of_changes(folder: Path) -> None:
    assert call("stream", "seq").stdout == "0\n"
    for number in range(3):
        assert call("put", f"k{number}", given='{"a": 1}').exit_code == 0
    assert call("delete", "k0").exit_code == 0
    everything = call("stream", "get", "0", "-1")
    (found,) = documents("stream", "get", "0", "-1")
    assert [(it["seq"], it["action"], it["record"]["key"]) for it in found] == [
        (1, "create", "k0"),
        (2, "create", "k1"),
        (3, "create", "k2"),
        (4, "delete", "k0"),
    ]
    assert (found[0]["record"]["version"], found[0]["record"]["type"]) == (1, "dict")
    assert "next: kv stream get 5 -1" in everything.stderr
    assert [it["seq"] for it in documents("stream", "get", "3", "1")[0]] == [3]
    assert documents("stream", "get", "--of-type", "Unknown") == [[]]
    assert call("stream", "trim", "2").exit_code == 0
    gone = call("stream", "get", "1")
    assert gone.exit_code == 1
    assert "the stream begins with 3" in gone.stderr
    assert call("stream", "seq").stdout == "4\n"


def test_consumers_of_the_stream(folder: Path) -> None:
    for number in range(3):
        assert call("put", f"k{number}", given='{"a": 1}').exit_code == 0
    unknown = call("consumer", "get", "mailer")
    assert (unknown.exit_code, unknown.stdout) == (1, "")
    assert "there is no consumer mailer" in unknown.stderr
    assert call("consumer", "status", "mailer").exit_code == 1
    assert call("consumer", "commit", "mailer", "1").exit_code == 0
    (state,) = documents("consumer", "status", "mailer")
    assert (state["name"], state["seq"], state["lag"], state["lockedBy"]) == ("mailer", 2, 2, None)
    (found,) = documents("consumer", "get", "mailer", "--limit", "1")
    assert [(it["seq"], it["record"]["key"]) for it in found] == [(2, "k1")]
    assert documents("consumer", "get", "mailer", "--of-type", "Unknown") == [[]]
    assert call("consumer", "commit", "mailer", "9").exit_code == 1
    command = [str(program_of_kv()), "consumer", "stream", "mailer"]
    seen = ""
    with program(
        [*command, "w1", "--limit", "1"], stdout=subprocess.PIPE, text=True, cwd=folder
    ) as running:
        assert running.stdout is not None
        while '"seq": 3' not in seen:
            line = running.stdout.readline()
            assert line, seen
            seen += line
        running.send_signal(signal.SIGINT)
        running.wait(PATIENCE)
    assert '"seq": 2' in seen
    assert documents("consumer", "status", "mailer")[0]["seq"] >= 3
    assert call("consumer", "delete", "mailer").exit_code == 0
    assert call("consumer", "status", "mailer").exit_code == 1


def test_tasks_and_who_runs_them(folder: Path) -> None:
    echo = call("task", "new", "echo", "--max-retries", "1", given='["a", 1]').stdout.strip()
    later = ("--scheduled-for", "2100-01-01T00:00:00Z", "--timeout-seconds", "5")
    log = call("task", "new", "log", *later).stdout.strip()
    (found,) = documents("task", "get", log)
    assert (found["payload"], found["timeoutSeconds"]) == (None, 5)
    assert (found["scheduledFor"], found["startedAt"]) == ("2100-01-01T00:00:00.000Z", None)
    assert [it["id"] for it in documents("task", "list", "--limit", "5")] == [log, echo]
    assert call("task", "cancel", log).exit_code == 0
    assert [it["id"] for it in documents("task", "list", "--status", "cancelled")] == [log]
    for action in ("get", "cancel"):
        missing = call("task", action, "nobody")
        assert (missing.exit_code, missing.stdout, "nobody" in missing.stderr) == (1, "", True)
    unknown = call("task", "run", "--task-types", "echo,print")
    assert (unknown.exit_code, "there is no function for print" in unknown.stderr) == (2, True)
    command = [str(program_of_kv()), "task", "run"]
    with program(
        [*command, "--runner-id", "w1", "--task-types=echo"], stdout=subprocess.PIPE, cwd=folder
    ) as running:
        assert running.stdout is not None
        assert json.loads(running.stdout.readline()) == ["a", 1]
        running.send_signal(signal.SIGTERM)
        assert running.wait(PATIENCE) == 0
    (done,) = documents("task", "get", echo)
    assert (done["status"], done["retryCount"], done["result"]) == ("completed", 0, ["a", 1])


def test_schedules(folder: Path) -> None:
    daily = ("--cron", "0 3 * * *", "--timezone", "Europe/Lisbon", "--missed", "once")
    task = {"name": "report", "payload": {"to": "ada"}}
    assert call("schedule", "put", "sales", json.dumps(task), *daily).stdout == ""
    call("schedule", "put", "feed", "read-feed", "--every", "10m", "--paused")
    (sales,) = documents("schedule", "get", "sales")
    assert (sales["task"], sales["cron"], sales["every"]) == (task, "0 3 * * *", None)
    assert (sales["timezone"], sales["missed"], sales["fires"]) == ("Europe/Lisbon", "once", 0)
    assert [it.endswith(":00:00.000Z") for it in sales["next"]] == [True] * 5
    (feed,) = documents("schedule", "list", "--limit", "1")
    assert (feed["name"], feed["every"], feed["paused"], feed["next"]) == (
        *("feed", 600_000),
        *(True, []),
    )
    (started,) = documents("task", "get", call("schedule", "run", "sales").stdout.strip())
    assert (started["name"], started["payload"]) == ("report", {"to": "ada"})
    assert call("schedule", "delete", "feed").exit_code == 0
    assert [it["name"] for it in documents("schedule", "list", "--after", "a")] == ["sales"]
    for action in ("get", "run", "delete"):
        missing = call("schedule", action, "feed")
        assert (missing.exit_code, missing.stdout, "feed" in missing.stderr) == (1, "", True)
    wrong = call("schedule", "put", "feed", "{", "--every", "10m")
    assert (wrong.exit_code, "neither a name nor a JSON object" in wrong.stderr) == (2, True)
    both = call("schedule", "put", "feed", "read-feed", *daily, "--every", "10m")
    assert (both.exit_code, "cron" in both.stderr) == (1, True)


@pytest.mark.parametrize(
    ("written", "milliseconds"),
    [
        ("1h30m", 5_400_000),
        ("1.5h", 5_400_000),
        ("90s", 90_000),
        ("250ms", 250),
        ("1h2m3.5s", 3_723_500),
        ("+.5s", 500),
        ("1.s", 1000),
        ("1500us", 1.5),
        ("1500\N{MICRO SIGN}s", 1.5),
        ("1500\N{GREEK SMALL LETTER MU}s", 1.5),
        ("2000000ns", 2),
        ("1m1m", 120_000),
        ("10 minutes", 600_000),
        ("1d", 86_400_000),
    ],
)
def test_durations_are_those_of_go_and_ours(written: str, milliseconds: float) -> None:
    assert DURATION.convert(written, None, None) == pytest.approx(milliseconds)


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("soon", "such as 90s, 1h30m or 250ms"),
        ("", "such as 90s"),
        ("60", "such as 90s"),
        ("1h 30m", "such as 90s"),
        ("1h30", "such as 90s"),
        (".s", "such as 90s"),
        ("-1h", "more than 0"),
        ("0s", "more than 0"),
    ],
)
def test_other_durations_are_refused(folder: Path, written: str, words: str) -> None:
    refused = call("lock", "acquire", "report", "bob", f"--duration={written}")
    assert (refused.exit_code, words in refused.stderr) == (2, True)


def test_a_lock_lasts_as_long_as_was_said(folder: Path) -> None:
    assert call("lock", "acquire", "report", "ada", "--duration=1h30m").exit_code == 0
    with open_kv_sync(folder / "data.db") as store:
        found = store.locks.get("report")
        assert found is not None
        assert found.expires_at - found.acquired_at == 5_400_000


def test_keys_come_from_stdin_and_all_values_are_printed(folder: Path) -> None:
    with open_kv_sync(folder / "data.db") as store:
        store.set(["bytes"], b"\0\xff")
        store.set(["big"], 2**70)
        store.set(["elsewhere", 1], 1)
    found = parse_documents(call("get", "batch", given="bytes\nbig\n\nnobody\n").stdout)
    assert [it["key"] for it in found] == ["big", "bytes"]
    assert found[0]["value"] == {"__type": "bigint", "value": str(2**70)}
    assert documents("count", "all") == [2]


@pytest.mark.parametrize(
    ("kind", "connection", "url", "database"),
    [
        ("sqlite", "file:data.db?mode=rwc", "file:data.db", None),
        ("sqlite", "data.db", "file:data.db", None),
        ("sqlite", "file:/a/b.db", "file:/a/b.db", None),
        ("sqlite", "file:x?mode=memory", ":memory:", None),
        ("sqlite", ":memory:", ":memory:", None),
        ("postgres", "postgres://u:p@h:1/db?sslmode=disable", None, None),
        (
            "rqlite",
            "http://localhost:4001?user=admin&password=s%26t",
            "rqlite://",
            {"urls": ["http://localhost:4001"], "user": "admin", "password": "s&t"},
        ),
    ],
)
def test_connections(kind: str, connection: str, url: str | None, database: Any) -> None:
    target = target_of(kind, connection)
    assert target == StoreTarget(url or connection, database)
    assert not {"admin", "s&t", "u:p"} & {*repr(target).split("'")}


@pytest.mark.parametrize(
    ("kind", "connection"),
    [
        ("sqlite", ""),
        ("sqlite", "file:"),
        ("sqlite", "file:?mode=rwc"),
        ("sqlite", "memory:"),
        ("sqlite", "localhost:8000"),
        ("sqlite", "http:/x"),
        ("sqlite", "file:///"),
        ("sqlite", "http://localhost"),
        ("sqlite", "file:data.db?mode=ro"),
        ("sqlite", "file:/nowhere/x.db?mode=rw"),
        ("postgres", "file:data.db"),
        ("rqlite", "localhost:4001"),
        ("rqlite", "http://localhost:4001?level=strong"),
    ],
)
def test_connections_that_are_none(kind: str, connection: str) -> None:
    with pytest.raises(Mistake, match=r"connection|does not exist"):
        target_of(kind, connection)


def test_a_server_has_graphs_and_benchmarks_too(run: Commands) -> None:
    run.ok("graph", "add-edge", "u", "1", "t", "u", "2", given='{"km": 3}')
    path = run.ok("graph", "find-path", "u", "1", "u", "2", "--weight", "km")
    assert json.loads(path.out)["weight"] == 3
    figures = json.loads(run.ok("benchmark", "patch", "5", "2", "--json").out)
    assert (figures["operations"], figures["milliseconds"]["p50"] > 0) == (10, True)
    assert "operations in" in run.ok("benchmark", "mixed", "5", "2").out
    assert run("graph", "get-edge", "u", "1", "x", "u", "2").status == 1
