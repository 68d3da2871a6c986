"""What an operator sees of requests: a line for each, slow ones, numbers by route, traces.

Only a host that is configured so has an `Observer`; without one nothing here is on a request's way.
"""
