"""Tasks: named work, when it is due, and its results."""

from buntime_plugin_keyval.features.feature import Feature, Measure
from buntime_plugin_keyval.features.tasks import http
from buntime_plugin_keyval.features.tasks.part import TaskPart

TASKS = Feature(
    "tasks",
    TaskPart,
    routes=http.ROUTES,
    measures=(Measure("task_waiters", "Calls that wait for tasks to run", "tasks.waiters"),),
)
