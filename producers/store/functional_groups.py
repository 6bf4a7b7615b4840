"""Enhanced multi-frame image → where its first frame lies, from the functional groups (PS3.3 C.7.6.16). Pure.

Shared groups count before those of the first frame. Guarantee: only what stands near the start of the data set is
looked at, so a large object costs no more than a small one; what is not found there is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from producers.store.elements import ITEM_BYTES, ElementReader, Encoding, NeedMore, Unreadable

#: Enhanced CT, MR, MR Color, PET, XA, XRF; Breast Tomosynthesis; X-Ray 3-D; Legacy Converted CT, MR, PET.
ENHANCED: Final = frozenset(
    f"1.2.840.10008.5.1.4.1.1.{end}"
    for end in (
        *("2.1", "4.1", "4.3", "130", "12.1.1", "12.2.1", "13.1.1", "13.1.2", "13.1.3"),
        *("2.2", "4.4", "128.1"),
    )
)
_SHARED: Final = 0x52009229
_PER_FRAME: Final = 0x52009230
#: Macro → the attribute in it, both by tag.
_WANTED: Final[Mapping[int, int]] = {0x00209113: 0x00200032, 0x00209116: 0x00200037, 0x00289110: 0x00180050}
_MOST_BYTES: Final = 256 * 1024


def read(prefix: Callable[[int], bytes], size: int, encoding: Encoding) -> dict[int, bytes]:
    """Raw values of position, orientation and slice thickness, by their tags.

    Parameters
    ----------
    prefix
        Gives the first ``n`` bytes of the data set.
    size
        Length of the whole data set in bytes.
    encoding
        How its elements are written.
    """
    data = prefix(min(size, _MOST_BYTES))
    try:
        # what is cut off is left out, as at the end of a file
        reader = ElementReader(data, encoding, complete=True)
        _, items = reader.read((*_WANTED,), _PER_FRAME, (_SHARED, _PER_FRAME))
        found: dict[int, bytes] = {}
        for group in (_SHARED, _PER_FRAME):
            for macro, tag in _WANTED.items():
                value = _of_first_item(items.get(group, {}).get(macro, b""), tag, encoding)
                if value is not None:
                    found.setdefault(tag, value)
    except (NeedMore, Unreadable):
        return {}
    return found


def _of_first_item(sequence: bytes, tag: int, encoding: Encoding) -> bytes | None:
    """Value of an attribute in the first item of a sequence, given as it is written."""
    if sequence[:4] != ITEM_BYTES[encoding.little_endian]:
        return None
    # its end, if it has one, is a greater tag than any
    values, _ = ElementReader(sequence[8:], encoding, complete=True).read((tag,), tag)
    return values.get(tag)
