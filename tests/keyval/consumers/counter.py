"""A consumer that counts each record it is given, in the commit that says that it is done."""

from __future__ import annotations

import sys

from buntime_keyval import Kv


def main(url: str) -> None:
    """Count until it is killed."""
    with Kv(url) as kv:
        counter = kv.consumer("counter", prefix=["in"], batch=5, lock_duration="500ms")
        for record in counter.records(commit="none"):
            _, number = record.key
            effects = kv.atomic().sum(["out", number], 1)
            effects.commit_consumer("counter", counter.token, record.seq).commit()


if __name__ == "__main__":
    main(sys.argv[1])
