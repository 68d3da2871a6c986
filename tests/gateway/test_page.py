"""The examples of the guide run, and print what it says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from gateway.conftest import Serve
from support.examples import parse_documents, read_examples, run_shell

PAGE = Path(__file__).parents[2] / "docs" / "gateway.md"


@pytest.mark.slow
def test_examples(serve: Serve, tmp_path: Path) -> None:
    examples = read_examples(PAGE)
    assert examples
    assert all(example.expected and parse_documents(example.expected) for example in examples)
    # A bucket is forgotten once it is full again, which a busy machine may be too slow to see.
    limit = {"requests": 1000, "window": "1d", "excludePaths": ["/gateway/**"]}
    with serve(stored=True, rateLimit=limit) as server:
        before = ""
        for example in examples:
            whole = example._replace(text=f"{before}{example.text}")
            problems = run_shell(whole, {**os.environ, "HOST": server.url}, tmp_path)
            assert not problems, f"{example.line}: {problems}"
            before = before or f"{example.text.splitlines()[0]}\n"
