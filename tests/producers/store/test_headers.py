from __future__ import annotations

import warnings

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st

from producers.store import Headers, Refused, Status, is_uid, read_headers, split
from producers.store.attributes import WANTED
from tests.producers.store.data import BIG_ENDIAN, DEMO, EXPLICIT, IMPLICIT, MALFORMED, PYDICOM, encoded, image


def read(data: bytes, syntax: str = EXPLICIT) -> Headers:
    return read_headers(lambda count: data[:count], len(data), syntax)


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_every_element_encoding(syntax: str) -> None:
    headers = read(encoded(image(InstanceNumber=7, AccessionNumber="A1"), syntax), syntax)
    assert headers.sop_instance_uid == "1.2.3.4"
    assert headers.values["Rows"] == 4
    assert headers.values["InstanceNumber"] == 7
    assert headers.text("AccessionNumber") == "A1"


def pydicom_files() -> list[str]:
    found = []
    for path in sorted(PYDICOM.rglob("*")):
        if path.is_file():
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    ds = pydicom.dcmread(path, stop_before_pixels=True)
                    if "StudyInstanceUID" in ds and "TransferSyntaxUID" in ds.file_meta:
                        found.append(str(path.relative_to(PYDICOM)))
                except (pydicom.errors.InvalidDicomError, AttributeError):
                    pass
    return found


@pytest.mark.parametrize("name", pydicom_files())
@pytest.mark.filterwarnings("ignore")
def test_agrees_with_pydicom(name: str) -> None:
    path = PYDICOM / name
    data = path.read_bytes()
    meta, offset = split(data)
    expected = pydicom.dcmread(path, stop_before_pixels=True)
    headers = read(data[offset:], meta.transfer_syntax_uid)
    assert meta.transfer_syntax_uid == expected.file_meta.TransferSyntaxUID
    for attribute in WANTED.values():
        if attribute.keyword in expected and attribute.vr in ("UI", "CS", "LO", "SH", "DA", "US"):
            value = expected[attribute.keyword].value
            value = "\\".join(value) if isinstance(value, pydicom.multival.MultiValue) else value
            assert (headers.values[attribute.keyword] or "") == (str(value) if attribute.vr != "US" else value)


@pytest.mark.parametrize(
    ("charset", "name", "codec"),
    [
        ("ISO_IR 192", "Ґудзь^Євгенія", "utf-8"),
        ("ISO_IR 144", "Шевченко^Тарас", "iso8859-5"),
        ("ISO_IR 100", "Müller^Jörg", "latin-1"),
        ("GB18030", "王^小东", "gb18030"),
    ],
)
def test_names_are_unicode(charset: str, name: str, codec: str) -> None:
    ds = image(SpecificCharacterSet=charset, PatientName=name)
    assert name.encode(codec) in encoded(ds)
    assert read(encoded(ds)).text("PatientName") == name


def test_code_extensions() -> None:
    ds = image(SpecificCharacterSet=["", "ISO 2022 IR 87"], PatientName="Yamada^Tarou=山田^太郎")
    assert read(encoded(ds)).text("PatientName") == "Yamada^Tarou=山田^太郎"


@pytest.mark.parametrize("charset", [b"", b"ISO_IR 192", b"NONSENSE", b"\xff\xfe", b"ISO 2022 IR 87\\ISO_IR 100"])
@given(name=st.binary(max_size=64))
def test_text_never_refuses(charset: bytes, name: bytes) -> None:
    base = encoded(image(PatientName="", SpecificCharacterSet="ISO_IR 100"))
    data = element(0x00080005, b"CS", charset) + base[base.index(b"\x08\x00\x16\x00UI") :]
    position = data.index(b"\x10\x00\x10\x00PN")
    data = data[:position] + element(0x00100010, b"PN", name) + data[position + 8 :]
    assert read(data).sop_instance_uid == "1.2.3.4"


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    value += b" " * (len(value) % 2)
    head = (tag >> 16).to_bytes(2, "little") + (tag & 0xFFFF).to_bytes(2, "little")
    return head + vr + len(value).to_bytes(2, "little") + value


