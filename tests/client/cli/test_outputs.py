"""Outputs that cannot be written, and parts that are not installed: real processes."""

from __future__ import annotations

import subprocess
import sys

import pytest
from buntime_keyval import Kv
from client.cli.conftest import Commands
from support.forking import forking_program
from support.waiting import PATIENCE

HOST = [sys.executable, "-m", "buntime_host"]
WITHOUT = """
import runpy, sys
sys.modules[sys.argv.pop(1)] = None
sys.argv = ["kv", "get", "a"]
runpy.run_module("buntime_keyval.cli", run_name="__main__")
"""


def shell(run: Commands, command: str) -> subprocess.CompletedProcess[str]:
    """A line of a shell, in which `$BUNTIME` is the command."""
    words = " ".join(HOST)
    return subprocess.run(
        ["bash", "-c", command.replace("$BUNTIME", words)],
        env=run.environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (">/dev/full", "the output cannot be written: No space left on device"),
        (">&-", "the output cannot be written: stdout is closed"),
    ],
    ids=["full", "closed"],
)
@pytest.mark.parametrize(
    "command", ["get users/1", "list", "list --json", "export", "metrics", "queue stats --json"]
)
def test_a_command_says_what_it_cannot_print(
    run: Commands, store: Kv, command: str, arguments: str, reason: str
) -> None:
    store.set(["users", 1], "Ada")
    done = shell(run, f"$BUNTIME kv {command} {arguments}")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"buntime: error: {reason}\n"


def test_writes_are_done_all_the_same(run: Commands, store: Kv) -> None:
    done = shell(run, "$BUNTIME kv set users/1 1 >/dev/full")
    assert done.returncode == 1
    assert store.get(["users", 1]).value == 1


@pytest.mark.parametrize("command", ["plugins", "plugins --json", "check"])
def test_commands_of_the_host_too(run: Commands, command: str) -> None:
    done = shell(run, f"cd / && $BUNTIME {command} >/dev/full")
    assert done.returncode == 1
    assert done.stderr.endswith("the output cannot be written: No space left on device\n")
    assert "Traceback" not in done.stderr
    done = shell(run, f"cd / && $BUNTIME {command} >&-")
    assert "Traceback" not in done.stderr


def test_who_reads_no_further_is_no_error(run: Commands, store: Kv) -> None:
    for first in range(0, 2000, 500):
        batch = store.atomic()
        for number in range(first, first + 500):
            batch.set(["n", number], "x" * 100)
        batch.commit()
    done = shell(run, "$BUNTIME kv list | head -1")
    assert done.stdout.startswith("n/0\t")
    assert done.stderr == ""


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_the_command_line_says_what_is_not_installed(run: Commands, missing: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, missing],
        env=run.environ,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if missing == "rich" and done.returncode == 0:
        return  # only tables at a terminal need it
    assert done.returncode == 1
    if missing == "click":
        assert done.stderr == (
            "The command line needs click, which is not installed:"
            " pip install 'buntime-keyval[cli]'\n"
        )


def test_metrics_are_printed_once(run: Commands, store: Kv) -> None:
    store.set(["a"], 1)
    names = [line.partition("\t")[0] for line in run("metrics").out.splitlines()]
    assert "operations.set.count" in names
    assert "operations.operations.set.count" not in names
    assert len(names) == len(set(names))


def completed(run: Commands, *words: str) -> list[str]:
    """What a shell is offered behind the words; the last one is incomplete."""
    done = subprocess.run(
        [forking_program("buntime_host", "buntime")],
        env={
            **run.environ,
            "_BUNTIME_COMPLETE": "bash_complete",
            "COMP_WORDS": " ".join(("buntime", *words)),
            "COMP_CWORD": str(len(words)),
        },
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    return [line.removeprefix("plain,") for line in done.stdout.split()]


def test_a_shell_completes_keys_and_index_prefixes(run: Commands, store: Kv) -> None:
    atomic = store.atomic()
    for number in range(1500):
        atomic.set(["users", number, "name"], number)
    atomic.set(["users", "all"], 1).set(["settings"], 1).set(["zones", "a b", 1], 1)
    atomic.commit()
    assert completed(run, "kv", "get", "") == ["settings", "users/", "zones/"]
    assert completed(run, "kv", "get", "us") == ["users/"]
    assert completed(run, "kv", "get", "users/a") == ["users/all"]
    assert "users/12/" in completed(run, "kv", "delete", "users/1")
    assert completed(run, "kv", "get", "users/12/") == ["users/12/name"]
    assert completed(run, "kv", "list", "zones/") == ["zones/a%20b/"]
    store.create_index(["users"], fields=["name"])
    assert completed(run, "kv", "search", "") == ["users"]
    assert completed(run, "kv", "index", "remove", "x") == []


def test_without_a_server_nothing_is_completed(run: Commands) -> None:
    run.environ["BUNTIME_KV_URL"] = "http://127.0.0.1:1/keyval/api"
    assert completed(run, "kv", "get", "") == []
