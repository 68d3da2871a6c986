"""`proxy`: a small GET through plugin-proxy, beside nginx and the target itself.

The target is the bare application in a process of its own, whose processor time does not count.
Needs nginx for its row.
"""

from __future__ import annotations

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from cases import BARE
from client import BenchmarkError
from contenders import START_SECONDS, Bare, HttpContender
from group import Group, Job, Plan, Selection, Settings, job
from processes import free_port
from results import Comparison, Measurement, Row, Section

OURS, NGINX, TARGET = "Buntime", "nginx", Bare.name
AIM = 0.5
"""The least part of the target's own rate."""
RULES = 150
"""Rules that are asked before the one that answers."""
_NGINX = """
user {user}; daemon off; worker_processes 1; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 1024; }}
http {{
  access_log off; client_body_temp_path {folder}/1; proxy_temp_path {folder}/2;
  fastcgi_temp_path {folder}/3; uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5;
  upstream target {{ server {target}; keepalive 64; }}
  server {{
    listen 127.0.0.1:{port};
    location /up/ {{
      proxy_pass http://target/; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme; proxy_set_header X-Real-IP $remote_addr;
    }}
  }}
}}
"""


class Proxy(HttpContender):
    """plugin-proxy alone in a host, with many rules."""

    name = OURS
    base = "/up"

    def __init__(self, target: str) -> None:
        super().__init__((BARE,))
        self._target = target

    def command(self, folder: Path) -> list[str]:
        others = [{"pattern": f"^/other{n}(/.*)$", "target": self._target} for n in range(RULES)]
        rule = {"pattern": "^/up(/.*)$", "rewrite": "$1", "target": self._target}
        config = folder / "buntime.jsonc"
        plugins = [["@buntime/plugin-proxy", {"rules": [*others, rule]}]]
        config.write_text(json.dumps({"plugins": plugins}), encoding="utf-8")
        serve = [sys.executable, "-m", "buntime_host", "serve"]
        return [*serve, "--config", str(config), "--port", "0"]


class Nginx(HttpContender):
    """nginx with one worker that does the same."""

    name = NGINX
    base = "/up"

    def __init__(self, target: str, program: str) -> None:
        super().__init__((BARE,))
        self._target = target
        self._program = program
        self._port = free_port()

    def command(self, folder: Path) -> list[str]:
        config = folder / "nginx.conf"
        user = pwd.getpwuid(os.geteuid()).pw_name
        target = self._target.removeprefix("http://")
        config.write_text(
            _NGINX.format(user=user, folder=folder, port=self._port, target=target),
            encoding="utf-8",
        )
        return [self._program, "-c", str(config), "-p", str(folder)]

    def origin(self, process: subprocess.Popen[str]) -> str:
        """See `HttpContender`; nginx says nothing of where it listens."""
        deadline = time.monotonic() + START_SECONDS
        while process.poll() is None and time.monotonic() < deadline:
            try:
                socket.create_connection(("127.0.0.1", self._port), timeout=1).close()
            except OSError:
                time.sleep(0.02)
            else:
                return f"http://127.0.0.1:{self._port}"
        raise BenchmarkError("nginx did not start")


@contextmanager
def opened(chosen: Selection, folder: Path, settings: Settings) -> Iterator[Plan]:  # noqa: ARG001 - it has one case
    """See `Group`."""
    with ExitStack() as stack:
        target = Bare()
        contenders: list[HttpContender] = [target]
        home = folder / "target"
        home.mkdir()
        stack.enter_context(target.running(home, [BARE.id]))
        contenders.append(Proxy(target.client.origin))
        program = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin")
        if program is None:
            settings.say("nginx is skipped: apt-get install nginx")
        else:
            contenders.append(Nginx(target.client.origin, program))
        for contender in contenders[1:]:
            home = folder / contender.name
            home.mkdir()
            stack.enter_context(contender.running(home, [BARE.id]))
        yield Plan([_job(contender, settings) for contender in contenders], [SECTION])


def _job(contender: HttpContender, settings: Settings) -> Job:
    def measure(contender: HttpContender) -> Measurement:
        return contender.measure(
            BARE.id, seconds=settings.seconds, connections=settings.connections
        )

    return job(("get", contender.name), partial(measure, contender))


def _compared(least: float | None) -> list[Comparison]:
    by = ("get", TARGET)
    return [
        Comparison(f"CPU ÷ {TARGET}", by, of_cpu=True),
        Comparison(f"÷ {TARGET}", by, least),
    ]


SECTION = Section(
    "proxy",
    "Proxied requests",
    [
        Row(("get", OURS), f"a small GET, behind {RULES} other rules", comparisons=_compared(AIM)),
        Row(("get", NGINX), "the same, by `proxy_pass`", comparisons=_compared(None)),
        Row(("get", TARGET), "the target itself"),
    ],
)
GROUP = Group({"proxy": ("get",)}, opened)
