"""A real Caddy, with a configuration of the test."""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from support.children import program
from support.database import wait_until
from support.programs import needed_program
from support.sqld import free_port, listens
from support.waiting import PATIENCE

_GLOBAL = """
{
	admin off
	auto_https disable_redirects
	default_bind 127.0.0.1
	skip_install_trust
}
"""


class Caddy(NamedTuple):
    """Where it listens, with TLS."""

    url: str
    trust: ssl.SSLContext
    """Its own authority, which signed its certificate."""


@contextmanager
def running_caddy(folder: Path, sites: str) -> Iterator[Caddy]:
    """Serve `sites`, a Caddyfile in which `SITE` stands for the address it listens on.

    All that it writes is in the folder. Where there is none the test is skipped, but never in CI.
    """
    caddy = needed_program("caddy")
    address = f"localhost:{free_port()}"
    config = folder / "Caddyfile"
    config.write_text(_GLOBAL + sites.replace("SITE", address))
    environ = {**os.environ, "HOME": str(folder), "XDG_DATA_HOME": str(folder / "data")}
    environ["XDG_CONFIG_HOME"] = str(folder / "config")
    authority = folder / "data" / "caddy" / "pki" / "authorities" / "local" / "root.crt"
    log = folder / "caddy.log"
    with log.open("wb") as output:
        command = [caddy, "run", "--config", str(config), "--adapter", "caddyfile"]
        with program(command, env=environ, stdout=output, stderr=output) as process:
            port = int(address.rpartition(":")[2])

            def is_up() -> bool:
                assert process.poll() is None, log.read_text()
                return authority.exists() and listens(port)

            wait_until(is_up)
            trust = ssl.create_default_context(cafile=str(authority))
            wait_until(lambda: _has_certificate(port, trust))
            yield Caddy(f"https://{address}", trust)


def _has_certificate(port: int, trust: ssl.SSLContext) -> bool:
    """It listens before its authority has signed one."""
    with socket.create_connection(("127.0.0.1", port), PATIENCE) as connection:
        try:
            trust.wrap_socket(connection, server_hostname="localhost").close()
        except ssl.SSLError:
            return False
    return True
