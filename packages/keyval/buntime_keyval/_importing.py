"""Importing many modules at once."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def lasting() -> Iterator[None]:
    """Look for no garbage among what is made here: modules keep nearly all of it.

    To go through it again and again takes a tenth of the time from a cold start. Afterwards it
    counts as old, since else the next look for young garbage would go through all of it.
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
