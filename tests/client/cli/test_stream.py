from __future__ import annotations

from buntime_keyval import Kv
from client.cli.conftest import Commands


def test_the_stream(run: Commands, store: Kv) -> None:
    begin = run.ok("stream", "seq").out.strip()
    assert run.ok("stream", "seq", "--json").documents == [{"seq": int(begin)}]
    store.set(["a", 1], 1)
    store.set(["b"], 1)
    store.delete(["b"])
    lines = run.ok("stream", "get", begin).out.splitlines()
    assert [line.split("\t")[1:3] for line in lines] == [
        ["create", "a/1"],
        ["create", "b"],
        ["delete", "b"],
    ]
    (record,) = run.ok("stream", "get", begin, "--prefix", "a", "--json").documents
    assert (record["action"], record["key"]) == ("create", ["a", 1])
    assert run.ok("stream", "get", begin, "--action", "delete", "--limit", "9").out.count("\n") == 1
    assert run.ok("stream", "get", run.ok("stream", "seq").out.strip(), "--wait", "1ms").out == ""
    assert int(run.ok("stream", "trim", str(record["seq"])).out) > 0
    gone = run("stream", "get", begin)
    assert gone.status == 1
    assert "the stream begins with" in gone.err
