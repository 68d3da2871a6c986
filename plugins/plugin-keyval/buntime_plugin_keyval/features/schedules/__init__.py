"""Schedules: tasks that are started at times, once over all hosts of a store."""
