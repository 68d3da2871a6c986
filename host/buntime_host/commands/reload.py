"""`buntime serve --reload`: a server in a process of its own, restarted after every change.

A plugin cannot be replaced within one process, since it may leave things behind.
"""

from __future__ import annotations

import logging
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from buntime_host.config import load_config
from buntime_host.errors import ConfigError, StartupError
from buntime_host.plugins.plan import make_plan

logger = logging.getLogger("Reload")


def watched_paths(config_path: Path) -> list[Path]:
    """The files that a start depends on.

    These are the configuration, and the folders of all plugins that it names. While the
    configuration is wrong, that file alone.
    """
    paths = [config_path] if config_path.exists() else []
    try:
        config = load_config(config_path if paths else None)
    except StartupError:
        return paths or [config_path.parent]
    plan = make_plan(config)
    folders = {plugin.manifest.dir for plugin in plan.selection.plugins}
    folders |= {folder for folder in config.plugin_folders if folder.is_dir()}
    return sorted({*paths, *folders})


def serve_again(arguments: Sequence[str], watched: Callable[[], list[Path]]) -> int:
    """Run `buntime` with these arguments, and restart it when a watched file changes.

    Returns when this process gets SIGINT or SIGTERM, with the exit code of the last server. Raises
    `ConfigError` without the library that watches files.
    """
    try:
        from watchfiles import watch
    except ImportError:
        raise ConfigError(
            '--reload needs the package watchfiles: pip install "buntime[reload]"'
        ) from None
    ending = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: ending.set())
    process = _start(arguments)
    try:
        while not ending.is_set():
            for changes in watch(*watched(), stop_event=ending, raise_interrupt=False):
                name = min(path for _, path in changes)
                logger.info("%s has changed: starting again", name)
                _end(process)
                process = _start(arguments)
                break  # what is watched may be something else now
    finally:
        code = _end(process)
    return code


def _start(arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "buntime_host", *arguments]
    # In a group of its own: this process forwards Ctrl-C to it, once, since a second one ends it at
    # once.
    return subprocess.Popen(command, process_group=0)  # noqa: S603 - this program itself


def _end(process: subprocess.Popen[bytes]) -> int:
    """End a server as SIGTERM does; return the exit code of one that has ended already."""
    if process.poll() is None:
        process.terminate()
    return process.wait()