@given(st.binary(max_size=300), st.sampled_from([EXPLICIT, IMPLICIT, BIG_ENDIAN, "1.2.840.10008.1.2.1.99"]))
def test_any_bytes_end_in_headers_or_a_refusal(data: bytes, syntax: str) -> None:
    with pytest.raises(Refused):
        read(data, syntax)


@given(st.data())
def test_damaged_images_end_in_headers_or_a_refusal(data: st.DataObject) -> None:
    raw = bytearray(encoded(image(RequestAttributesSequence=[pydicom.Dataset()], StudyDescription="x")))
    for _ in range(data.draw(st.integers(1, 6))):
        raw[data.draw(st.integers(0, len(raw) - 1))] = data.draw(st.integers(0, 255))
    cut = bytes(raw[: data.draw(st.integers(0, len(raw)))])
    try:
        assert is_uid(read(cut).sop_instance_uid)
    except Refused as refused:
        assert refused.status is Status.CANNOT_UNDERSTAND


def test_reads_no_further_than_the_header() -> None:
    data = encoded(image(PixelData=bytes(10_000_000)))
    asked: list[int] = []

    def prefix(count: int) -> bytes:
        asked.append(count)
        return data[:count]

    read_headers(prefix, len(data), EXPLICIT)
    assert asked == [64 * 1024]


def test_large_private_header_is_read_through() -> None:
    ds = image()
    ds.add_new(0x00090010, "LO", "TEST")
    ds.add_new(0x00091001, "OB", bytes(1_000_000))
    assert read(encoded(ds)).study_instance_uid == "1.2.3"


def test_deep_nesting_is_refused() -> None:
    nest = b"\x08\x00\x40\x11SQ\x00\x00\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff"
    with pytest.raises(Refused, match="nested deeper"):
        read(nest * 100_000)


def test_request_attributes() -> None:
    item = pydicom.Dataset()
    item.RequestedProcedureID, item.ScheduledProcedureStepID = "RP1", "SPS1"
    for syntax in (EXPLICIT, IMPLICIT, BIG_ENDIAN):
        headers = read(encoded(image(RequestAttributesSequence=[item]), syntax), syntax)
        assert headers.text("RequestedProcedureID") == "RP1"
        assert headers.text("ScheduledProcedureStepID") == "SPS1"


@pytest.mark.parametrize(
    "uid", ["../../etc/passwd", "1.2'; DROP TABLE instances; --", "1..2", "", "1" * 65, "1.2\n"]
)
def test_bad_uids_are_refused(uid: str) -> None:
    assert not is_uid(uid)
    data = encoded(image(sop="9.9.9.9")).replace(
        element(0x00080018, b"UI", b"9.9.9.9\0"), element(0x00080018, b"UI", uid.encode())
    )
    with pytest.raises(Refused) as refused:
        read(data)
    assert refused.value.status is Status.CANNOT_UNDERSTAND
    assert "passwd" not in refused.value.sentence


def test_own_results_are_recognised() -> None:
    assert read(encoded(image(Manufacturer="scanstream"))).is_own_result
    assert not read(encoded(image(Manufacturer="Scanner"))).is_own_result


def test_demo_and_malformed_files_are_readable() -> None:
    for path in [*DEMO, MALFORMED]:
        data = path.read_bytes()
        meta, offset = split(data)
        assert read(data[offset:], meta.transfer_syntax_uid).text("Modality") == "MR"


def test_what_is_held_in_memory_of_a_huge_data_set_is_bounded() -> None:
    asked: list[int] = []

    def prefix(count: int) -> bytes:
        asked.append(count)
        return b"\x09\x00\x01\x10UN\x00\x00\x00\x00\x00\x70"  # a private element of nearly 2 GB

    with pytest.raises(Refused, match="no StudyInstanceUID"):
        read_headers(prefix, 2**31, EXPLICIT)
    assert max(asked) == 64 * 1024 * 1024
