"""Commands that installed packages add to `buntime`, by the entry points `buntime.commands`.

The name of an entry point is that of the command, its value `module:command` a click command. It is
imported when it is called, not when it is listed. A command of the host wins over an installed one
of the same name.
"""

from __future__ import annotations

import ast
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "buntime.commands"


class ExtensibleGroup(click.Group):
    """A group whose further commands come from entry points."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The host's own commands and the installed ones."""
        return sorted({*super().list_commands(ctx), *_entry_points()})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """A command of the host, or else an installed one, imported now."""
        command = super().get_command(ctx, cmd_name)
        if command is not None:
            return command
        entry_point = _entry_points().get(cmd_name)
        return None if entry_point is None else _load(entry_point)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List all commands; the installed ones with help texts read from their source."""
        rows: list[tuple[str, str]] = []
        entry_points = _entry_points()
        for name in self.list_commands(ctx):
            command = super().get_command(ctx, name)
            if command is None:
                command = click.Command(name, help=_described(entry_points[name]))
            if command.hidden:
                continue
            rows.append((name, command.get_short_help_str(formatter.width)))
        with formatter.section("Commands"):
            formatter.write_dl(rows)


def _entry_points() -> dict[str, EntryPoint]:
    from importlib.metadata import entry_points

    found: dict[str, EntryPoint] = {}
    for entry_point in entry_points(group=GROUP):
        found.setdefault(entry_point.name, entry_point)
    return found


def _described(entry_point: EntryPoint) -> str:
    """The docstring of the function, or else of the module, read without importing either; the
    origin of the command if neither has one.
    """
    module = _source(entry_point.module)
    found: str | None = None
    if module is not None:
        functions = (it for it in module.body if isinstance(it, ast.FunctionDef))
        function = next((it for it in functions if it.name == entry_point.attr), None)
        found = ast.get_docstring(module if function is None else function)
    return found or f"From {_origin(entry_point)}."


def _source(module: str) -> ast.Module | None:
    """The source of a module; None where it cannot be read."""
    package, *inner = module.split(".")
    try:
        spec = find_spec(package)  # that of a package inside another one would import that
        if spec is None or spec.origin is None:
            return None
        path = Path(spec.origin).parent.joinpath(*inner) if inner else Path(spec.origin)
        if path.is_dir():
            path /= "__init__.py"
        return ast.parse(path.with_suffix(".py").read_bytes())
    except (ImportError, ValueError, OSError, SyntaxError):
        return None


def _load(entry_point: EntryPoint) -> click.Command:
    try:
        command: Any = entry_point.load()
    except Exception as error:
        raise _broken(entry_point, f"{type(error).__name__}: {error}") from error
    if not isinstance(command, click.Command):
        raise _broken(entry_point, f"{entry_point.value} is not a click command")
    return command


def _broken(entry_point: EntryPoint, reason: str) -> SystemExit:
    text = f"the command {entry_point.name} of {_origin(entry_point)} cannot be loaded: {reason}"
    click.echo(f"buntime: error: {' '.join(text.split())}", err=True)
    return SystemExit(1)


def _origin(entry_point: EntryPoint) -> str:
    return entry_point.dist.name if entry_point.dist is not None else entry_point.value
