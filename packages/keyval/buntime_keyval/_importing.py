"""Importing many modules at once."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lasting() -> Iterator[None]:
    """Switch garbage collection off within the block: modules keep nearly all of its objects.

    Going through them again and again takes a tenth of the time from a cold start. Afterwards they
    count as old, since otherwise the next collection of young objects would go through all of them.
    """
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            if not gc.get_freeze_count():  # else somebody wants to keep it so
                gc.freeze()
                gc.unfreeze()
            gc.enable()
