"""The wire-level cases of the contract about metrics."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.api import Api
from support.vectors import read_vectors, run_vector

pytestmark = [pytest.mark.engines("sqlite", "libsql", "rqlite", "postgres"), pytest.mark.slow]

VECTORS = read_vectors(Path(__file__).with_name("vectors.jsonl"))


@pytest.mark.parametrize("vector", VECTORS, ids=[vector["id"] for vector in VECTORS])
def test_vector(api: Api, vector: dict[str, Any]) -> None:
    run_vector(api, vector)
