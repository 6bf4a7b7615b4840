"""Every event of the log → one row of an append-only ClickHouse table.

Guarantee: each message of each topic of the contract (changelogs left out) is exactly one row, found again by
``(topic, partition, offset)``. The store itself is asked how far it got, so a crash between insert and commit
neither loses nor doubles a row. Rows of one partition form a hash chain that the engine checks at insert.
"""
