"""Header fields that DICOMweb clients really send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.dicomweb.media import MediaType, choose, parse_accept, parse_media_type


def test_content_type_with_quoted_type_and_boundary() -> None:
    parsed = parse_media_type('multipart/related; type="application/dicom"; boundary="a;b\\"c"')
    assert parsed == MediaType("multipart/related", {"type": "application/dicom", "boundary": 'a;b"c'})


@pytest.mark.parametrize("value", ["", "nonsense", "a/b c", 'a/b; x="open'])
def test_what_is_no_media_type(value: str) -> None:
    assert parse_media_type(value) is None


def test_accept_is_ordered_by_quality_and_zero_is_refused() -> None:
    ranges = parse_accept('a/a;q=0.1, b/b, c/c;q=0, multipart/related; type="x/y,z"; transfer-syntax=*;q=0.5')
    assert [item.name for item in ranges] == ["b/b", "multipart/related", "a/a"]
    assert ranges[1].parameters == {"type": "x/y,z", "transfer-syntax": "*"}


@pytest.mark.parametrize("value", [None, "", "  ", "*", "*/*"])
def test_nothing_said_accepts_everything(value: str | None) -> None:
    assert parse_accept(value) == (MediaType("*/*"),)


@pytest.mark.parametrize(
    ("accept", "chosen"),
    [
        ("application/dicom+xml", None),
        ("application/dicom+xml, application/json;q=0.5", "application/json"),
        ("application/*", "application/dicom+json"),
        ("application/json, application/dicom+json", "application/json"),
    ],
)
def test_choice(accept: str, chosen: str | None) -> None:
    assert choose(parse_accept(accept), ("application/dicom+json", "application/json")) == chosen


@given(st.text(max_size=60))
def test_any_text_is_read_or_passed_over(text: str) -> None:
    parse_accept(text)
    parse_media_type(text)
