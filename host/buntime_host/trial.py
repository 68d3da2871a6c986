"""A start for trial: what a host would meet, without a port."""

from __future__ import annotations

import asyncio
import logging

import msgspec

from buntime_host.access.store import KeysUnavailable
from buntime_host.config import HostConfig
from buntime_host.core_routes import ask_health
from buntime_host.errors import BuntimeError
from buntime_host.host import Host


def find_problems(config: HostConfig) -> list[str]:
    """What is wrong once all plugins run and have opened what they open; one line for each.

    A host that listens elsewhere needs no key for this.
    """
    logging.disable(logging.ERROR)
    try:
        return asyncio.run(_find(msgspec.structs.replace(config, workers=1, insecure=True)))
    except BuntimeError as error:
        return [str(error)]
    finally:
        logging.disable(logging.NOTSET)


async def _find(config: HostConfig) -> list[str]:
    async with Host(config) as host:
        found = [
            f"{status.name}: {status.reason}"
            for status in host.statuses.values()
            if status.state not in ("loaded", "disabled")
        ]
        for name, hook in host.health_hooks.items():
            problem = await ask_health(hook)
            if problem is not None:
                found.append(f"{name}: {problem}")
        store = host.gate.keyring.store
        try:
            if store is None:
                raise KeysUnavailable("the database that has them is not there")
            await store.check()
        except KeysUnavailable as error:
            found.append(f"keys: {error}")
        return found
