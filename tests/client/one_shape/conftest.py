"""A store in the server's process and one behind HTTP: the same methods, and the same outcomes.

Each test beside this is the code of a user, and runs with the `LocalKv` of a plugin and with
`AsyncKv`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from buntime_keyval import AsyncKv
from client.one_shape.kinds import AnyKv
from support.store import open_kv


@pytest.fixture(params=["in-process", "http"])
async def kv(request: pytest.FixtureRequest) -> AsyncIterator[AnyKv]:
    if request.param == "in-process":
        async with open_kv() as local:
            yield local
    else:
        async with AsyncKv(request.getfixturevalue("api")) as client:
            yield client
