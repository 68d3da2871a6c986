from __future__ import annotations

import pytest
from buntime_keyval import Kv
from client.cli.conftest import Commands


def test_send_and_receive(run: Commands, store: Kv) -> None:
    sent = run.ok("queue", "enqueue", '{"a": 1}').out.strip()
    assert run.ok("queue", "stats").out.splitlines()[0] == "pending\t1"
    assert run.ok("queue", "poll").out == f'{sent}\t1\t{{"a":1}}\n'
    run.ok("queue", "nack", sent, "--delay", "0", "--error", "no")
    (message,) = run.ok("queue", "poll", "--json").documents
    assert (message["id"], message["value"], message["attempts"]) == (sent, {"a": 1}, 2)
    run.ok("queue", "extend", sent, "--for", "1h", "--lease", message["lease"])
    run.ok("queue", "extend", sent)
    assert run("queue", "extend", sent, "--lease", "another").status == 1
    assert run("queue", "extend", sent, "--for", "0").status != 0
    done = run.ok("queue", "ack", sent, "--lease", message["lease"], "--json")
    assert done.documents == [{"ok": True}]
    assert run("queue", "poll") == (1, "", "buntime: no message is ready\n")
    stats = {"pending": 0, "processing": 0, "dlq": 0, "total": 0}
    assert run.ok("queue", "stats", "--json").documents == [stats]


@pytest.mark.parametrize("verb", ["ack", "nack", "extend"])
def test_a_message_that_is_not_there(run: Commands, store: Kv, verb: str) -> None:
    done = run("queue", verb, "nosuchid")
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    assert done.err.startswith("buntime: error: No message in the queue has the id nosuchid")


def test_options_of_a_message(run: Commands, store: Kv) -> None:
    run.ok("queue", "enqueue", "later", "--text", "--delay", "1h")
    assert run("queue", "poll").status == 1
    run.ok("queue", "enqueue", "-", "--once", "--undelivered", "failed/1", given="[2]")
    (message,) = run.ok("queue", "poll", "--json").documents
    run.ok("queue", "nack", message["id"], "--error", "bad\n\x1b[31mthing")
    assert store.get(["failed", 1]).value == [2]
    (letter,) = run.ok("dlq", "list", "--json").documents
    assert (letter["originalId"], letter["value"], letter["attempts"]) == (message["id"], [2], 1)
    assert letter["errorMessage"] == "bad\n\x1b[31mthing"
    cells = run.ok("dlq", "list").out.rstrip("\n").split("\t")
    assert cells[2:] == ["1", "bad\\u000a\\u001b[31mthing", "[2]"]
    again = run.ok("dlq", "requeue", letter["id"]).out.strip()
    assert run.ok("queue", "listen", "--limit", "1").out == f"{again}\t1\t[2]\n"
    run.ok("queue", "enqueue", "1", "--backoff", "1ms", "--backoff", "5")
    for _ in range(3):
        messages = run.ok("queue", "listen", "--limit", "1", "--json").documents
        assert messages[0]["attempts"] == 1
        run.ok("queue", "enqueue", "1", "--once")
    assert run("queue", "enqueue", "1", "--once", "--backoff", "1").status == 2


def test_named_queues(run: Commands, store: Kv) -> None:
    run.ok("queue", "enqueue", '"low"', "--queue", "work", "--priority", "-1")
    run.ok("queue", "enqueue", '"high"', "--queue", "work", "--once")
    assert run("queue", "poll").status == 1
    assert run.ok("queue", "stats", "--queue", "work").out.splitlines()[0] == "pending\t2"
    message_id, _, value = run.ok("queue", "poll", "--queue", "work").out.rstrip().split("\t")
    assert value == '"high"'
    run.ok("queue", "nack", message_id)
    assert run.ok("queue", "listen", "--queue", "work", "--limit", "1").out.endswith('"low"\n')
    assert run.ok("dlq", "list").out == ""
    assert run.ok("dlq", "list", "--queue", "work").out.endswith('"high"\n')
    assert run.ok("dlq", "purge", "--queue", "work", "--yes").out == "1\n"
    assert run("queue", "enqueue", "1", "--priority", "11").status == 2
    assert run("queue", "poll", "--queue", "x" * 257).status != 0


