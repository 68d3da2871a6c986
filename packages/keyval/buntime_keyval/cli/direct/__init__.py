"""The command `kv`: records, graphs and benchmarks of a store that it opens itself.

It opens a file or a database server with `open_kv_sync`, so it needs the distribution `buntime`.
"""
