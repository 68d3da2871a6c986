"""A key that ends at one worker ends at the other one, too, and so do its streams there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from buntime_host.access.gate import POLL_SECONDS
from support.live import DEFAULT_PLUGINS, LiveServer, live_server
from support.sse import event_stream
from support.waiting import PATIENCE
from support.workers import client_of, connect_to

MASTER = {"x-api-key": "the master key of these tests"}


@pytest.fixture
def keyed(tmp_path: Path) -> Iterator[LiveServer]:
    environ = {"RUNTIME_MASTER_KEY": MASTER["x-api-key"]}
    with live_server(tmp_path, {"plugins": DEFAULT_PLUGINS}, environ, workers=2) as running:
        yield running


def test_a_key_is_known_and_forgotten_everywhere(keyed: LiveServer) -> None:
    # So a worker or host that is not busy knows of a change within two seconds.
    assert POLL_SECONDS <= 1.0
    with client_of(keyed, 0) as one, client_of(keyed, 1) as two:
        made = one.post(
            f"{keyed.url}/api/keys",
            json={"name": "k", "permissions": ['keyval:read:["a"]']},
            headers=MASTER,
        )
        data = made.raise_for_status().json()["data"]
        own = {"x-api-key": data["key"]}

        def becomes(client: httpx2.Client, status: int) -> None:
            deadline = time.monotonic() + PATIENCE
            while client.get(f"{keyed.api}/keys/a", headers=own).status_code != status:
                assert time.monotonic() < deadline, status
                time.sleep(0.1)

        for client in (one, two):
            becomes(client, 404)
        with event_stream(
            keyed.api,
            "/watch/prefix",
            query={"prefix": "a"},
            headers=own,
            connection=connect_to(keyed, 1),
        ) as stream:
            assert stream.status == 200
            assert one.delete(f"{keyed.url}/api/keys/{data['id']}", headers=MASTER).is_success
            becomes(one, 401)
            becomes(two, 401)
            while (event := stream.next()) is not None:
                assert event.event != "change"
