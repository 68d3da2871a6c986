"""Metrics of the plugin: counters, latencies and gauges, how they are saved, and their formats."""
