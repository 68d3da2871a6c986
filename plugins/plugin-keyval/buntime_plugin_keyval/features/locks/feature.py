"""Locks: one holder at a time, across all processes and hosts of a store."""

from buntime_plugin_keyval.features.feature import Feature, Measure
from buntime_plugin_keyval.features.locks import http
from buntime_plugin_keyval.features.locks.part import LockPart

LOCKS = Feature(
    "locks",
    LockPart,
    routes=http.ROUTES,
    measures=(Measure("lock_waiters", "Calls that wait for a lock", "locks.waiters"),),
)
