"""Part 10 file in memory → data set, as ``pydicom.dcmread`` gives it, in a fraction of its time.

Most of what ``dcmread`` does for an ordinary image is to look, element by element, for what an ordinary image
does not have. Here the elements of an uncompressed little-endian file are walked in one loop and left raw, for
pydicom to convert when they are asked for. Guarantee: whatever is not ordinary (another transfer syntax, no
preamble, a VR that is none, undefined lengths other than of sequences, an element that is cut off) is read by
pydicom from the start.
"""

from __future__ import annotations

from collections.abc import MutableMapping, MutableSequence
from io import BytesIO
from struct import Struct
from typing import Final, cast

from pydicom import dcmread
from pydicom.charset import convert_encodings, default_encoding
from pydicom.datadict import dictionary_VR
from pydicom.dataelem import DataElement, RawDataElement, empty_value_for_VR
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.filereader import read_sequence
from pydicom.tag import BaseTag
from pydicom.uid import ExplicitVRLittleEndian, ImplicitVRLittleEndian
from pydicom.valuerep import EXPLICIT_VR_LENGTH_32, STANDARD_VR

Elements = MutableMapping[BaseTag, DataElement | RawDataElement]

_PREAMBLE: Final = 128
_START: Final = _PREAMBLE + len(b"DICM")
_UNDEFINED: Final = 0xFFFFFFFF
_CHARACTER_SET: Final = 0x00080005
_TRANSFER_SYNTAX: Final = BaseTag(0x00020010)

#: Whether an element is written with implicit VR, by transfer syntax; others are not ordinary.
_IMPLICIT: Final = {str(ExplicitVRLittleEndian): False, str(ImplicitVRLittleEndian): True}

#: Name of each VR, and whether its length has four bytes (PS3.5 7.1.2).
_VRS: Final = {vr.value.encode(): (vr.value, vr in EXPLICIT_VR_LENGTH_32) for vr in STANDARD_VR}

_EXPLICIT_HEAD: Final = Struct("<HH2sH").unpack_from
_IMPLICIT_HEAD: Final = Struct("<HHL").unpack_from
_LENGTH: Final = Struct("<L").unpack_from


class _Unusual(Exception):
    """The file is for pydicom to read."""


def dataset_of(data: bytes) -> FileDataset:
    """Data set of a Part 10 file.

    Parameters
    ----------
    data
        The whole file.

    Raises
    ------
    pydicom.errors.InvalidDicomError, and what else ``dcmread`` raises
        It is none, or cannot be read.
    """
    try:
        return _ordinary(data)
    except _Unusual:
        return dcmread(BytesIO(data))


def _ordinary(data: bytes) -> FileDataset:
    if data[_PREAMBLE:_START] != b"DICM":
        raise _Unusual
    walk = _Walk(data)
    meta, position = walk.elements(_START, implicit=False, meta=True)
    syntax = meta.get(_TRANSFER_SYNTAX)
    if not isinstance(syntax, RawDataElement) or syntax.value is None:
        raise _Unusual
    implicit = _IMPLICIT.get(syntax.value.rstrip(b"\0 ").decode("latin-1"))
    if implicit is None:
        raise _Unusual
    if implicit and data[position + 4 : position + 6].isalpha():
        raise _Unusual  # explicit in spite of what it says
    elements, _ = walk.elements(position, implicit=implicit, meta=False)
    file_meta = FileMetaDataset(meta)
    file_meta.set_original_encoding(False, True, default_encoding)
    # an empty buffer: nothing here is read later, and the file need not stay in memory beside its values
    made = FileDataset(BytesIO(), elements, data[:_PREAMBLE], file_meta, implicit, True)
    made.set_original_encoding(implicit, True, walk.encoding)
    return made


class _Walk:
    """Reads the elements of one file; ``encoding`` is that of its texts, once they are read."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.encoding: str | MutableSequence[str] = default_encoding

    def elements(self, position: int, *, implicit: bool, meta: bool) -> tuple[Elements, int]:
        """Elements from a position to the end, or to that of the File Meta Information; and where they end."""
        data, end = self._data, len(self._data)
        found: Elements = {}
        vr: str | None = None
        while position < end:
            if position + 8 > end:
                raise _Unusual
            if implicit:
                group, element, length = _IMPLICIT_HEAD(data, position)
                start = position + 8
            else:
                group, element, written, length = _EXPLICIT_HEAD(data, position)
                known = _VRS.get(written)
                if known is None:
                    raise _Unusual
                vr, long = known
                start = position + 8
                if long:
                    if position + 12 > end:
                        raise _Unusual
                    (length,) = _LENGTH(data, start)
                    start += 4
            if meta and group != 2:
                return found, position
            if group in (0x0000, 0xFFFE) or (group == 2 and not meta):
                raise _Unusual
            tag = BaseTag(group << 16 | element)
            if length == _UNDEFINED:
                position = self._sequence(found, tag, vr, start)
                continue
            position = start + length
            if position > end:
                raise _Unusual
            value = data[start:position] if length else cast("bytes | None", empty_value_for_VR(vr, raw=True))
            if tag == _CHARACTER_SET:
                self._texts(value)
            found[tag] = RawDataElement(tag, vr, length, value, start, implicit, True)
        return found, position

    def _sequence(self, found: Elements, tag: BaseTag, vr: str | None, start: int) -> int:
        """Read a sequence of undefined length; where it ends."""
        implicit = vr is None
        if vr is None:
            try:
                vr = dictionary_VR(tag)
            except KeyError as error:
                raise _Unusual from error
        if vr != "SQ":
            raise _Unusual
        file = BytesIO(self._data)
        file.seek(start)
        items = read_sequence(file, implicit, True, _UNDEFINED, self.encoding)
        found[tag] = DataElement(tag, vr, items, start, is_undefined_length=True)
        return file.tell()

    def _texts(self, value: bytes | None) -> None:
        names = (value or b"").decode("latin-1").rstrip("\0 ").split("\\")
        self.encoding = convert_encodings([name.strip(" ") for name in names] if len(names) > 1 else names[0])
