from __future__ import annotations

from buntime_keyval import Kv
from client.cli.conftest import Commands


def test_a_lock_by_hand(run: Commands, store: Kv) -> None:
    assert run("lock", "status", "a") == (1, "", "buntime: no owner holds the lock a\n")
    token = run.ok("lock", "acquire", "a", "w1", "--for", "1h", "--metadata", '{"b":1}').out.strip()
    assert run.ok("lock", "acquire", "a", "w1").out.strip() == token
    refused = run("lock", "acquire", "a", "w2", "--wait", "5ms")
    assert (refused.status, refused.out) == (1, "")
    assert "The lock a is held by w1" in refused.err
    (found,) = run.ok("lock", "status", "a", "--json").documents
    assert (found["owner"], found["token"], found["metadata"]) == ("w1", token, {"b": 1})
    assert run.ok("lock", "list", "a").out.split("\t")[:2] == ["a", "w1"]
    assert run("lock", "release", "a", "w2") == (1, "", "buntime: w2 does not have the lock a\n")
    (stolen,) = run.ok("lock", "steal", "a", "w2", "--json").documents
    assert stolen["token"] > token
    assert run("lock", "release", "a", "w2", "--lease", token).status == 1
    released = run.ok("lock", "release", "a", "w2", "--lease", stolen["token"], "--json")
    assert released.documents == [{"released": True}]
    assert run.ok("lock", "list").out == ""
    for metadata in ("{", "\udcff", '"\udcff"', "[" * 100_000):
        assert run("lock", "acquire", "a", "w", "--metadata", metadata).status == 2
