"""The tests of the HTTP API, once more on libSQL servers: only their fixtures are others."""

# ruff: noqa: F403 - whatever tests they have, they run here too
from __future__ import annotations

from keyval.http.test_atomic_commits import *
from keyval.http.test_deleting import *
from keyval.http.test_details_over_http import *
from keyval.http.test_expiry_over_http import *
from keyval.http.test_filters_over_http import *
from keyval.http.test_listing import *
from keyval.http.test_values_over_http import *
from keyval.queue.test_queue_over_http import *
