"""Watches on a libSQL server: own commits are pushed, those of other hosts are noticed."""

# ruff: noqa: F403 - the tests are those of the embedded engine
from __future__ import annotations

from keyval.watch.test_consistent_events import *
from keyval.watch.test_following import *
from keyval.watch.test_polling import *
from keyval.watch.test_resuming import *
from keyval.watch.test_watch_faults import *
from keyval.watch.test_watch_over_http import *
from keyval.watch.test_watching import *
