"""A real nginx, with a configuration of the test."""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.database import wait_until
from support.programs import needed_program
from support.sqld import free_port, listens
from support.waiting import PATIENCE

_AROUND = """
user {user}; daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 256; }}
http {{
  access_log {folder}/access.log; client_body_temp_path {folder}/1; proxy_temp_path {folder}/2;
  fastcgi_temp_path {folder}/3; uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  {http}
}}
"""


@contextmanager
def running_nginx(folder: Path, http: str) -> Iterator[int]:
    """The port that it listens on, which stands for `PORT` in `http`: what is in its block `http`.

    Its logs are in the folder. Where there is none the test is skipped, but never in CI.
    """
    program = needed_program("nginx", "/usr/sbin/nginx")
    port = free_port()
    config = folder / "nginx.conf"
    # By root it would otherwise be somebody who cannot write into the folder.
    user = pwd.getpwuid(os.geteuid()).pw_name
    config.write_text(
        _AROUND.format(user=user, folder=folder, http=http.replace("PORT", str(port)))
    )
    process = subprocess.Popen(
        [program, "-c", str(config), "-p", str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    try:

        def is_up() -> bool:
            assert process.poll() is None, process.stdout.read() if process.stdout else ""
            return listens(port)

        wait_until(is_up)
        yield port
    finally:
        process.terminate()
        process.wait(PATIENCE)
        process.stdout.close()
