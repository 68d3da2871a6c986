"""The wire-level cases of the contract, each request answered by any of the workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from support.api import Api
from support.beside import opened_beside
from support.live import LiveServer, live_server
from support.vectors import read_vectors, run_vector
from support.workers import api_of_any

VECTORS = [
    vector
    for path in sorted(Path(__file__).parents[1].glob("*/vectors.jsonl"))
    for vector in read_vectors(path)
]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveServer]:
    with live_server(tmp_path_factory.mktemp("vectors"), workers=2) as server:
        yield server


@pytest.fixture
def api(shared: LiveServer) -> Iterator[Api]:
    """The API over an empty store."""
    with api_of_any(shared) as opened:
        opened.empty()
        for index in opened.json("GET", "/indexes"):
            opened.json("DELETE", "/indexes", {"prefix": index["prefix"]})
        with opened_beside(shared.folder / "data" / "_default.db") as database:
            database.execute("DELETE FROM kv_queue; DELETE FROM kv_dlq")
        yield opened


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["id"] for vector in VECTORS])
def test_vector(api: Api, vector: dict[str, Any]) -> None:
    run_vector(api, vector)