def test_what_is_settled_may_name_its_queue(run: Commands) -> None:
    run.ok("queue", "options", "--queue", "shop", "--set", "--lease", "1h")
    for value in ("1", "2", "3"):
        run.ok("queue", "enqueue", value, "--queue", "shop", "--once")
    taken = [run.ok("queue", "poll", "--queue", "shop", "--json").documents[0] for _ in range(3)]
    assert {it["queue"] for it in taken} == {"shop"}
    first, second, third = (it["id"] for it in taken)
    assert run("queue", "ack", first, "--queue", "other").status == 1
    run.ok("queue", "ack", first, "--queue", "shop", "--lease", taken[0]["lease"])
    run.ok("queue", "extend", second, "--queue", "shop")
    for message_id in (second, third):
        run.ok("queue", "nack", message_id, "--queue", "shop")
    letters = [it["id"] for it in run.ok("dlq", "list", "--queue", "shop", "--json").documents]
    assert run("dlq", "delete", letters[0], "--queue", "other").status == 1
    run.ok("dlq", "delete", letters[0], "--queue", "shop")
    run.ok("dlq", "requeue", letters[1], "--queue", "shop")
    assert run.ok("queue", "stats", "--queue", "shop").out.splitlines()[0] == "pending\t1"


def test_queues_as_such(run: Commands, store: Kv) -> None:
    for number in range(3):
        run.ok("queue", "enqueue", str(number), "--queue", "work", "--id", f"id-{number}")
    assert run.ok("queue", "enqueue", "9", "--queue", "work", "--id", "id-0").out == "id-0\n"
    assert run.ok("queue", "peek", "--queue", "work").out == "id-0\tready\t0\t0\t0\n"
    lines = run.ok("queue", "list", "--queue", "work").out.splitlines()
    assert [line.split("\t")[0] for line in lines] == ["id-0", "id-1", "id-2"]
    (one,) = run.ok("queue", "list", "--queue", "work", "--limit", "1", "--json").documents
    assert (one["id"], one["value"], one["state"], one["queue"]) == ("id-0", 0, "ready", "work")
    run.ok("queue", "pause", "--queue", "work")
    assert run("queue", "poll", "--queue", "work").status == 1
    assert "work\t3\t0\t0\tyes" in run.ok("queue", "names").out.splitlines()
    run.ok("queue", "resume", "--queue", "work")
    run.ok("queue", "options", "--queue", "work", "--set", "--max-running", "1", "--rate", "9/1m")
    (options,) = run.ok("queue", "options", "--queue", "work", "--json").documents
    assert (options["maxRunning"], options["rate"]) == (1, {"count": 9, "per": 60_000})
    assert run("queue", "options", "--queue", "work", "--max-running", "1").status == 2
    assert run("queue", "options", "--queue", "work", "--set", "--rate", "9").status == 2
    run.ok("queue", "poll", "--queue", "work")
    assert run("queue", "poll", "--queue", "work").status == 1
    assert run.ok("queue", "purge", "--queue", "work", "--yes").out == "3\n"
    run.ok("queue", "options", "--queue", "work", "--set")
    names = [it["queue"] for it in run.ok("queue", "names", "--json").documents]
    assert "work" not in names


def test_dead_letters(run: Commands, store: Kv) -> None:
    for value in (1, 2, 3):
        run.ok("queue", "enqueue", str(value), "--once")
        run.ok("queue", "nack", run.ok("queue", "poll").out.split("\t")[0])
    ids = [line.split("\t")[0] for line in run.ok("dlq", "list").out.splitlines()]
    assert len(ids) == 3
    assert len(run.ok("dlq", "list", "--limit", "1", "--offset", "1").out.splitlines()) == 1
    run.ok("dlq", "delete", ids[0])
    gone = run("dlq", "delete", ids[0])
    assert (gone.status, gone.err.strip()) == (1, f"buntime: {ids[0]} is not a dead letter")
    assert run.ok("dlq", "purge", "--json").documents == [{"deletedCount": 2}]
    done = run("dlq", "requeue", ids[0])
    assert (done.status, done.err.count("\n")) == (1, 1)


