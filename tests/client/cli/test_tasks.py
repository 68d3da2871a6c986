from __future__ import annotations

import signal
from pathlib import Path

import pytest
from buntime_keyval import Kv
from client._sync.beside import until
from client.cli.conftest import Commands
from support.waiting import PATIENCE

WORKER = """
import time
from pathlib import Path

def double(number: int) -> int:
    return 2 * number

def slow(seconds: float) -> str:
    Path("began").touch()
    time.sleep(seconds)
    return "drained"

def make_runner(kv):
    runner = kv.runner(name="worker")
    runner.add("double", double)
    runner.add("slow", slow)
    return runner
"""


def test_tasks_by_hand(run: Commands, store: Kv) -> None:
    first = run.ok("task", "send", "a", '{"n": 12345678901234567890}', "--id", "one").out.strip()
    assert first == "one"
    assert run.ok("task", "send", "a", "--id", "one").out.strip() == "one"
    (found,) = run.ok("task", "get", "one", "--json").documents
    assert (found["status"], found["payload"]) == ("pending", {"n": 12345678901234567890})
    options = ("--scheduled-for", "2100-01-01T00:00:00+01:00", "--backoff", "1s", "--after", "one")
    (later,) = run.ok("task", "send", "b", *options, "--parent", "one", "--json").documents
    assert (later["payload"], later["backoffSchedule"], later["after"]) == (None, [1000], ["one"])
    assert later["scheduledFor"] == 4102441200000
    listed = run.ok("task", "list", "--parent", "one").out.split("\t")
    assert listed[:4] == [later["id"], "b", "pending", "0/3"]
    assert run.ok("task", "cancel", "one").out.split("\t")[2] == "cancelled"
    waited = run("task", "wait", "one", "--timeout", "1s")
    assert (waited.status, waited.err) == (1, "buntime: the task one is cancelled\n")
    assert run.ok("task", "retry", "one").out.split("\t")[2] == "pending"
    (leased,) = store.tasks.lease("me", ["a"])
    store.tasks.complete(leased.id, leased.token, {"b": b"x"})
    (done,) = run.ok("task", "wait", "one", "--json").documents
    assert done["result"] == {"b": {"__type": "uint8array", "value": "eA=="}}
    assert run.ok("task", "stats", "a").out == "a\t0\t0\t1\t0\t0\n"
    assert run.ok("task", "limits", "a", "--set", "--rate", "5/1m", "--json").documents == [
        {"maxRunning": None, "rate": {"count": 5, "per": 60000}}
    ]
    assert run.ok("task", "delete", "one", "--json").documents == [{"deleted": True}]
    missing = run("task", "delete", "one")
    assert (missing.status, missing.err) == (1, "buntime: there is no task one\n")


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (("get", "nobody"), 1, "nobody"),
        (("send", "a", "{"), 2, "--text takes a plain text"),
        (("send", "a", "--scheduled-for", "2030-01-01T00:00:00"), 2, "a time with its zone"),
        (("send", "a", "--scheduled-for", "soon"), 2, "a time with its zone"),
        (("limits", "a", "--max-running", "1"), 2, "add --set"),
        (("run", "--module", "nowhere.tasks"), 2, "There is no module nowhere: install it"),
        (("run", "--module", "json"), 2, "The module json has no function make_runner(kv)"),
        (("run", "--module", "a b"), 2, "'a b' is not the name of a module"),
        (("run", "--module", "json", "--drain", "soon"), 2, "--drain: Invalid duration"),
    ],
)
def test_what_is_wrong_is_said(
    run: Commands, arguments: tuple[str, ...], status: int, words: str
) -> None:
    done = run("task", *arguments)
    assert (done.status, done.out, words in done.err) == (status, "", True), done.err


def test_a_module_runs_until_it_is_told_to_end(
    run: Commands, store: Kv, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "worker.py").write_text(WORKER)
    monkeypatch.chdir(tmp_path)
    with run.process("task", "run", "--module", "worker") as process:
        doubled = store.tasks.send("double", 21)
        assert store.tasks.wait(doubled, "20s").result == 42
        slow = store.tasks.send("slow", 0.3)
        until((tmp_path / "began").exists)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
        assert process.stderr is not None
        assert process.stderr.read() == "buntime: worker runs tasks until Ctrl-C: double, slow\n"
    found = store.tasks.get(slow)
    assert found is not None
    assert (found.status, found.result) == ("completed", "drained")


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import nowhere", "ModuleNotFoundError: No module named 'nowhere'"),
        ("1 / 0", "cannot be imported: ZeroDivisionError: division by zero"),
        ("make_runner = lambda kv: kv", "must return what kv.runner() made"),
        ("make_runner = lambda kv: kv.runner()", "has no functions"),
        ("def make_runner(kv): kv.runner().add('a', print)", "make_runner of the module"),
    ],
)
def test_a_module_that_is_wrong(
    run: Commands, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, words: str
) -> None:
    name = f"wrong_{abs(hash(source))}"
    (tmp_path / f"{name}.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    done = run("task", "run", "--module", name)
    assert (done.status, words in done.err) == (2, True), done.err
