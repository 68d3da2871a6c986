"""The client for asyncio. `scripts/unasync` makes the blocking one of it.

What the two cannot share is in `concurrency` and `connections`, which both have by hand.
"""
