"""Registries, enumerations and settings of the gateway → Markdown tables of its conformance statement. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import IntEnum
from typing import Any, Final

from pydantic.fields import FieldInfo
from pydicom.datadict import dictionary_description
from pydicom.uid import UID

from producers.dicomweb.frames import FRAME_MEDIA_TYPES
from producers.dimse.command import CommandField
from producers.dimse.find import FindStatus
from producers.dimse.peers import Peer
from producers.dimse.rights import right_of
from producers.dimse.service import Registry
from producers.dimse.storage import STORAGE_CLASSES, STORAGE_TRANSFER_SYNTAXES
from producers.dimse.suboperations import RetrieveStatus
from producers.dimse.worklist_query import KEYS
from producers.store.attributes import LEVELS
from producers.store.outcome import Status
from producers.store.transcode import can_decode
from schemas.settings import GatewaySettings

_PREFIX: Final = "SCANSTREAM_GATEWAY_"

_STORE: Final = {
    Status.SUCCESS: "stored and durable, or the same bytes were stored before",
    Status.COERCION_OF_DATA_ELEMENTS: (
        "other content under a SOP Instance UID that is stored; the first content is kept (policy `keep-first`)"
    ),
    Status.PROCESSING_FAILURE: "the instance could not be processed; the log says why",
    Status.DUPLICATE_SOP_INSTANCE: ("other content under a SOP Instance UID that is stored (policy `reject`)"),
    Status.SOP_CLASS_NOT_SUPPORTED: "the command's SOP class is not that of the presentation context",
    Status.OUT_OF_RESOURCES: "the disk is used to its mark, or the index cannot be written: send again later",
    Status.DATA_SET_DOES_NOT_MATCH: "UIDs of the data set are not those of the command or of the URL",
    Status.CANNOT_UNDERSTAND: "the data set cannot be read, or its UIDs are missing or no UIDs",
}
_FIND: Final = {
    FindStatus.SUCCESS: "all matches have been sent",
    FindStatus.PENDING: "a match; all keys are supported",
    FindStatus.PENDING_WITH_UNSUPPORTED_KEYS: "a match; keys that are not held come back empty",
    FindStatus.CANCELLED: "C-CANCEL-RQ came",
    FindStatus.OUT_OF_RESOURCES: "what is searched is not available now",
    FindStatus.IDENTIFIER_DOES_NOT_MATCH: "the identifier is none of the model, or has a value that cannot be",
    FindStatus.UNABLE_TO_PROCESS: "the search failed; the log says why",
}
_RETRIEVE: Final = {
    RetrieveStatus.SUCCESS: "all sub-operations succeeded",
    RetrieveStatus.PENDING: "sub-operations go on; with their numbers",
    RetrieveStatus.CANCELLED: "C-CANCEL-RQ came; with Failed SOP Instance UID List (0008,0058)",
    RetrieveStatus.SOME_FAILED: "some sub-operations failed (with Failed SOP Instance UID List) or had warnings",
    RetrieveStatus.UNABLE_TO_CALCULATE_MATCHES: "the index could not be searched",
    RetrieveStatus.UNABLE_TO_PERFORM_SUBOPERATIONS: "no sub-operation succeeded",
    RetrieveStatus.DESTINATION_UNKNOWN: "C-MOVE: the peers file has no address for the move destination",
    RetrieveStatus.IDENTIFIER_DOES_NOT_MATCH: "the identifier is none of the information model",
}


def services(registry: Registry) -> str:
    """SOP classes besides storage, with their commands, transfer syntaxes and rights."""
    commands: dict[str, list[int]] = {}
    for uid, command in registry.operations:
        if uid not in STORAGE_CLASSES:
            commands.setdefault(uid, []).append(command)
    rows = [
        (
            _name(uid),
            f"`{uid}`",
            ", ".join(CommandField(command).name.removesuffix("_RQ").replace("_", "-") for command in found),
            ", ".join(sorted(map(_name, registry.offers[uid]))),
            ", ".join(sorted({right_of(uid, command) or "everyone" for command in found})),
        )
        for uid, found in sorted(commands.items())
    ]
    return _table(("SOP class", "UID", "SCP of", "transfer syntaxes", "right in the peers file"), rows)


def storage_classes() -> str:
    """Every storage SOP class."""
    rows = sorted((_name(uid), f"`{uid}`") for uid in STORAGE_CLASSES)
    return _table(("SOP class", "UID"), rows)


def transfer_syntaxes() -> str:
    """Transfer syntaxes of storage, and whether they can be decoded on the way out."""
    rows = [
        (_name(uid), f"`{uid}`", FRAME_MEDIA_TYPES.get(uid, "application/octet-stream"), _yes(can_decode(uid)))
        for uid in sorted(STORAGE_TRANSFER_SYNTAXES)
    ]
    return _table(("transfer syntax", "UID", "media type of frames", "decoded for those who ask"), rows)


def attributes() -> str:
    """Attributes of the index by level."""
    rows = [
        (level, item.keyword, f"({item.tag >> 16:04X},{item.tag & 0xFFFF:04X})", item.vr, _MATCHING[item.vr])
        for level, found in LEVELS.items()
        for item in found
    ]
    return _table(("level", "attribute", "tag", "VR", "matching"), rows)


_MATCHING: Final = {
    "UI": "single value, list",
    "DA": "single value, range",
    "TM": "single value, range",
    "PN": "single value, wildcard; without regard to case; fuzzy where asked for",
    "IS": "single value",
    "US": "single value",
} | dict.fromkeys(("LO", "SH", "CS"), "single value, wildcard")


def worklist_keys() -> str:
    """Attributes of the worklist that are matched and returned."""
    rows = [
        (place, dictionary_description(tag), f"({tag >> 16:04X},{tag & 0xFFFF:04X})")
        for place, tags in KEYS.items()
        for tag in sorted(tags)
    ]
    return _table(("in", "attribute", "tag"), rows)


def store_statuses() -> str:
    """Statuses of C-STORE, and failure reasons of STOW-RS."""
    return _statuses(Status, _STORE)


def find_statuses() -> str:
    """Statuses of C-FIND."""
    return _statuses(FindStatus, _FIND)


def retrieve_statuses() -> str:
    """Statuses of C-MOVE and C-GET."""
    return _statuses(RetrieveStatus, _RETRIEVE)


def dicomweb(routes: Iterable[tuple[str, str]]) -> str:
    """Resources of the DICOMweb service: method and path."""
    by_path: dict[str, list[str]] = {}
    for method, path in routes:
        by_path.setdefault(path, []).append(method)
    rows = [(f"`{path}`", ", ".join(sorted(methods))) for path, methods in by_path.items()]
    return _table(("resource", "methods"), rows)


def frames() -> str:
    """Media types of frames."""
    by_type: dict[str, list[str]] = {}
    for uid, media_type in FRAME_MEDIA_TYPES.items():
        by_type.setdefault(media_type, []).append(_name(uid))
    return _table(
        ("media type", "transfer syntaxes"), [(name, ", ".join(found)) for name, found in by_type.items()]
    )


def settings() -> str:
    """Environment variables of the gateway."""
    rows = [
        (f"`{_PREFIX}{name.upper()}`", _default(field), field.description or "")
        for name, field in GatewaySettings.model_fields.items()
    ]
    return _table(("variable", "default", "meaning"), rows)


def peers() -> str:
    """Fields of an entry of the peers file."""
    rows = [(f"`{name}`", _default(field)) for name, field in Peer.model_fields.items()]
    return _table(("field", "default"), rows)


def _statuses(kind: type[IntEnum], meanings: Mapping[Any, str]) -> str:
    rows = [(f"`{status:04X}`", _category(status), meanings[status]) for status in sorted(kind)]
    return _table(("status", "category", "when"), rows)


def _category(status: int) -> str:
    """PS3.7 C."""
    if status == 0:
        return "success"
    if status in (0xFF00, 0xFF01):
        return "pending"
    if status == 0xFE00:
        return "cancel"
    return "warning" if status >> 12 == 0xB else "failure"


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=False)
    if isinstance(value, frozenset | tuple):
        value = ", ".join(sorted(value))
    return "" if value in (None, "") else f"`{value}`"


def _name(uid: str) -> str:
    return UID(uid).name.replace(" - ", ", ")


def _yes(value: bool) -> str:
    return "yes" if value else "no"


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)
