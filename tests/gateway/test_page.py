"""The examples of the guide run, and print what it says; the configurations are good ones."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import pytest
from buntime_host import read_options
from buntime_host.options.jsonc import parse_jsonc
from buntime_plugin_gateway.config import GatewayConfig
from gateway.conftest import GATEWAY, Serve
from support.examples import parse_documents, read_examples, run_shell

PAGE = Path(__file__).parents[2] / "docs" / "gateway.md"


def options_of_the_page() -> list[dict[str, Any]]:
    """What its configurations say of the gateway: the first one is a file, others are parts."""
    blocks = re.findall(r"^```jsonc\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    (name, options), *others = parse_jsonc(blocks[0])["plugins"]
    assert (name, others) == (GATEWAY, [])
    return [options, *(parse_jsonc(f"{{{block}}}") for block in blocks[1:])]


def test_configurations() -> None:
    shown = options_of_the_page()
    assert {name for options in shown for name in options} == {"rateLimit", "cors", "cache"}
    for options in shown:
        read_options(GatewayConfig, options)


@pytest.mark.slow
def test_examples(serve: Serve, tmp_path: Path) -> None:
    examples = read_examples(PAGE)
    assert len(examples) == 6
    assert all(example.expected and parse_documents(example.expected) for example in examples)
    (tmp_path / "shell").mkdir()
    (tmp_path / "shell" / "index.html").write_text("<title>shell</title>")
    options = {name: value for shown in options_of_the_page() for name, value in shown.items()}
    options |= {"compression": {}, "shellDir": "shell"}
    # A bucket is forgotten once it is full again, which a busy machine may be too slow to see.
    options["rateLimit"] = {"requests": 1000, "window": "1d", "excludePaths": ["/gateway/**"]}
    with serve(stored=True, folder=tmp_path, **options) as server:
        before = ""
        for example in examples:
            whole = example._replace(text=f"{before}{example.text}")
            problems = run_shell(whole, {**os.environ, "HOST": server.url}, tmp_path)
            assert not problems, f"{example.line}: {problems}"
            before = before or f"{example.text.splitlines()[0]}\n"
