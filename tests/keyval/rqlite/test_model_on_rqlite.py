"""The random operations against a dict, once more on rqlite, with fewer examples."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from buntime_plugin_database.engines.rqlite.adapter import RqliteAdapter
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from keyval.engines import Servers
from keyval.libsql.support import open_server_world
from keyval.rqlite.support import empty
from keyval.service.test_model import StoreMachine
from keyval.service.world import World
from support.sampling import share_of


def test_the_store_against_the_model(database_servers: Servers) -> None:
    node = database_servers.node_of_worlds

    class Machine(StoreMachine):
        def __init__(self) -> None:
            self.is_empty = False
            super().__init__()

        def opening(self) -> AbstractAsyncContextManager[World]:
            if not self.is_empty:
                empty(node)
                self.is_empty = True
            return open_server_world(RqliteAdapter([node.url]), self.clock)

    run_state_machine_as_test(
        Machine, settings=settings(StoreMachine.TestCase.settings, max_examples=share_of(6))
    )
