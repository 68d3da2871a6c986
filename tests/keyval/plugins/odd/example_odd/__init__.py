"""An engine of somebody else whose SQL is not ours, and how the key-value store speaks to it.

It stands on the embedded engine, and is odd in all that a dialect may be: arguments have numbers
(`$1`), nothing tells the number of a row that was inserted, positions of the change log leave
numbers out, and what it can say in another way than SQLite's dialect it does.
"""