def test_search(run: Commands, store: Kv) -> None:
    store.set(["articles", 1], {"title": "React views", "status": "new"})
    store.set(["articles", 2], {"title": "Views of views", "status": "old"})
    run.ok("index", "create", "articles", "title", "--tokenize", "porter")
    assert run.ok("index", "list").out == "articles\ttitle\tporter\t2/2\tready\n"
    (index,) = run.ok("index", "list", "--json").documents
    assert (index["prefix"], index["fields"], index["ready"]) == (["articles"], ["title"], True)
    found = run.ok("search", "articles", "view", "--json").documents
    assert {entry["key"][1] for entry in found} == {1, 2}
    assert len(run.ok("search", "articles", "view", "--limit", "1").out.splitlines()) == 1
    done = run.ok("search", "articles", "view", "--where", '{"status": "new"}')
    assert done.out == 'articles/1\t{"title":"React views","status":"new"}\n'
    run.ok("index", "remove", "articles")
    done = run("search", "articles", "view")
    assert (done.status, done.err.count("\n")) == (1, 1)
    assert "No index found" in done.err


def test_hits_in_their_texts(run: Commands, store: Kv) -> None:
    store.set(["articles", 1], {"title": "React views", "text": "The views of one two three"})
    store.set(["articles", 2], {"title": "Other", "text": "A\tview"})
    run.ok("index", "create", "articles", "title", "text", "--tokenize", "porter")
    lines = run.ok("search", "articles", "view", "--highlight").out.splitlines()
    assert sorted(lines) == [
        "articles/1\ttext\tThe **views** of one two three",
        "articles/1\ttitle\tReact **views**",
        "articles/2\ttext\tA\\u0009**view**",
    ]
    lines = run.ok("search", "articles", "three", "--snippet", "2").out.splitlines()
    assert lines == ["articles/1\ttext\t…two **three**"]
    (hit,) = run.ok("search", "articles", "three", "--snippet", "2", "--json").documents
    assert hit["snippet"] == {"title": "React views", "text": "…two three"}
    assert "highlight" not in hit
    (hit,) = run.ok("search", "articles", "three", "--highlight", "--json").documents
    assert hit["highlight"]["text"] == "The views of one two <mark>three</mark>"
    assert hit["key"] == ["articles", 1]
    assert run("search", "articles", "three", "--snippet", "65").status == 2


def test_how_hits_were_found(run: Commands, store: Kv) -> None:
    store.set(["articles", 1], {"title": "Sugar", "text": "sweet"})
    store.set(["articles", 2], {"title": "Dessert", "text": "of sugar, cream and more than that"})
    run.ok("index", "create", "articles", "title", "text")
    done = run.ok("search", "articles", "title:sug*", "--explain")
    key, score, value = done.out.rstrip("\n").split("\t")
    assert (key, value) == ("articles/1", '{"title":"Sugar","text":"sweet"}')
    assert float(score) > 0
    lines = done.err.splitlines()
    assert lines[:2] == ["words by unicode61:", "  title:sug*: 1 of the entries"]
    assert "plan:" in lines
    done = run.ok("search", "articles", "sugar", "--explain", "--highlight")
    cells = [line.split("\t") for line in done.out.splitlines()]
    assert {(row[0], row[2]) for row in cells} == {("articles/1", "title"), ("articles/2", "text")}
    scores = [float(row[1]) for row in cells]
    assert scores == sorted(scores, reverse=True)
    explained, *hits = run.ok("search", "articles", "sugar", "--explain", "--json").documents
    (term,) = explained["explained"]["terms"]
    assert (term["text"], term["entries"], term["more"]) == ("sugar", 2, False)
    assert explained["explained"]["plan"]
    assert [hit["score"] for hit in hits] == sorted((it["score"] for it in hits), reverse=True)
    assert len(hits) == 2
    assert "score" not in run.ok("search", "articles", "sugar", "--json").documents[0]


def test_an_explanation_of_nothing_to_look_for(run: Commands, store: Kv) -> None:
    run.ok("index", "create", "articles", "title")
    done = run.ok("search", "articles", "\x1b[31m", "--explain")
    assert done.out == ""
    assert "\x1b" not in done.err
