"""Part 10 files read here and by ``dcmread``: the same data sets, or the same errors."""

from __future__ import annotations

import warnings
from io import BytesIO
from pathlib import Path
from typing import Any

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom import Dataset, dcmread
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.errors import InvalidDicomError
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from producers.part10 import dataset_of
from tests.studies import small_study

#: Those that come with the package: nothing is fetched.
SHIPPED = sorted((Path(pydicom.__file__).parent / "data" / "test_files").glob("*.dcm"))


def same(one: FileDataset, other: FileDataset) -> bool:
    return (
        one == other
        and one.file_meta == other.file_meta
        and str(one) == str(other)
        and one.preamble == other.preamble
        and one.original_encoding == other.original_encoding
        and one.original_character_set == other.original_character_set
        and list(one.keys()) == list(other.keys())
    )


def file_of(dataset: Dataset, syntax: UID = ExplicitVRLittleEndian) -> bytes:
    file, made = BytesIO(), FileDataset("", dataset, preamble=bytes(128), file_meta=FileMetaDataset())
    made.file_meta.TransferSyntaxUID = syntax
    made.file_meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.2")
    made.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    made.save_as(file, enforce_file_format=True)
    return file.getvalue()


@pytest.fixture
def image() -> Dataset:
    """With sequences of either length, one in the other, private elements, empty values and Cyrillic."""
    (made, *_) = small_study("1010", 2, 8, "Шевченко^Тарас")
    inner, outer = Dataset(), Dataset()
    inner.CodeMeaning = "Головний мозок"
    outer.AnatomicRegionSequence = [inner]
    outer["AnatomicRegionSequence"].is_undefined_length = True
    inner.is_undefined_length_sequence_item = True
    made.ReferencedImageSequence = [outer, Dataset()]
    made["ReferencedImageSequence"].is_undefined_length = True
    made.RequestAttributesSequence = [inner]
    made.ProcedureCodeSequence = []
    made.private_block(0x0029, "SCANSTREAM TEST", create=True).add_new(1, "OB", b"\1\2")
    made.AccessionNumber, made.SmallestImagePixelValue = "", None
    return made


@pytest.mark.parametrize(
    "syntax",
    [ExplicitVRLittleEndian, ImplicitVRLittleEndian, DeflatedExplicitVRLittleEndian],
)
def test_as_pydicom_reads_it(image: Dataset, syntax: UID) -> None:
    data = file_of(image, syntax)
    made = dataset_of(data)
    assert same(made, dcmread(BytesIO(data)))
    assert made.ReferencedImageSequence[0].AnatomicRegionSequence[0].CodeMeaning is not None


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_files_of_pydicom(path: Path) -> None:
    data = path.read_bytes()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            expected = dcmread(BytesIO(data))
        except InvalidDicomError:
            with pytest.raises(InvalidDicomError):
                dataset_of(data)
            return
        assert same(dataset_of(data), expected)


@pytest.mark.parametrize("data", [b"", b"DICM", bytes(132), bytes(128) + b"DICM" + b"\2\0"])
def test_what_is_no_file(data: bytes) -> None:
    assert outcome(dataset_of, data) == outcome(lambda given: dcmread(BytesIO(given)), data)


@given(st.data())
def test_damaged_files_end_as_with_pydicom(data: st.DataObject) -> None:
    (made, *_) = small_study("1011", 2, 8, "Шевченко^Тарас")
    item = Dataset()
    item.CodeMeaning = "Ґ"
    made.ProcedureCodeSequence = [item]
    made["ProcedureCodeSequence"].is_undefined_length = True
    syntax = data.draw(st.sampled_from([ExplicitVRLittleEndian, ImplicitVRLittleEndian]))
    whole = bytearray(file_of(made, syntax))
    for place in data.draw(st.lists(st.integers(128, min(len(whole), 900) - 1), max_size=3)):
        whole[place] = data.draw(st.integers(0, 255))
    cut = bytes(whole[: data.draw(st.integers(128, len(whole)))])
    assert outcome(dataset_of, cut) == outcome(lambda given: dcmread(BytesIO(given)), cut)


def outcome(read: Any, data: bytes) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            made = read(data)
            return list(made.keys()), str(made), made.original_encoding
        except Exception as error:  # noqa: BLE001 # whatever it is
            return type(error)
