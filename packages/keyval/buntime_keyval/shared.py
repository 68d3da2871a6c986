"""What `AsyncKv` shares with a store of the server's own process, which offers the same methods.

Transactions, typed stores, watches and queue listeners are the same classes there; only what feeds
them differs. For servers: all names that are imported here, which need no h11; they may change with
every version.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from buntime_keyval._calls.atomic import AtomicBuilder, contents_of
from buntime_keyval._calls.consumers import (
    checked_attempts,
    consumer_name,
    consumer_owner,
    consumer_token,
)
from buntime_keyval._calls.consumers import order as consumer_order
from buntime_keyval._calls.keys import (
    checked_deletion,
    checked_limit,
    checked_page,
    refuse_everything,
    refuse_required,
)
from buntime_keyval._calls.locks import LockOrder, checked_prefix, lock_name, lock_owner
from buntime_keyval._calls.locks import checked_token as checked_lock_token
from buntime_keyval._calls.locks import order as lock_order
from buntime_keyval._calls.locks import wait_ms as lock_wait_ms
from buntime_keyval._calls.queue import Letter, checked_id, identify
from buntime_keyval._calls.queues import Rate, wanted_options
from buntime_keyval._calls.schedules import (
    Missed,
    checked_after,
    schedule_info,
    schedule_name,
    schedule_order,
)
from buntime_keyval._calls.search import Marks, Tokenizer, warn_of_search
from buntime_keyval._calls.stored import StoredKey, merged_at, written_at
from buntime_keyval._calls.stream import StreamAction, checked_text, stream_since, stream_wait_ms
from buntime_keyval._calls.stream import position as stream_position
from buntime_keyval._calls.stream import wish as stream_wish
from buntime_keyval._calls.tasks import TaskStatus, new_task, task_id, task_name
from buntime_keyval._calls.tasks import checked_count as checked_task_count
from buntime_keyval._calls.tasks import checked_done as checked_done_tasks
from buntime_keyval._calls.tasks import checked_token as checked_task_token
from buntime_keyval._calls.tasks import lease_ms as task_lease_ms
from buntime_keyval._calls.tasks import wait_ms as task_wait_ms
from buntime_keyval._entries import is_many
from buntime_keyval._held import refuse_lost
from buntime_keyval._messages import checked_concurrency
from buntime_keyval._reports import ErrorHandler
from buntime_keyval._results import made_entry
from buntime_keyval._selecting import EVERY_TEXT, Selector, selected, selecting
from buntime_keyval._sharing import check_sharing
from buntime_keyval._transaction import Pauses
from buntime_keyval._watching import Buffer, Mode, Overflow, is_polling, make_target

if TYPE_CHECKING:
    from buntime_keyval._async.consumers import MAX_ATTEMPTS, AsyncConsumer
    from buntime_keyval._async.flights import AsyncFlights
    from buntime_keyval._async.kv_views import AsyncKvViews
    from buntime_keyval._async.listen import AsyncListenerFlow, AsyncQueueListener, Handler
    from buntime_keyval._async.locks import AsyncLock
    from buntime_keyval._async.reports import report
    from buntime_keyval._async.runner import AsyncRunner
    from buntime_keyval._async.shortcuts import AsyncShortcuts
    from buntime_keyval._async.transactions import AsyncTransaction
    from buntime_keyval._async.transactions import run as run_async
    from buntime_keyval._async.watch import AsyncWatch, AsyncWatchFlow, Feed
    from buntime_keyval._modules import runner_of_module

_LATER = {
    "AsyncConsumer": ("buntime_keyval._async.consumers", "AsyncConsumer"),
    "AsyncFlights": ("buntime_keyval._async.flights", "AsyncFlights"),
    "AsyncKvViews": ("buntime_keyval._async.kv_views", "AsyncKvViews"),
    "AsyncLock": ("buntime_keyval._async.locks", "AsyncLock"),
    "AsyncListenerFlow": ("buntime_keyval._async.listen", "AsyncListenerFlow"),
    "AsyncQueueListener": ("buntime_keyval._async.listen", "AsyncQueueListener"),
    "AsyncRunner": ("buntime_keyval._async.runner", "AsyncRunner"),
    "AsyncShortcuts": ("buntime_keyval._async.shortcuts", "AsyncShortcuts"),
    "AsyncTransaction": ("buntime_keyval._async.transactions", "AsyncTransaction"),
    "AsyncWatch": ("buntime_keyval._async.watch", "AsyncWatch"),
    "AsyncWatchFlow": ("buntime_keyval._async.watch", "AsyncWatchFlow"),
    "Feed": ("buntime_keyval._async.watch", "Feed"),
    "Handler": ("buntime_keyval._async.listen", "Handler"),
    "MAX_ATTEMPTS": ("buntime_keyval._async.consumers", "MAX_ATTEMPTS"),
    "report": ("buntime_keyval._async.reports", "report"),
    "run_async": ("buntime_keyval._async.transactions", "run"),
    "runner_of_module": ("buntime_keyval._modules", "runner_of_module"),
}
"""Which module has what is of use only where stores of the own process are used by Python."""

if not TYPE_CHECKING:  # else every misspelt name would be an `Any`

    def __getattr__(name: str) -> Any:
        if name not in _LATER:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        module, its_name = _LATER[name]
        return getattr(importlib.import_module(module), its_name)
