"""The report that a revision replaces, as it is found at the destination."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import timedelta

import pytest
from pydicom import Dataset

from consumers.dicom.plan import Plan, plan_of
from consumers.dicom.prior import Prior
from consumers.dicom.render import render
from consumers.stow.client import StowClient
from consumers.stow.destination import StowDestination, report_uids
from consumers.stow.prior import has_predecessor, predecessor
from consumers.stow.scu import StorageScu
from consumers.stow.transport import Transport
from consumers.stow.web import DicomWeb
from producers.dimse.peers import Peer
from producers.dimse.requestor import Timeouts
from schemas.events import DeliveryStatus
from schemas.ids import dicom_uid
from schemas.terminology import Language
from tests.consumers.generated import Case, generated
from tests.consumers.stow.objects import CaseSource, data_set, renamed
from tests.orthanc import OrthancServer, orthanc_server

SR = plan_of("sr", Language.UKRAINIAN)
BOTH = plan_of("seg,sr,sr-2d", Language.UKRAINIAN)
SEED = 3


def revision(case: Case, number: int, *, later: float | None = None) -> Case:
    """A revision of a case, an hour after the one before."""
    moment = case.result.occurred_at + timedelta(hours=number if later is None else later)
    findings = tuple(replace(finding, revision=number) for finding in case.result.findings)
    return replace(case, result=replace(case.result, revision=number, occurred_at=moment, findings=findings))


def found(case: Case, reports: Sequence[Dataset], plan: Plan = SR) -> Prior | None:
    return predecessor(case.result, reports, lambda named: report_uids(case.result, case.material(), plan, named))


def reports_of(case: Case, prior: Prior | None = None, plan: Plan = SR) -> list[Dataset]:
    made = render(case.result, case.material(), plan, prior)
    return [data_set(item) for item in made if ".88." in item.sop_class_uid]


@pytest.fixture(scope="module")
def history() -> list[list[Dataset]]:
    """Reports of three revisions, each of which replaces the one before."""
    made: list[list[Dataset]] = []
    for number in (1, 2, 3):
        case = revision(generated(SEED), number)
        before = list(itertools.chain(*made))
        made.append(reports_of(case, found(case, before) if number > 1 else None, BOTH))
    return made


def replaced(report: Dataset) -> str | None:
    items = report.get("PredecessorDocumentsSequence")
    return (
        None
        if not items
        else str(items[0].ReferencedSeriesSequence[0].ReferencedSOPSequence[0].ReferencedSOPInstanceUID)
    )


def test_only_reports_of_later_revisions_have_a_predecessor() -> None:
    case = generated(SEED)
    assert not has_predecessor(case.result, SR)
    assert has_predecessor(revision(case, 2).result, SR)
    assert not has_predecessor(revision(case, 2).result, plan_of("seg,sc", Language.ENGLISH))


def test_each_revision_replaces_the_one_before(history: list[list[Dataset]]) -> None:
    first, second, third = history
    assert {replaced(report) for report in first} == {None}
    assert {replaced(report) for report in second} == {first[0].SOPInstanceUID}, "the 3D report of both"
    assert {replaced(report) for report in third} == {second[0].SOPInstanceUID}


@pytest.mark.parametrize("order", [1, -1])
def test_a_second_delivery_finds_the_same_whatever_came_since(history: list[list[Dataset]], order: int) -> None:
    everything = list(itertools.chain(*history))[::order]
    for number, (before, own) in enumerate(itertools.pairwise(history), start=2):
        case = revision(generated(SEED), number)
        prior = found(case, everything, BOTH)
        assert prior is not None
        assert prior.sop_instance_uid == before[0].SOPInstanceUID
        made = {report.SOPInstanceUID for report in reports_of(case, prior, BOTH)}
        assert made == {report.SOPInstanceUID for report in own}


def test_a_later_run_with_the_same_outcome_is_the_same_report(history: list[list[Dataset]]) -> None:
    case = revision(generated(SEED), 2, later=30)
    prior = found(case, list(itertools.chain(*history)), BOTH)
    assert {report.SOPInstanceUID for report in reports_of(case, prior, BOTH)} == {
        report.SOPInstanceUID for report in history[1]
    }


def test_a_second_delivery_stays_the_same_when_what_it_replaces_is_gone(history: list[list[Dataset]]) -> None:
    case = revision(generated(SEED), 2)
    prior = found(case, [*history[1], *history[2]], BOTH)
    assert prior is not None
    assert prior.sop_instance_uid == history[0][0].SOPInstanceUID


def without(report: Dataset, keyword: str, value: object = None) -> Dataset:
    changed = Dataset()
    changed.update({element.tag: element for element in report})
    if value is None:
        del changed[keyword]
    else:
        setattr(changed, keyword, value)
    return changed


@pytest.mark.parametrize(
    ("keyword", "value"),
    [
        ("Manufacturer", "another"),
        ("Manufacturer", None),
        ("ManufacturerModelName", "another"),
        ("InstanceCreationDate", None),
        ("InstanceCreationTime", "12"),
        ("TimezoneOffsetFromUTC", "Kyiv"),
        ("CurrentRequestedProcedureEvidenceSequence", None),
    ],
)
def test_a_report_of_others_or_of_no_time_is_no_predecessor(
    history: list[list[Dataset]], keyword: str, value: object
) -> None:
    case = revision(generated(SEED), 2)
    assert found(case, [without(history[0][0], keyword, value)]) is None


def test_a_report_about_another_series_is_no_predecessor(history: list[list[Dataset]]) -> None:
    case = revision(generated(SEED), 2)
    other = replace(case, result=replace(case.result, series_instance_uid="1.2.3"))
    assert found(other, history[0]) is None


@pytest.fixture(scope="module")
def orthanc(tmp_path_factory: pytest.TempPathFactory) -> Iterator[OrthancServer]:
    with orthanc_server(
        tmp_path_factory.mktemp("orthanc"), options={"DicomAlwaysAllowFind": True, "DicomAlwaysAllowGet": True}
    ) as server:
        yield server


@pytest.mark.integration
@pytest.mark.orthanc
@pytest.mark.parametrize("way", ["stow", "c-store"])
def test_orthanc_is_asked_for_what_a_revision_replaces(orthanc: OrthancServer, way: str) -> None:
    case = renamed(generated(SEED), "Шевченко^Тарас", dicom_uid("prior", way))
    with ExitStack() as stack:
        transport: Transport
        if way == "stow":
            web = DicomWeb(orthanc.dicom_web, None, 60.0)
            stack.callback(web.close)
            transport = StowClient(web, 1 << 30)
        else:
            peer = Peer(ae_title=orthanc.ae_title, host="127.0.0.1", port=orthanc.dicom_port)
            transport = StorageScu(peer, "SCANSTREAM", Timeouts())

        def deliver(number: int) -> str:
            of = revision(case, number)
            outcomes = StowDestination(transport, CaseSource(of), Plan()).deliver(of.result)
            assert {one.status for one in outcomes} == {DeliveryStatus.STORED}
            return outcomes[-1].identifier

        made = [deliver(number) for number in (1, 2, 3)]
        assert len(set(made)) == 3
        assert [deliver(number) for number in (3, 1, 2)] == [made[2], made[0], made[1]]
        stored = {
            str(report.SOPInstanceUID): report for report in transport.reports(case.result.study_instance_uid)
        }
    assert {uid: replaced(report) for uid, report in stored.items()} == dict(
        zip(made, (None, *made[:2]), strict=True)
    )
