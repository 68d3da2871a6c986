"""The client for asyncio, from which `scripts/unasync` makes the blocking one.

The parts that the two cannot share are in `concurrency` and `connections`, which are written by
hand in both.
"""
