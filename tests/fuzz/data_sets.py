"""Readers of the store: the header of a data set in any transfer syntax, and the split of a Part 10 file."""

from __future__ import annotations

from typing import Final

from producers.store import attributes
from producers.store.elements import ElementReader, NeedMore, Unreadable
from producers.store.headers import encoding_of, is_uid, read_headers
from producers.store.outcome import Refused, Status
from producers.store.part10 import FileMeta, encode_header, split

SYNTAXES: Final = (
    "1.2.840.10008.1.2.1",
    "1.2.840.10008.1.2",
    "1.2.840.10008.1.2.2",
    "1.2.840.10008.1.2.1.99",
    "1.2.840.10008.1.2.4.90",
)
_SENTENCE = 300


def headers(data: bytes) -> None:
    """Headers or a refusal; a prefix says the same as the whole, or that it needs more."""
    syntax = SYNTAXES[data[0] % len(SYNTAXES)] if data else SYNTAXES[0]
    body = data[1:]
    try:
        found = read_headers(lambda count: body[:count], len(body), syntax)
    except Refused as refused:
        assert refused.status is Status.CANNOT_UNDERSTAND
        assert len(refused.sentence) < _SENTENCE
    else:
        for uid in (found.study_instance_uid, found.series_instance_uid, found.sop_instance_uid):
            assert 0 < len(uid) <= 64
            assert set(uid) <= set("0123456789.")
        for keyword in found.values:
            str(found.text(keyword)).encode("utf-8")
    if syntax != SYNTAXES[3]:
        whole = _read(body, syntax, complete=True)
        for cut in {len(body) // 4, len(body) // 2, max(len(body) - 1, 0)}:
            part = _read(body[:cut], syntax, complete=False)
            assert part is None or part == whole


def _read(body: bytes, syntax: str, *, complete: bool) -> object:
    """What the walk says; ``None`` when it needs more."""
    reader = ElementReader(body, encoding_of(syntax), complete=complete)
    try:
        return reader.read(
            (attributes.SPECIFIC_CHARACTER_SET, *attributes.WANTED),
            attributes.LAST_TAG,
            (attributes.REQUEST_ATTRIBUTES_SEQUENCE,),
        )
    except NeedMore:
        assert not complete
        return None
    except Unreadable as error:
        return str(error)


def part10(data: bytes) -> None:
    """The data set begins inside the file, and what the header says survives our own header."""
    try:
        meta, start = split(data)
    except Refused as refused:
        assert refused.status is Status.CANNOT_UNDERSTAND
        assert len(refused.sentence) < _SENTENCE
        return
    assert 132 <= start <= len(data)
    if meta.transfer_syntax_uid in SYNTAXES and is_uid(meta.sop_instance_uid or ""):
        written = encode_header(FileMeta(meta.transfer_syntax_uid, None, meta.sop_instance_uid))
        again, end = split(written + b"\x08\0" + data[start:])
        assert (again.transfer_syntax_uid, again.sop_instance_uid, end) == (
            meta.transfer_syntax_uid,
            meta.sop_instance_uid,
            len(written),
        )
