"""Commands of installed packages: listed without importing them, and loaded when called."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from inspect import cleandoc
from pathlib import Path

import pytest
from buntime_host.cli import cli
from click import Command, Context, Group
from click.testing import CliRunner, Result

Install = Callable[[str, str], None]

MODULE = """
import click

@click.command()
@click.argument("name")
def hello(name):
    click.echo(f"hello {name}")
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Installs a package `extra` with some entry points and a module of a name of its own."""

    def write(entry_points: str, module: str) -> None:
        info = tmp_path / "extra-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: extra\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[buntime.commands]\n{entry_points}\n")
        (tmp_path / f"extra_{tmp_path.name}.py").write_text(module)
        monkeypatch.syspath_prepend(str(tmp_path))

    return write


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, arguments)


def test_a_command_of_a_package(install: Install, tmp_path: Path) -> None:
    install(f"hello = extra_{tmp_path.name}:hello", MODULE)
    assert re.search(r"^  hello +From extra\.$", run("--help").stdout, re.MULTILINE)
    assert run("hello", "Ada").stdout == "hello Ada\n"
    assert run("hello").exit_code == 2
    assert run("helo").exit_code == 2


@pytest.mark.parametrize(
    "module",
    [
        MODULE.replace("    click.echo", '    """Greet somebody. Kindly."""\n    click.echo'),
        '"""Greet somebody."""\nfrom elsewhere import hello\n',
        '"""Greet somebody."""\n1 / 0\n',
    ],
)
def test_it_says_what_it_is_for_and_is_not_imported(
    install: Install, tmp_path: Path, module: str
) -> None:
    install(f"hello = extra_{tmp_path.name}:hello", module)
    assert re.search(r"^  hello +Greet somebody\.$", run("--help").stdout, re.MULTILINE)


def test_ours_say_what_they_are_for() -> None:
    listed = run("--help").stdout
    assert "  kv          Read, write and watch a key-value store.\n" in listed
    assert "  move        Move the key-value store to another database" in listed
    assert "From buntime" not in listed


def test_the_commands_of_the_host_win(install: Install, tmp_path: Path) -> None:
    install(f"check = extra_{tmp_path.name}:hello", MODULE)
    listed = run("--help").stdout
    assert listed.count("\n  check ") == 1
    assert "extra" not in listed
    assert "--config" in run("check", "--help").stdout


@pytest.mark.parametrize(
    ("value", "module", "reason"),
    [
        ("extra_{}:hello", "1/0", "ZeroDivisionError: division by zero"),
        ("extra_{}:gone", MODULE, "AttributeError: module 'extra_{}' has no attribute 'gone'"),
        ("extra_{}_gone:hello", "", "ModuleNotFoundError: No module named 'extra_{}_gone'"),
        ("extra_{}:click", MODULE, "extra_{}:click is not a click command"),
    ],
)
def test_a_broken_one_is_told_in_a_line(
    install: Install, tmp_path: Path, value: str, module: str, reason: str
) -> None:
    install(f"hello = {value.format(tmp_path.name)}", module)
    assert run("--help").exit_code == 0
    done = run("hello", "Ada")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == (
        "buntime: error: the command hello of extra cannot be loaded: "
        f"{reason.format(tmp_path.name)}\n"
    )


@pytest.mark.parametrize(
    ("arguments", "absent"),
    [
        (["--help"], {"buntime_keyval", "httpx2", "rich", "msgspec"}),
        (["kv", "--help"], {"httpx2", "rich", "starlette"}),
    ],
)
def test_help_imports_nothing_that_it_does_not_need(arguments: list[str], absent: set[str]) -> None:
    code = (
        "import sys\nfrom buntime_host.cli import cli\n"
        f"cli({arguments}, standalone_mode=False)\n"
        f"sys.exit(str({absent} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "kv" in done.stdout
    assert done.stderr.strip() == "set()"


def test_every_command_is_described_with_an_example_that_parses() -> None:
    def check(command: Command, name: str, above: Context | None) -> None:
        assert command.help, name
        context = Context(command, info_name=name, parent=above)
        if isinstance(command, Group):
            for inner in command.list_commands(context):
                found = command.get_command(context, inner)
                assert found is not None
                check(found, inner, context)
            return
        example = re.search(r"^Example: (.+)$", cleandoc(command.help), re.MULTILINE)
        assert example is not None, context.command_path
        path, words = context.command_path.split(), shlex.split(example[1])
        path = path[path.index(words[0]) :]  # `kv` is a program by itself too
        assert words[: len(path)] == path
        command.make_context(name, words[len(path) :], parent=above)

    check(cli, "buntime", None)
