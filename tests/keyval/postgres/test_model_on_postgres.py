"""The random operations against a dict, once more on PostgreSQL, with fewer examples."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager

from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test
from keyval.postgres.support import empty, open_postgres_world
from keyval.service.test_model import StoreMachine
from keyval.service.world import World
from support.postgres import Postgres
from support.sampling import share_of


def test_the_store_against_the_model(postgres: Postgres) -> None:
    database = postgres.create_database()

    class Machine(StoreMachine):
        def __init__(self) -> None:
            empty(postgres, database)
            super().__init__()

        def opening(self) -> AbstractAsyncContextManager[World]:
            return open_postgres_world(postgres.url_of(database), self.clock)

    run_state_machine_as_test(
        Machine, settings=settings(StoreMachine.TestCase.settings, max_examples=share_of(10))
    )
