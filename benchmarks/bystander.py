"""A well-behaved client in a process of its own, which says how long it had to wait.

`python benchmarks/bystander.py ORIGIN BASE PID` asks for one small entry after the other and writes
another one between, until a line comes in; then it prints the longest wait as JSON, and the most
processor time that the first thread of the server spent within one wait for an entry: where other
programs use the machine too, that is what the wait would have been without them. While a write
waits for the disk, the server serves others, so what it spends then says nothing.
"""

from __future__ import annotations

import json
import select
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

from client import Client, Request

PAUSE_SECONDS = 0.001
"""Between two requests: a stall that starts in it is seen 1 ms shorter than it is."""
READS_PER_WRITE = 9
KEY = "/keys/stall/bystander"


def loop_seconds(pid: str) -> float:
    """Processor time of the first thread of a process until now."""
    return int(Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[0]) / 1e9


def main(origin: str, base: str, pid: str) -> None:
    """Ask until a line comes in, or the input ends."""
    parts = urlsplit(origin)
    client = Client(f"{parts.scheme}://{parts.netloc}{base}")
    put = Request("PUT", KEY, '{"kind":"bystander"}')
    get = Request("GET", KEY)
    client.call(put)
    print("ready", flush=True)
    longest = {"GET": 0.0, "PUT": 0.0}
    requests = 0
    most = 0.0
    while not select.select([sys.stdin], [], [], 0)[0]:
        request = put if requests % (READS_PER_WRITE + 1) == 0 else get
        spent = loop_seconds(pid)
        sent = time.perf_counter()
        client.call(request)
        longest[request.method] = max(longest[request.method], time.perf_counter() - sent)
        if request is get:
            most = max(most, loop_seconds(pid) - spent)
        requests += 1
        time.sleep(PAUSE_SECONDS)
    answer = {"get": longest["GET"], "put": longest["PUT"], "loop": most, "requests": requests}
    print(json.dumps(answer), flush=True)
    client.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
