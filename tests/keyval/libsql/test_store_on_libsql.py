"""The tests of the store in Python, once more on a primary with a replica."""

# mypy: disable-error-code="assignment"
# ruff: noqa: F403 - whatever tests they have, they run here too
from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from database.libsql.support import wipe
from keyval.libsql.support import open_libsql_world
from keyval.service.test_checks import *
from keyval.service.test_deleting import *
from keyval.service.test_details import *
from keyval.service.test_expiry import *
from keyval.service.test_mutations import *
from keyval.service.test_reading import *
from keyval.service.test_transaction import *
from keyval.service.test_triggers import *
from keyval.service.world import World
from support.sqld import Sqld

test_more_keys_than_a_statement_has_variables = None  # 120,000 steps take 8 s there


@pytest.fixture
async def world(pair_of_worlds: list[Sqld]) -> AsyncIterator[World]:
    await wipe([pair_of_worlds[0].url])
    async with open_libsql_world(pair_of_worlds) as opened:
        yield opened
        await opened.service.close()
