"""C-GET: sub-operations on the same association, received by pynetdicom as an independent SCU."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pynetdicom import evt

from producers.dimse.command import Command, CommandField
from producers.dimse.extended import PATIENT_ROOT_GET, STUDY_ROOT_GET
from producers.dimse.suboperations import SubOperations
from producers.dimse.transfer_form import choose
from producers.store.transcode import EXPLICIT_BIG, EXPLICIT_LITTLE, IMPLICIT_LITTLE, UNCOMPRESSED
from tests.producers.dimse.archive import fill, fill_file, keys, scu
from tests.producers.listener import Listener, data_set_of
from tests.producers.store.data import BIG_ENDIAN, MR, PYDICOM, encoded
from tests.studies import small_study

CT = "1.2.840.10008.5.1.4.1.1.2"
Taken = dict[str, tuple[str, bytes]]


def get(
    listener: Listener,
    identifier: Dataset,
    storage: list[tuple[str, str]],
    *,
    model: str = STUDY_ROOT_GET,
    answer: Callable[[int], int] = lambda number: 0,
    cancel_after: int | None = None,
    extended: dict[str, bytes] | None = None,
) -> tuple[Dataset, Dataset | None, Taken]:
    """Final status, its data set, and objects by SOP Instance UID: transfer syntax and bytes as they came."""
    taken: Taken = {}

    def take(event: evt.Event) -> int:
        request: Any = event.request
        taken[str(request.AffectedSOPInstanceUID)] = (
            str(event.context.transfer_syntax),
            request.DataSet.getvalue(),
        )
        if cancel_after == len(taken):
            event.assoc.send_c_cancel(5, query_model=model)
        return answer(len(taken))

    with scu(listener.port, storage=storage, handlers=[(evt.EVT_C_STORE, take)], extended=extended) as association:
        *_, (status, found) = association.send_c_get(identifier, model, msg_id=5)
    return status, found, taken


def whole(image: Dataset) -> Dataset:
    """Identifier of its study."""
    return keys("STUDY", StudyInstanceUID=image.StudyInstanceUID)


def test_a_study_comes_byte_for_byte_as_it_was_received(listener: Listener) -> None:
    images = small_study(1, slices=4)
    fill(listener, images)
    status, _, taken = get(listener, whole(images[0]), [(MR, EXPLICIT_LITTLE), (MR, IMPLICIT_LITTLE)])
    assert (status.Status, status.NumberOfCompletedSuboperations, status.NumberOfFailedSuboperations) == (0, 4, 0)
    stored = {item.sop_instance_uid: data_set_of(item) for item in listener.stored(images[0].StudyInstanceUID)}
    assert {uid: data for uid, (_, data) in taken.items()} == stored
    assert {syntax for syntax, _ in taken.values()} == {EXPLICIT_LITTLE}


@pytest.mark.parametrize(
    "name", ["JPEG2000.dcm", "MR_small_RLE.dcm", "image_dfl.dcm", "ExplVR_BigEnd.dcm", "JPEG-lossy.dcm"]
)
def test_whatever_transfer_syntax_it_is_stored_in_it_is_sent_in(listener: Listener, name: str) -> None:
    data = fill_file(listener, PYDICOM / name)
    meta = dcmread(PYDICOM / name, stop_before_pixels=True)
    own = str(meta.file_meta.TransferSyntaxUID)
    status, _, taken = get(listener, whole(meta), [(str(meta.SOPClassUID), own)])
    assert status.Status == 0x0000
    assert taken == {str(meta.SOPInstanceUID): (own, data)}


@pytest.mark.parametrize("target", sorted(UNCOMPRESSED))
@pytest.mark.parametrize(
    "name",
    ["MR_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm", "MR_small_RLE.dcm", "image_dfl.dcm"],
)
def test_what_the_peer_does_not_take_is_converted_without_a_change_of_pixels(
    listener: Listener, name: str, target: str
) -> None:
    fill_file(listener, PYDICOM / name)
    original = dcmread(PYDICOM / name)
    status, _, taken = get(listener, whole(original), [(str(original.SOPClassUID), target)])
    assert status.Status == 0x0000
    ((syntax, data),) = taken.values()
    assert syntax == target
    found = read_dataset(BytesIO(data), target == IMPLICIT_LITTLE, target != EXPLICIT_BIG)
    found.file_meta = original.file_meta
    found.file_meta.TransferSyntaxUID = target
    expected = dcmread(PYDICOM / name).pixel_array
    assert np.array_equal(found.pixel_array, expected)
    assert (found.Rows, found.PatientName) == (original.Rows, original.PatientName)


def test_what_no_context_takes_counts_as_failed_and_is_listed(listener: Listener) -> None:
    images = small_study(1, slices=2, size=4)
    fill(listener, images)
    other = small_study(1, slices=3, size=4)[2]
    other.SOPClassUID = CT
    fill(listener, [other])
    status, found, taken = get(listener, whole(images[0]), [(MR, EXPLICIT_LITTLE)])
    assert status.Status == 0xB000
    assert (status.NumberOfCompletedSuboperations, status.NumberOfFailedSuboperations) == (2, 1)
    assert found is not None
    assert found.FailedSOPInstanceUIDList == other.SOPInstanceUID
    assert len(taken) == 2


def test_nothing_delivered_is_a_failure(listener: Listener) -> None:
    images = small_study(1, slices=2, size=4)
    fill(listener, images)
    status, found, _ = get(listener, whole(images[0]), [(CT, EXPLICIT_LITTLE)])
    assert status.Status == 0xA702
    assert found is not None
    assert len(found.FailedSOPInstanceUIDList) == 2


def test_statuses_of_the_peer_are_counted(listener: Listener) -> None:
    images = small_study(1, slices=3, size=4)
    fill(listener, images)
    answers = {1: 0x0000, 2: 0xB000, 3: 0xA700}
    status, _, _ = get(listener, whole(images[0]), [(MR, EXPLICIT_LITTLE)], answer=lambda number: answers[number])
    assert status.Status == 0xB000
    assert (
        status.NumberOfCompletedSuboperations,
        status.NumberOfWarningSuboperations,
        status.NumberOfFailedSuboperations,
    ) == (1, 1, 1)


def test_a_file_that_is_gone_or_cut_off_is_not_sent(listener: Listener) -> None:
    images = small_study(1, slices=3, size=16)
    fill(listener, images)
    first, second, third = listener.stored(images[0].StudyInstanceUID)
    first.path.unlink()
    second.path.write_bytes(second.path.read_bytes()[:-10])
    status, found, taken = get(listener, whole(images[0]), [(MR, EXPLICIT_LITTLE)])
    assert status.Status == 0xB000
    assert list(taken) == [third.sop_instance_uid]
    assert found is not None
    assert list(found.FailedSOPInstanceUIDList) == [first.sop_instance_uid, second.sop_instance_uid]


def test_pixel_data_that_cannot_be_decoded_is_not_sent(listener: Listener) -> None:
    broken = dcmread(PYDICOM / "MR_small_RLE.dcm")
    data = fill_file(listener, PYDICOM / "MR_small_RLE.dcm")
    (stored,) = listener.stored(str(broken.StudyInstanceUID))
    raw = bytearray(stored.path.read_bytes())
    raw[-len(data) // 2 :] = bytes(len(data) // 2)
    stored.path.write_bytes(raw[: stored.data_set_offset + stored.size_bytes])
    status, _, taken = get(listener, whole(broken), [(str(broken.SOPClassUID), IMPLICIT_LITTLE)])
    assert (status.Status, taken) == (0xA702, {})


def test_a_retrieval_can_be_cancelled_in_the_middle(listener: Listener) -> None:
    images = small_study(1, slices=12, size=4)
    fill(listener, images)
    status, _, taken = get(listener, whole(images[0]), [(MR, EXPLICIT_LITTLE)], cancel_after=2)
    assert status.Status == 0xFE00
    assert 2 <= len(taken) < 12
    assert status.NumberOfRemainingSuboperations == 12 - len(taken)


def test_lists_of_series_and_images_and_whole_patients_can_be_asked_for(listener: Listener) -> None:
    images = small_study(1, slices=4, size=4)
    fill(listener, images)
    fill(listener, small_study(2, slices=1, size=4))
    storage = [(MR, EXPLICIT_LITTLE)]
    two = [images[0].SOPInstanceUID, images[3].SOPInstanceUID]
    upper = {"StudyInstanceUID": images[0].StudyInstanceUID, "SeriesInstanceUID": images[0].SeriesInstanceUID}
    assert set(get(listener, keys("IMAGE", **upper, SOPInstanceUID=two), storage)[2]) == set(two)
    assert len(get(listener, keys("SERIES", **upper), storage)[2]) == 4
    patient = get(listener, keys("PATIENT", PatientID="P-1"), storage, model=PATIENT_ROOT_GET)
    assert len(patient[2]) == 4
    only = keys("IMAGE", SOPInstanceUID=two[0])
    assert list(get(listener, only, storage, extended={STUDY_ROOT_GET: b"\x01"})[2]) == two[:1]


@pytest.mark.parametrize(
    ("identifier", "comment"),
    [
        (keys("STUDY", StudyInstanceUID=""), "unique key of STUDY"),
        (keys("STUDY", StudyInstanceUID="1.2.*"), "without wildcards"),
        (keys("IMAGE", SOPInstanceUID="1.2"), "StudyInstanceUID must be one value"),
        (keys("PATIENT", PatientID="P-1"), "QueryRetrieveLevel"),
    ],
)
def test_a_wrong_identifier_is_refused(listener: Listener, identifier: Dataset, comment: str) -> None:
    status, _, _ = get(listener, identifier, [(MR, EXPLICIT_LITTLE)])
    assert status.Status == 0xA900
    assert comment in status.ErrorComment


def test_what_does_not_exist_is_a_success_of_nothing(listener: Listener) -> None:
    status, _, taken = get(listener, keys("STUDY", StudyInstanceUID="1.2.3"), [(MR, EXPLICIT_LITTLE)])
    assert (status.Status, taken) == (0x0000, {})


def test_an_instance_is_sent_as_it_is_whenever_that_is_taken() -> None:
    jpeg, unknown = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.100"
    assert choose(jpeg, {jpeg, EXPLICIT_LITTLE}) == jpeg
    assert choose(unknown, {EXPLICIT_LITTLE}) is None
    assert choose(IMPLICIT_LITTLE, {EXPLICIT_LITTLE}) == EXPLICIT_LITTLE
    assert choose(EXPLICIT_LITTLE, {jpeg}) is None


def test_a_list_of_failures_never_outgrows_its_element() -> None:
    uids = [f"1.2.826.0.1.3680043.8.498.{number:020d}" for number in range(5000)]
    state = SubOperations(5000).with_failed(uids)
    response = state.final(Command(CommandField.C_GET_RQ, 1, None, STUDY_ROOT_GET), EXPLICIT_LITTLE, False)
    assert response.data_set is not None
    assert len(response.data_set) <= 0xFFFE + 8
    found = read_dataset(DicomBytesIO(response.data_set), False, True).FailedSOPInstanceUIDList
    assert list(found) == uids[: len(found)]
    assert response.command.failed == 5000


def test_bytes_of_a_big_endian_study_are_those_that_came(listener: Listener, tmp_path: Path) -> None:
    image = small_study(1, slices=1, size=4)[0]
    fill(listener, [image], BIG_ENDIAN)
    _, _, taken = get(listener, whole(image), [(MR, EXPLICIT_BIG)])
    assert taken[image.SOPInstanceUID][1] == encoded(image, BIG_ENDIAN)
