"""The queue: messages that are delivered until they are settled or given up."""

from buntime_plugin_keyval.features.feature import Feature, Measure
from buntime_plugin_keyval.features.queue import http
from buntime_plugin_keyval.features.queue.part import QueuePart

QUEUE = Feature(
    "queue",
    QueuePart,
    routes=http.ROUTES,
    measures=(
        Measure("listeners", "Open queue listeners", "streams.listeners"),
        Measure(
            "queue_dlq_expired",
            "Dead letters that were deleted because of their age",
            "deadLetters.expired",
            is_counter=True,
        ),
    ),
    labelled_measures=(
        Measure(
            "queue_messages",
            "Messages of queues that have options, by state",
            "queue.named",
            labels=("queue", "state"),
        ),
    ),
    stored_measures=(
        Measure("queue_pending", "Pending messages in queue", "queue.pending"),
        Measure("queue_processing", "Messages being processed", "queue.processing"),
        Measure("queue_dlq", "Messages in dead letter queue", "queue.dlq"),
        Measure("queue_total", "Total messages in queue", "queue.total"),
    ),
)
