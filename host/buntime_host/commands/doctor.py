"""`buntime doctor`: finds what keeps a host from running here, and says what to do about it.

It looks at the machine and the configuration first, then at what plugins report once they run. It
changes nothing but what a start changes: plugins bring their databases up to date.
"""

from __future__ import annotations

import ctypes
import os
import platform
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

import click
import msgspec

from buntime_host.access.trusted_hosts import is_loopback
from buntime_host.config import HostConfig
from buntime_host.errors import BindError
from buntime_host.plugins.plan import Plan
from buntime_host.version import __version__

LIBRARIES = ("starlette", "uvicorn", "uvloop", "httptools", "msgspec", "pluggy", "apsw")
"""Packages whose versions matter to whoever is asked for help."""

FILES_BESIDE_CONNECTIONS = 200
"""Descriptors that a host needs for its own files of databases, logs and sockets."""

MIB = 1024**2
LITTLE_DISK, NO_DISK = 1024 * MIB, 100 * MIB
"""Free bytes below which there is a warning, and below which databases soon refuse writes."""

CLOCK_SLACK_SECONDS = 60
OLDEST_CLOCK = 1_767_225_600
"""1 January 2026: a correct clock is later."""
_TIME_ERROR = 5
_TIMEX_BYTES = 512


class Finding(msgspec.Struct, frozen=True, omit_defaults=True):
    """The result of one check."""

    about: str
    state: Literal["ok", "warning", "failure"]
    text: str
    advice: str = ""
    """What to do about it; empty if nothing is wrong."""


def ok(about: str, text: str) -> Finding:
    """A result without a problem."""
    return Finding(about, "ok", text)


def examine(config: HostConfig, plan: Plan) -> Iterator[Finding]:
    """Run all checks that need no plugin to run."""
    yield from versions()
    yield from configuration(config, plan)
    yield from port(config)
    yield from access(config)
    yield from permissions(config)
    yield from open_files(config)
    yield from disk(config.base_dir)
    yield from clock(config)


def versions() -> Iterator[Finding]:
    """Versions of what runs here."""
    found = []
    for name in LIBRARIES:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            found.append(f"no {name}")
    python = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    yield ok("versions", f"buntime {__version__}, {python}, {', '.join(found)}")


def configuration(config: HostConfig, plan: Plan) -> Iterator[Finding]:
    """Check the configuration and the manifests."""
    about = "configuration"
    for text in dict.fromkeys((*config.warnings, *plan.warnings)):
        yield Finding(about, "warning", text, "correct it, or nothing of it is in force")
    for error in plan.errors:
        yield Finding(about, "failure", str(error), "correct it: no host starts with it")
    for plugin in plan.selection.plugins:
        if plugin.problem:
            text = f"{plugin.manifest.name}: {plugin.problem}"
            yield Finding(about, "failure", text, "correct its options, or take it out of plugins")
    if config.path is None:
        text = f"there is no file in {config.base_dir}: installed plugins run with their defaults"
        yield Finding(about, "warning", text, "`buntime init` writes one, --config names another")
    elif not plan.errors:
        yield ok(about, f"{config.path}: {len(plan.order)} plugins in order")


def port(config: HostConfig) -> Iterator[Finding]:
    """Check that the address is free."""
    from buntime_host.processes.server import listen, remove_path

    try:
        listen(config).close()
        remove_path(config)
    except BindError as error:
        advice = (
            f"end what listens there (`ss -ltnp 'sport = :{config.port}'` shows it; perhaps it is"
            " this host), or use another port: --port, PORT"
        )
        if config.port and config.port < 1024 and hasattr(os, "geteuid") and os.geteuid():
            advice = "use a port from 1024 on, behind a proxy, or grant CAP_NET_BIND_SERVICE"
        yield Finding("port", "failure", str(error), advice)
    else:
        where = config.socket_path or f"{config.host} port {config.port}"
        yield ok("port", f"{where} is free")


