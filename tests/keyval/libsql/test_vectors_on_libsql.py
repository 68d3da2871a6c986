"""All wire-level cases of the contract against a server whose store is on libSQL servers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from support.api import Api
from support.vectors import read_vectors, run_vector

FILES = sorted(Path(__file__).parent.parent.glob("*/vectors.jsonl"))
VECTORS = {
    f"{file.parent.name} {vector['id']}": vector for file in FILES for vector in read_vectors(file)
}


@pytest.mark.parametrize("vector", VECTORS.values(), ids=VECTORS)
def test_vector(api: Api, vector: dict[str, Any]) -> None:
    run_vector(api, vector)
