"""The engine of servers: libSQL over the network, a primary and its replicas.

Import from its modules: those that need the client library take 0.1 s to load, which hosts that
use the embedded engine alone should not pay for.
"""