def access(config: HostConfig) -> Iterator[Finding]:
    """Check who gets in."""
    about = "access"
    if is_loopback(config.host) or config.master_key is not None or config.auth.jwt.is_configured:
        yield ok(about, f"{config.host} is open only to this machine, or with a credential")
    else:
        yield Finding(
            about,
            "warning",
            f"other machines can reach {config.host}, and no master key is set",
            "set RUNTIME_MASTER_KEY, or create a key (`buntime keys create`): without one, the host"
            " refuses to start",
        )
    path = config.path
    if path is not None and os.name == "posix" and path.stat().st_mode & stat.S_IROTH:
        content = path.read_text("utf-8-sig", "replace")
        if "masterKey" in content and config.master_key and config.master_key in content:
            text = f"{path} has the master key, and everybody on this machine may read it"
            advice = f"keep it in RUNTIME_MASTER_KEY; chmod o-r {path}"
            yield Finding(about, "warning", text, advice)


def permissions(config: HostConfig) -> Iterator[Finding]:
    """Check that this user may write where a host has to."""
    for folder in dict.fromkeys((config.state_folder, config.base_dir)):
        there = next(path for path in (folder, *folder.parents) if path.exists())
        if there.is_dir() and os.access(there, os.W_OK | os.X_OK):
            yield ok("permissions", f"{folder} can be written")
        else:
            yield Finding(
                "permissions",
                "warning",
                f"{folder} cannot be written by this user",
                f"give {there} to the user that the host runs as, or set stateDir",
            )


def open_files(config: HostConfig) -> Iterator[Finding]:
    """Check that there are descriptors for all connections that are allowed."""
    if os.name != "posix":
        return
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = config.edge_limits.connections
    needed = most + FILES_BESIDE_CONNECTIONS
    if hard != resource.RLIM_INFINITY and hard < needed:
        yield Finding(
            "open files",
            "warning",
            f"a process may open {hard}, and {most} connections are allowed",
            f"ulimit -n {needed}, LimitNOFILE={needed} for systemd, or a smaller"
            " limits.maxConnections",
        )
    else:
        allowed = "any number" if hard == resource.RLIM_INFINITY else hard
        yield ok("open files", f"a process may open {allowed}")


def disk(folder: Path) -> Iterator[Finding]:
    """Check that there is room on the disk."""
    free = shutil.disk_usage(folder).free
    text = f"{free // MIB} MB are free at {folder}"
    if free >= LITTLE_DISK:
        yield ok("disk", text)
    else:
        state: Literal["warning", "failure"] = "warning" if free >= NO_DISK else "failure"
        yield Finding("disk", state, text, "make room: writes are refused where there is none")


def clock(config: HostConfig) -> Iterator[Finding]:
    """Check the clock: expiry, delays and versionstamps depend on it."""
    now = time.time()
    path = config.path
    ahead = path.stat().st_mtime - now if path is not None else 0.0
    advice = "set the clock (`timedatectl set-ntp true`): expiry and delays go by it"
    if now < OLDEST_CLOCK or ahead > CLOCK_SLACK_SECONDS:
        text = f"it is {time.strftime('%Y-%m-%d %H:%M', time.gmtime(now))} UTC, which has passed"
        yield Finding("clock", "failure", text, advice)
    elif is_synchronised() is False:
        yield Finding("clock", "warning", "the system does not keep it synchronised", advice)
    else:
        yield ok("clock", time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(now)))


def is_synchronised() -> bool | None:
    """Whether the system synchronises its clock; None where it does not say."""
    if not sys.platform.startswith("linux"):
        return None
    try:
        adjtimex = ctypes.CDLL(None).adjtimex
    except (OSError, AttributeError):
        return None
    state = adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES))  # zeroes: it only reads
    return None if state < 0 else state != _TIME_ERROR


def of_plugins(problems: list[str]) -> Iterator[Finding]:
    """Collect what plugins report once they run and have checked what they store."""
    for text in problems:
        yield Finding(
            "plugins",
            "failure",
            text,
            "start or reach the server that it names; restore a copy of a file that is damaged;"
            " for an option see the table of its plugin in docs/configuration.md",
        )
    if not problems:
        yield ok("plugins", "they run, and what they keep is whole")


def tell(findings: list[Finding], *, as_json: bool) -> int:
    """Print the results; return the exit code: 1 where a problem keeps a host from starting."""
    failed = any(finding.state == "failure" for finding in findings)
    if as_json:
        content = {"ok": not failed, "findings": findings}
        click.echo(msgspec.json.format(msgspec.json.encode(content)))
        return int(failed)
    for finding in findings:
        click.echo(f"{finding.state:<8} {finding.about}: {finding.text}")
        if finding.advice:
            click.echo(f"{'':<8} -> {finding.advice}")
    return int(failed)
