"""The gateway's store: instances as received, an index for queries, artifacts, and the outbox.

Holds everything that must survive a power cut. Nothing in here knows Kafka, DIMSE or HTTP.
"""

from producers.store.attributes import INSTANCE, SERIES, STUDY, Attribute, Level
from producers.store.conditions import Matching
from producers.store.headers import Headers, is_uid, read_headers
from producers.store.index import StoredInstance
from producers.store.outbox import Lane, Message, Outbox
from producers.store.outcome import ConflictPolicy, PutKind, PutOutcome, Received, Refused, Status
from producers.store.part10 import FileMeta, encode_header, split
from producers.store.spool import Spool
from producers.store.store import InstanceStore

__all__ = [
    "INSTANCE",
    "SERIES",
    "STUDY",
    "Attribute",
    "ConflictPolicy",
    "FileMeta",
    "Headers",
    "InstanceStore",
    "Lane",
    "Level",
    "Matching",
    "Message",
    "Outbox",
    "PutKind",
    "PutOutcome",
    "Received",
    "Refused",
    "Spool",
    "Status",
    "StoredInstance",
    "encode_header",
    "is_uid",
    "read_headers",
    "split",
]
