"""Two hosts on the one database of an engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from keyval.engines import Engine
from support.api import Api, api_of
from support.live import live_server


class Pair(NamedTuple):
    """The APIs of two hosts."""

    one: Api
    two: Api


@contextmanager
def pair_of_hosts(engine: Engine, folder: Path) -> Iterator[Pair]:
    """Two of them in a folder, whose store begins empty."""
    engine.empty_hosts()
    config = engine.host_config({}, one_view=True)
    with (
        live_server(folder, config) as first,
        live_server(folder, config) as second,
        api_of(first.api) as one,
        api_of(second.api) as two,
    ):
        yield Pair(one, two)
