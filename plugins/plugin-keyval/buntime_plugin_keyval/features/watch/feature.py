"""Watching: clients that wait for changes of keys are told of them."""

from buntime_plugin_keyval.features.feature import Feature, Measure
from buntime_plugin_keyval.features.watch import http
from buntime_plugin_keyval.features.watch.part import WatchPart

WATCH = Feature(
    "watch",
    WatchPart,
    routes=http.ROUTES,
    measures=(Measure("watchers", "Open watch streams", "streams.watchers"),),
)
