"""The random operations against a dict, once more on libSQL servers, with fewer examples."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from keyval.libsql.support import empty, open_libsql_world
from keyval.service.test_model import StoreMachine
from keyval.service.world import World
from support.sampling import share_of
from support.sqld import Sqld


class OnServers(StoreMachine):
    servers: list[Sqld]

    def __init__(self) -> None:
        self.is_empty = False
        super().__init__()

    def opening(self) -> AbstractAsyncContextManager[World]:
        if not self.is_empty:
            empty(self.servers[0])
            self.is_empty = True
        return open_libsql_world(self.servers, self.clock)


@pytest.mark.parametrize("replicas", [0, 1])
def test_the_store_against_the_model(pair_of_worlds: list[Sqld], replicas: int) -> None:
    """With a replica most reads come from it, and have to show every write before them."""

    class Machine(OnServers):
        servers = pair_of_worlds[: replicas + 1]

    run_state_machine_as_test(
        Machine, settings=settings(StoreMachine.TestCase.settings, max_examples=share_of(10))
    )
