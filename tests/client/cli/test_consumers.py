from __future__ import annotations

from buntime_keyval import Kv
from client.cli.conftest import Commands


def test_consumers(run: Commands, store: Kv) -> None:
    begin = run.ok("stream", "seq").out.strip()
    (made,) = run.ok("consumer", "position", "mailer", begin, "--json").documents
    assert (made["position"], made["lag"], made["failing"]) == (int(begin), 0, None)
    store.set(["a", 1], 1)
    store.set(["b"], 1)
    (line,) = run.ok("consumer", "list", "mail").out.splitlines()
    assert line.split("\t")[:5] == ["mailer", begin, "2", "-", "-"]
    assert run.ok("consumer", "status", "mailer").out.splitlines() == [line]
    (record,) = run.ok("consumer", "peek", "mailer", "--prefix", "a", "--json").documents
    assert (record["action"], record["key"]) == ("create", ["a", 1])
    assert len(run.ok("consumer", "peek", "mailer", "--limit", "1").out.splitlines()) == 1
    batch = store.consumers.fetch("mailer", "w1")
    failed = store.consumers.nack("mailer", batch.token, record["seq"], error="x", max_attempts=1)
    assert failed.dead
    (letter,) = run.ok("consumer", "dead", "mailer", "--json").documents
    assert (letter["key"], letter["error"], letter["requeued"]) == (["a", 1], "x", False)
    assert run.ok("consumer", "dead", "mailer").out.split("\t")[2] == "a/1"
    assert run.ok("consumer", "requeue", "mailer").out == "1\n"
    assert run.ok("consumer", "forget", "mailer", str(record["seq"]), "--json").documents == [
        {"deleted": 1}
    ]
    assert run("consumer", "release", "mailer", "w2").status == 1
    assert run.ok("consumer", "release", "mailer", "w1", "--json").documents == [{"released": True}]
    assert run.ok("consumer", "delete", "mailer", "--json").documents == [{"deleted": True}]
    for gone in ("delete", "status"):
        missing = run("consumer", gone, "mailer")
        assert (missing.status, missing.err) == (1, "buntime: there is no consumer mailer\n")
