"""The log of requests, of one process and of workers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from buntime_host.workers import Group, Workers
from buntime_plugin_gateway.request_log import RequestLog, statistics


def note(log: RequestLog, at: float, path: str = "/a", status: int = 200) -> None:
    limited = status == 429
    log.add(((at, "192.0.2.1", "GET", path.encode(), at), status, at + 0.0015, limited))


@pytest.fixture
def group() -> Iterator[Group]:
    group = Group(2)
    yield group
    group.close()


def test_the_newest_are_kept_and_come_first() -> None:
    log = RequestLog(3, Workers.alone())
    for at in range(5):
        note(log, float(at), f"/{at}")
    assert [entry.path for entry in log.entries()] == ["/4", "/3", "/2"]
    log.clear(4.0)
    assert log.entries() == []
    note(log, 5.0)
    assert len(log.entries()) == 1


def test_entries_as_the_api_shows_them() -> None:
    log = RequestLog(3, Workers.alone())
    note(log, 1.25, "/\xff", 429)
    (entry,) = log.entries()
    assert entry.to_json() == {
        "id": "1250-0-1250000",
        "timestamp": 1250,
        "ip": "192.0.2.1",
        "method": "GET",
        "path": "/Ã¿",
        "status": 429,
        "duration": 1.5,
        "rateLimited": True,
    }


def test_statistics() -> None:
    log = RequestLog(9, Workers.alone())
    assert statistics(log.entries()) == {
        "total": 0, "rateLimited": 0, "byStatus": {}, "avgDuration": 0,
    }  # fmt: skip
    for at, status in enumerate((200, 204, 404, 429), 1):
        note(log, float(at), status=status)
    assert statistics(log.entries()) == {
        "total": 4,
        "rateLimited": 1,
        "byStatus": {"2xx": 2, "4xx": 2},
        "avgDuration": pytest.approx(1.5),
    }


def test_workers_see_what_the_others_have(group: Group) -> None:
    one, two = (RequestLog(10, Workers(number, group)) for number in range(2))
    note(one, 1.0, "/one")
    note(two, 2.0, "/two")
    one.share()
    two.share()
    assert [e.path for e in one.entries()] == [e.path for e in two.entries()] == ["/two", "/one"]
    assert len({entry.to_json()["id"] for entry in one.entries()}) == 2
    two.clear(1.5)
    assert [entry.path for entry in one.entries()] == ["/two"]


def test_more_than_the_memory_has_room_for(group: Group) -> None:
    one, two = (RequestLog(10, Workers(number, group)) for number in range(2))
    for at in range(10):
        note(one, float(at), "/" + "\xff" * 5000)
    one.share()
    shown = two.entries()
    assert shown
    assert shown[0].at == 9.0
    assert all(len(entry.path) <= 512 for entry in shown)
