"""A trial start: what a host would meet, without a port."""

from __future__ import annotations

import asyncio
import logging

import msgspec

from buntime_host.access.store import KeysUnavailable
from buntime_host.config import HostConfig
from buntime_host.errors import BuntimeError
from buntime_host.host import Host
from buntime_host.plugins.health import ask_diagnosis, ask_health


def find_problems(config: HostConfig, *, thorough: bool = False) -> list[str]:
    """Problems once all plugins run and have opened their resources; one line for each.

    `thorough` has them check everything that they store as well, which may take minutes. A host
    that would listen for others needs no key for this.
    """
    logging.disable(logging.ERROR)
    try:
        alone = msgspec.structs.replace(config, workers=1, insecure=True)
        return asyncio.run(_find(alone, thorough=thorough))
    except BuntimeError as error:
        return [str(error)]
    finally:
        logging.disable(logging.NOTSET)


async def _find(config: HostConfig, *, thorough: bool) -> list[str]:
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
        for name, hook in host.diagnose_hooks.items() if thorough else ():
            found += [f"{name}: {problem}" for problem in await ask_diagnosis(hook)]
        store = host.gate.keyring.store
        try:
            if store is None:
                raise KeysUnavailable("the database that has them is not there")
            await store.check()
        except KeysUnavailable as error:
            found.append(f"keys: {error}")
        return found
