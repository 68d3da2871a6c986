"""The `buntime` command. Heavy imports are inside the commands: `--help` should be quick."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import click

from buntime_host.commands.installed import ExtensibleGroup
from buntime_host.version import __version__

if TYPE_CHECKING:
    from buntime_host.config import HostConfig
    from buntime_host.plugins.plan import Plan

CONFIG = click.option(
    "--config",
    "config_path",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar="BUNTIME_CONFIG",
    help="Configuration file; by default ./buntime.jsonc, if it exists.",
)


FILE = click.Path(path_type=Path, dir_okay=False)
AS_JSON = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def main() -> None:
    """Entry point of the `buntime` command and of `python -m buntime_host`."""
    try:
        cli(prog_name="buntime")
    except OSError as error:
        # Commands report their own failures; this is output that cannot be written, as on a full
        # disk.
        _drop_stdout()
        raise _fatal(f"the output cannot be written: {error.strerror}") from error


@click.group(cls=ExtensibleGroup)
@click.version_option(__version__, prog_name="buntime")
def cli() -> None:
    """Serve plugins, and look after a host."""


@cli.command()
@CONFIG
@click.option("--host", help="Address to listen on; by default 127.0.0.1.")
@click.option(
    "--port", type=click.IntRange(0, 65535), help="Port; by default 8000. 0 takes a free one."
)
@click.option(
    "--workers",
    type=click.IntRange(1, 64),
    metavar="N",
    help="Number of processes that serve; by default 1.",
)
@click.option("--socket", type=FILE, help="Unix socket to listen on, instead of host and port.")
@click.option("--tls-cert", type=FILE, help="Certificate and chain for HTTPS.")
@click.option("--tls-key", type=FILE, help="Private key, if it is in another file.")
@click.option("--strict", is_flag=True, help="Refuse to start if a plugin does not load.")
@click.option("--insecure", is_flag=True, help="Allow access from other machines without a key.")
@click.option("--reload", is_flag=True, help="Restart when a plugin or the configuration changes.")
def serve(
    config_path: Path | None,
    host: str | None,
    port: int | None,
    workers: int | None,
    socket: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    strict: bool,
    insecure: bool,
    reload: bool,
) -> None:
    """Load the plugins and serve them.

    Example: buntime serve --port 9000 --workers 4
    """
    if socket is not None and (host is not None or port is not None):
        raise click.UsageError("--socket takes the place of --host and --port.")
    if reload:
        _serve_again(config_path)
    import msgspec

    from buntime_host.errors import StartupError
    from buntime_host.host import Host
    from buntime_host.observe.logs import configure_logging
    from buntime_host.processes import server, supervisor

    given = {"host": host, "port": port, "workers": workers, "strict": strict or None}
    overrides: dict[str, Any] = {name: it for name, it in given.items() if it is not None}
    # An address that is given here wins over a socket of the file.
    if socket is not None or host is not None or port is not None:
        overrides["socket"] = "" if socket is None else str(socket.absolute())
    files = {"cert": tls_cert, "key": tls_key}
    if any(files.values()):
        overrides["tls"] = {name: str(path.absolute()) for name, path in files.items() if path}
    config = _load(config_path, overrides)
    config = _as_served(msgspec.structs.replace(config, insecure=insecure))
    configure_logging(config.log_level, config.log_format)
    try:
        alone = config.workers == 1
        code = server.serve(Host(config)) if alone else supervisor.supervise(config)
    except StartupError as error:
        raise _fatal(error, config_path) from error
    raise SystemExit(code)


def _serve_again(config_path: Path | None) -> NoReturn:
    """Run the server in a process of its own, which is restarted after every change."""
    from functools import partial

    from buntime_host.commands.reload import serve_again, watched_paths
    from buntime_host.config import FILE_NAME
    from buntime_host.observe.logs import configure_logging

    configure_logging("info", "pretty")
    arguments = [argument for argument in sys.argv[1:] if argument != "--reload"]
    with _told(None, hints=False):
        code = serve_again(arguments, partial(watched_paths, config_path or Path(FILE_NAME)))
    raise SystemExit(code)


@cli.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), default=".")
@click.option(
    "--template",
    type=click.Choice(["app", "plugin"]),
    default="app",
    show_default=True,
    help="app: a host with a store. plugin: a plugin of your own, with a host to try it.",
)
def init(folder: Path, template: str) -> None:
    """Write a configuration, with comments, into FOLDER.

    By default that is the working directory. If one of the files exists, nothing is written and the
    status is 1.

    Example: buntime init shop
    """
    from buntime_host.commands.initialise import write_project

    with _told(None, hints=False):
        for path in write_project(template, folder):
            click.echo(f"wrote {path}")
    there = "" if folder == Path() else f"cd {shlex.quote(str(folder))}; "
    click.echo(f"Try it: {there}buntime serve{' --reload' if template == 'plugin' else ''}")


@cli.command("new-plugin")
@click.argument("name")
@click.option(
    "--in",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default="plugins",
    show_default=True,
    help="Folder of plugins, in which the new one gets its own.",
)
def new_plugin(name: str, folder: Path) -> None:
    """Write a working plugin: a route, a page, an option, and tests.

    NAME is the name of the plugin, and its path. If one of the files exists, nothing is written and
    the status is 1.

    Example: buntime new-plugin my-counter
    """
    from buntime_host.commands.initialise import write_plugin
    from buntime_host.plugins.discovery import discover

    with _told(None, hints=False):
        for path in write_plugin(name, folder, discover([folder], dirs_win=True)):
            click.echo(f"wrote {path}")
    click.echo(
        f'Name it in "plugins" of buntime.jsonc, as "{name}"; without that key it runs as it is.\n'
        f"Try it: pytest {folder / name}; buntime serve --reload"
    )


@cli.command()
@CONFIG
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def plugins(config_path: Path | None, as_json: bool) -> None:
    """List the plugins: which load, in which order, and why others do not.

    Example: buntime plugins --json
    """
    import msgspec

    config = _load(config_path)
    plan = _plan(config)
    rows = _rows(config, plan)
    if as_json:
        problems = {"warnings": plan.warnings, "errors": [str(error) for error in plan.errors]}
        text = msgspec.json.format(msgspec.json.encode({"plugins": rows, **problems}))
        click.echo(text)
        return
    _print_table(rows)
    for row in rows:
        if row["order"] is not None and row["publicRoutes"]:
            routes = msgspec.json.encode(row["publicRoutes"]).decode()
            click.echo(f"{row['name']} needs no credential for {routes}", err=True)
    _print_remarks(plan)


@cli.command()
@CONFIG
@click.option("--strict", is_flag=True, help="Also fail if a plugin would not load.")
@click.option(
    "--open",
    "opens",
    is_flag=True,
    help="Also run the plugins and open their databases, which migrates these.",
)
def check(config_path: Path | None, strict: bool, opens: bool) -> None:
    """Check the configuration, the manifests and the plugins' code.

    Plugins are imported and created, but not initialised: nothing is opened without --open.

    Example: buntime check --strict
    """
    config = _as_served(_load(config_path, {"strict": True} if strict else None))
    plan = _plan(config)
    rows = _rows(config, plan)
    _print_remarks(plan)
    failed = [f"{row['name']}: {row['problem']}" for row in rows if row["problem"]]
    if not plan.errors:
        from buntime_host.commands.examine import examine

        findings = examine(plan, timeout=config.init_timeout)
        for warning in findings.warnings:
            click.echo(f"buntime: warning: {warning}", err=True)
        failed += findings.problems
    for text in failed:
        click.echo(f"buntime: {' '.join(text.split())}", err=True)
    if plan.errors or failed:
        raise SystemExit(1)
    if config.path is None:
        click.echo(f"buntime: {_no_configuration(config.base_dir)}", err=True)
    if opens:
        from buntime_host.commands.trial import find_problems

        problems = find_problems(config)
        for problem in problems:
            click.echo(f"buntime: {' '.join(problem.split())}", err=True)
        if problems:
            raise SystemExit(1)
    names = [plugin.manifest.name for plugin in plan.order]
    click.echo(f"ok: {len(names)} plugins" + "".join(f"\n  {name}" for name in names))


@cli.command()
@CONFIG
@click.option("--no-open", is_flag=True, help="Do not run the plugins or open their databases.")
@AS_JSON
def doctor(config_path: Path | None, no_open: bool, as_json: bool) -> None:
    """Find problems that keep a host from running here, and say how to solve them.

    Looks at the machine, the configuration, and the data of the plugins. The status is 1 if a host
    cannot serve until something is done.

    Example: buntime doctor --no-open
    """
    from buntime_host.commands import doctor
    from buntime_host.commands.trial import find_problems

    config = _as_served(_load(config_path))
    plan = _plan(config)
    findings = [*doctor.examine(config, plan)]
    if not no_open and not plan.errors:
        findings += doctor.of_plugins(find_problems(config, thorough=True))
    raise SystemExit(doctor.tell(findings, as_json=as_json))


@cli.group()
def keys() -> None:
    """Create, show and revoke access keys.

    Run this where the host is configured, whether it runs or not.
    """


@keys.command("create")
@CONFIG
@click.option("--name", required=True, help="What the key is for.")
@click.option(
    "--grant",
    "grants",
    multiple=True,
    metavar="SCOPE",
    help='A permission, such as keyval:read:["users"]; repeatable.',
)
@click.option("--role", help="admin, editor or viewer, instead of --grant.")
@click.option(
    "--expires", metavar="TIME", help="A lifetime such as 90d, 2w, 6m or 1y; by default never."
)
@click.option("--description", help="A longer description.")
@click.option("--limits", metavar="JSON", help="Limits for requests with this key, by plugin.")
@AS_JSON
def create_key(
    config_path: Path | None,
    name: str,
    grants: tuple[str, ...],
    role: str | None,
    expires: str | None,
    description: str | None,
    limits: str | None,
    as_json: bool,
) -> None:
    """Create a key and print it. It is not shown again.

    Example: buntime keys create --name reports --role viewer --expires 90d
    """
    from buntime_host.commands import key_commands

    with _told(config_path):
        wanted = key_commands.wanted(name, grants, role, expires, description, limits)
        made = key_commands.run(_load(config_path), lambda keys, by: keys.create(wanted, by))
        key_commands.print_made(made, as_json=as_json)


@keys.command("list")
@CONFIG
@AS_JSON
def list_keys(config_path: Path | None, as_json: bool) -> None:
    """List all keys, without their secrets.

    Example: buntime keys list
    """
    from buntime_host.commands import key_commands

    with _told(config_path):
        rows = key_commands.run(_load(config_path), key_commands.all_rows)
        key_commands.print_rows(rows, as_json=as_json)


@keys.command("show")
@CONFIG
@click.argument("key_id", metavar="ID")
@AS_JSON
def show_key(config_path: Path | None, key_id: str, as_json: bool) -> None:
    """Show one key, without its secret.

    Example: buntime keys show k3v9x2ab
    """
    from buntime_host.commands import key_commands

    with _told(config_path):
        row = key_commands.run(_load(config_path), key_commands.one_row(key_id))
        key_commands.print_row(row, as_json=as_json)


@keys.command("revoke")
@CONFIG
@click.argument("key_id", metavar="ID")
@AS_JSON
def revoke_key(config_path: Path | None, key_id: str, as_json: bool) -> None:
    """Revoke a key. Hosts notice within two seconds.

    Example: buntime keys revoke k3v9x2ab
    """
    from buntime_host.commands import key_commands

    with _told(config_path):
        key_commands.run(_load(config_path), lambda keys, _: keys.revoke(key_id))
        click.echo('{"success": true}' if as_json else f"{key_id} is revoked")


@keys.command("rotate")
@CONFIG
@click.argument("key_id", metavar="ID")
@click.option(
    "--grace", default="24h", show_default=True, help="How long the old secret stays valid."
)
@AS_JSON
def rotate_key(config_path: Path | None, key_id: str, grace: str, as_json: bool) -> None:
    """Give a key a new secret and print it. It is not shown again.

    Example: buntime keys rotate k3v9x2ab --grace 1h
    """
    from buntime_host.commands import key_commands

    with _told(config_path):
        run = key_commands.run
        made = run(_load(config_path), lambda keys, by: keys.rotate(key_id, grace, by))
        key_commands.print_made(made, as_json=as_json)


@contextmanager
def _told(config_path: Path | None, *, hints: bool = True) -> Iterator[None]:
    """Print failures as one line; with `hints` also that there is no configuration."""
    from buntime_host.errors import BuntimeError

    try:
        yield
    except BuntimeError as error:
        raise _fatal(error if hints else str(error), config_path) from error


def _load(path: Path | None, overrides: dict[str, Any] | None = None) -> HostConfig:
    from buntime_host.config import load_config
    from buntime_host.errors import StartupError

    try:
        return load_config(path, overrides=overrides)
    except StartupError as error:
        raise _fatal(error, path) from error


def _as_served(config: HostConfig) -> HostConfig:
    """Use what plugins take where there is no file, for commands that do what `serve` does."""
    from buntime_host.config import without_file

    return without_file(config) if config.path is None else config


def _plan(config: HostConfig) -> Plan:
    from buntime_host.plugins.plan import make_plan

    return make_plan(config)


def _drop_stdout() -> None:
    """Keep the end of the process from trying again to write what could not be written."""
    with suppress(OSError, ValueError, AttributeError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def _fatal(error: Exception | str, config_path: Path | None = None) -> SystemExit:
    """Exit with one line; the missing configuration may be the reason."""
    from buntime_host.config import FILE_NAME
    from buntime_host.errors import StartupError

    text = " ".join(str(error).split())
    if isinstance(error, StartupError) and config_path is None and not Path(FILE_NAME).exists():
        text = f"{text.rstrip('.')}; {_no_configuration(Path.cwd())}"
    click.echo(f"buntime: error: {text}", err=True)
    return SystemExit(1)


def _no_configuration(folder: Path) -> str:
    from buntime_host.config import FILE_NAME

    return f"there is no {FILE_NAME} in {folder}: `buntime init` writes one, --config names another"


def _rows(config: HostConfig, plan: Plan) -> list[dict[str, Any]]:
    """One row per plugin: those to load in order, then the excluded ones, then the unlisted
    ones.
    """
    from buntime_host.plugins.plan import statuses

    chosen = {plugin.manifest.name: plugin for plugin in plan.selection.plugins}
    rows: list[dict[str, Any]] = []
    for index, status in enumerate(statuses(config, plan).values()):
        loads = status.state == "loading"
        problem = chosen[status.name].problem
        rows.append(
            {
                "order": index + 1 if loads else None,
                "name": status.name,
                "version": status.version,
                "base": status.base,
                "state": "enabled" if loads else status.state,
                "source": status.source,
                "path": status.path,
                "publicRoutes": chosen[status.name].manifest.public_routes,
                "reason": status.reason or problem,
                "problem": problem or (status.reason if status.state == "excluded" else None),
            }
        )
    for found in plan.selection.not_listed:
        manifest = found.manifest
        rows.append(
            {
                "order": None,
                "name": manifest.name,
                "version": manifest.version,
                "base": manifest.base,
                "state": "not listed",
                "source": found.source,
                "path": str(manifest.dir),
                "publicRoutes": manifest.public_routes,
                "reason": "not in plugins of the configuration",
                "problem": None,
            }
        )
    return rows


def _print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    if not rows or sys.stdout is None:
        click.echo("no plugins found")
        return
    console = Console()
    columns = ("order", "name", "version", "base", "state", "source", "reason")
    if not console.is_terminal:
        for row in rows:
            click.echo("\t".join("-" if row[name] is None else str(row[name]) for name in columns))
        return
    table = Table(*columns)
    for row in rows:
        table.add_row(*("" if row[name] is None else str(row[name]) for name in columns))
    console.print(table)


def _print_remarks(plan: Plan) -> None:
    for warning in plan.warnings:
        click.echo(f"buntime: warning: {warning}", err=True)
    for error in plan.errors:
        click.echo(f"buntime: error: {error}", err=True)
