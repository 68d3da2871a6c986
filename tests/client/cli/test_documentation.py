"""The guide of the command line runs, prints what it says, and names every command."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from buntime_keyval.cli import kv
from click import Command, Group
from support.examples import read_examples, run_shell
from support.forking import forking_program
from support.live import LiveServer

GUIDE = Path(__file__).parents[3] / "docs" / "cli.md"


@pytest.mark.slow
def test_the_guide_runs(server: LiveServer, tmp_path: Path) -> None:
    program = forking_program("buntime_host", "buntime")
    path = os.pathsep.join([str(program.parent), os.environ["PATH"]])
    folder = tmp_path / "work"
    folder.mkdir()
    examples = read_examples(GUIDE)
    assert len(examples) > 8
    for example in examples:
        if example.expected is not None:  # of JSON, between lines for people
            script = f"{{\n{example.text}\n}} | grep '^{{'"
            example = example._replace(text=script)
        problems = run_shell(example, {"BUNTIME_KV_URL": server.api, "PATH": path}, folder)
        assert not problems, f"line {example.line}: {problems}"


def test_the_guide_names_every_command() -> None:
    text = GUIDE.read_text("utf-8")

    def check(command: Command, path: str) -> None:
        if isinstance(command, Group):
            for name, inner in command.commands.items():
                check(inner, f"{path} {name}")
        else:
            assert path in text, path
            for option in command.params:
                long = [name for name in option.opts if name.startswith("--")]
                assert not long or long[0] in text, f"{path} {long[0]}"

    check(kv, "buntime kv")
