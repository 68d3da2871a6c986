"""`buntime serve` in a folder where nobody has written a configuration."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import httpx2
import pytest

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from host.conftest import Serve


def test_a_store_is_served_and_kept(serve: Serve, tmp_path: Path) -> None:
    for expected in (1, 2):
        process = serve()
        body = {"mutations": [{"type": "sum", "key": ["n"], "value": 1}], "results": True}
        url = f"http://127.0.0.1:{process.port}/keyval/api/atomic"
        assert httpx2.post(url, json=body).json()["results"] == [expected]
        assert f"there is no buntime.jsonc in {tmp_path}: all installed plugins" in process.out
        process.signal()
        assert process.wait() == 0
    assert (tmp_path / ".data").is_dir()
