"""What goes into the store, and what the store says about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum, IntEnum, StrEnum
from typing import TYPE_CHECKING

from schemas.events import Origin

if TYPE_CHECKING:
    from producers.store.spool import Spool


class Status(IntEnum):
    """DICOM status of a C-STORE response (PS3.4 B.2.3, PS3.7 C) and failure reason of STOW-RS (PS3.18 I.2)."""

    SUCCESS = 0x0000
    COERCION_OF_DATA_ELEMENTS = 0xB000
    PROCESSING_FAILURE = 0x0110
    DUPLICATE_SOP_INSTANCE = 0x0111
    SOP_CLASS_NOT_SUPPORTED = 0x0122
    OUT_OF_RESOURCES = 0xA700
    DATA_SET_DOES_NOT_MATCH = 0xA900
    CANNOT_UNDERSTAND = 0xC000


class Refused(Exception):
    """An instance is not taken; the sentence never carries patient identity."""

    def __init__(self, status: Status, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence


@dataclass(frozen=True)
class Received:
    """One instance as it came in.

    Attributes
    ----------
    data_set
        Encoded data set, exactly as received, without a Part 10 header.
    transfer_syntax_uid
        How it is encoded.
    origin
        Way in.
    sop_class_uid, sop_instance_uid
        What the sender said it is (C-STORE command); ``None`` when only the data set says it. A difference is
        refused with A900.
    study_instance_uid
        Study that the sender addressed (STOW-RS ``/studies/{uid}``); a difference is refused with A900.
    calling_ae_title, called_ae_title, association_id
        Where it came from, if by an association.
    urgent
        Whether the sender is one whose studies go first.
    replaces
        Whether it takes the place of other content; said by the store.
    """

    data_set: Spool
    transfer_syntax_uid: str
    origin: Origin
    sop_class_uid: str | None = None
    sop_instance_uid: str | None = None
    study_instance_uid: str | None = None
    calling_ae_title: str | None = None
    called_ae_title: str | None = None
    association_id: str | None = None
    urgent: bool = False
    replaces: bool = False


class ConflictPolicy(StrEnum):
    """What becomes of an instance whose SOP Instance UID is stored already with other bytes.

    Such a pair is an error of the sender (PS3.5 9: a UID identifies one object for ever), so no answer is right
    for every site. Each is audited.
    """

    REJECT = "reject"
    """Failure 0111 (Duplicate SOP Instance); the first stays."""
    KEEP_FIRST = "keep-first"
    """Warning B000: the sender is told that it is done, and that what is stored differs; the first stays."""
    REPLACE = "replace"
    """Success; the new one takes the place of the first, which is deleted."""


class PutKind(Enum):
    """What became of a put."""

    STORED = "stored"
    REPLACED = "replaced"
    DUPLICATE = "duplicate"
    KEPT_FIRST = "kept-first"
    CONFLICT = "conflict"
    REFUSED = "refused"


@dataclass(frozen=True)
class PutOutcome:
    """Answer of the store.

    ``STORED``, ``REPLACED`` and ``DUPLICATE`` (same UID, same bytes) are success: the instance is durable.
    ``KEPT_FIRST`` is a warning: an instance of this UID is durable, but not with these bytes. ``CONFLICT`` (same
    UID, other bytes; the first is kept) and ``REFUSED`` are failures. UIDs are ``None`` when they could not be
    read; ``sentence`` says why not, without patient identity.
    """

    kind: PutKind
    status: Status
    sentence: str = ""
    study_instance_uid: str | None = None
    series_instance_uid: str | None = None
    sop_instance_uid: str | None = None
    sop_class_uid: str | None = None

    @property
    def ok(self) -> bool:
        """Whether an instance of this UID is in the store, so that the sender need not send again."""
        return self.status in (Status.SUCCESS, Status.COERCION_OF_DATA_ELEMENTS)

    @property
    def is_new(self) -> bool:
        """Whether these bytes came into the store now, and are announced by an event."""
        return self.kind in (PutKind.STORED, PutKind.REPLACED)
