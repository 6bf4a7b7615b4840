"""The contract between processes: topics, records, codec, settings, errors.

Everything here has a type and no IO; no client library is imported, so any process (and any outside
subscriber) can load it. The Avro files in ``schemas/avsc`` are the truth of the wire, the frozen dataclasses in
:mod:`schemas.events` are their Python form, and :mod:`schemas.topics` says which record travels where.
"""
