"""Consumers: named positions in the stream, each held by one owner at a time."""

from buntime_plugin_keyval.features.consumers import http
from buntime_plugin_keyval.features.consumers.part import ConsumerPart
from buntime_plugin_keyval.features.feature import Feature, Measure

CONSUMERS = Feature(
    "consumers",
    ConsumerPart,
    routes=http.ROUTES,
    measures=(
        Measure(
            "consumer_fetches_waiting",
            "Fetches of consumers that wait for records",
            "consumers.waiting",
        ),
    ),
    labelled_measures=(
        Measure(
            "consumer_lag",
            "Records that a consumer has not done yet",
            "consumers.lag",
            labels=("consumer",),
        ),
    ),
)
