from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
from pydicom import Dataset

from consumers.destination import ReviewedDestination, SourceUnavailable
from consumers.oru.destination import OruDestination, build
from consumers.oru.link import Link
from producers.claim_check import ClaimCheck
from producers.hl7.client import Listener
from producers.hl7.mllp import frame
from producers.process import Process
from schemas.destinations import OruSettings
from schemas.errors import InvalidMessage, PermanentRejection, TransientFailure
from schemas.events import Decision, DeliveryStatus, InferenceResult
from schemas.settings import ProcessSettings
from schemas.terminology import Language
from tests.consumers.generated import big_case, could_not_run, generated, nasty_case, nasty_texts
from tests.consumers.oru.cases import header, judged
from tests.consumers.oru.listener import Answers, ack, scripted
from tests.consumers.oru.python_hl7 import python_hl7
from tests.consumers.oru.test_tls import server
from tests.consumers.results import SERIES, result_with_findings
from tests.producers.certificates import authority, signed
from tests.producers.dicomweb.conftest import Gateway, gateway
from tests.producers.dicomweb.objects import STOW_TYPE, stow_body
from tests.tools import free_port

__all__ = ["gateway"]

NAME = "Ґалаґан^Соломія"


class Known:
    """The header of every image, without a gateway."""

    def fetch_headers(self, retrieve_url: str, series: str, instances: Sequence[str]) -> list[Dataset]:
        return [self.fetch_study_header(retrieve_url) for _ in instances]

    def fetch_study_header(self, retrieve_url: str) -> Dataset:
        return header(PatientName=NAME, PatientID="Ґ|4711", ReferringPhysicianName="Лікар^Олена")


@contextmanager
def writer_to(port: int) -> Iterator[OruDestination]:
    link = Link(Listener("127.0.0.1", port, "SCANSTREAM_ORU"), 60.0)
    with closing(OruDestination("oru", link, Known(), OruSettings(), Language.UKRAINIAN)) as made:
        yield made


def test_python_hl7_receives_fifty_results_over_one_connection() -> None:
    with python_hl7() as server, writer_to(server.port) as writer:
        outcomes = [writer.deliver(generated(seed).result) for seed in range(50)]
    assert server.connections == 1
    assert [message["MSH.F10"] for message in server.messages] == [one.identifier for (one,) in outcomes]
    assert {(one.object_type, one.status, one.reason) for (one,) in outcomes} == {
        ("ORU^R01", DeliveryStatus.STORED, "AA")
    }
    for seed, message in enumerate(server.messages):
        result = generated(seed).result
        assert message["PID.F5.R1.C1"] == "Ґалаґан"
        assert message.unescape(message["PID.F3.R1.C1"]) == "Ґ|4711"
        found = [str(item[5][0][0]) for item in message.segments("OBX") if str(item[3][0][0]) == "121071"]
        assert found == ([finding.code.value for finding in result.findings] or ["260385009"])


@pytest.mark.parametrize("text", nasty_texts())
def test_python_hl7_reads_nasty_texts_as_they_were(text: str) -> None:
    with python_hl7() as server, writer_to(server.port) as writer:
        writer.deliver(nasty_case(text).result)
    (message,) = server.messages
    (model,) = [item for item in message.segments("OBX") if str(item[3][0][0]) == "111001"]
    assert message.unescape(str(model[5])) == text


def test_a_message_of_five_hundred_findings_is_taken() -> None:
    with python_hl7() as server, writer_to(server.port) as writer:
        (outcome,) = writer.deliver(big_case().result)
    assert outcome.status is DeliveryStatus.STORED
    assert len(server.messages) == 1


def test_the_receiver_sees_p_then_f_under_one_order_number_and_a_redelivery_as_the_same_message() -> None:
    result = result_with_findings()
    verdict = judged(result, 0, Decision.CONFIRMED)
    with python_hl7() as server, writer_to(server.port) as writer:
        assert isinstance(writer, ReviewedDestination)
        assert writer.wants_failures
        first, again = writer.deliver(result), writer.deliver(result)
        (reviewed,) = writer.review(verdict)
    assert first == again
    assert reviewed.identifier != first[0].identifier
    assert [message["OBR.F25"] for message in server.messages] == ["P", "P", "F"]
    assert len({message["OBR.F3.R1.C1"] for message in server.messages}) == 1
    assert str(server.messages[0]) == str(server.messages[1])
    assert server.messages[2]["OBR.F22"] > server.messages[0]["OBR.F22"]


def test_a_verdict_without_its_result_cannot_be_told() -> None:
    verdict = replace(judged(result_with_findings(), 0, Decision.CONFIRMED), result=None)
    with writer_to(free_port()) as writer, pytest.raises(InvalidMessage, match="does not carry its result"):
        writer.review(verdict)


def test_a_refusal_names_nobody(caplog: pytest.LogCaptureFixture) -> None:
    def refuses(control_id: str) -> Answers:
        said = "Unknown patient ґалаґан СОЛОМІЯ, id Ґ|4711, accession DEMO-A001, born 19730101"
        yield frame(ack("AE", control_id, "204", said=said))

    with scripted() as listener, writer_to(listener.port) as writer, caplog.at_level(logging.DEBUG):
        listener.answers = refuses
        with pytest.raises(PermanentRejection) as refused:
            writer.deliver(result_with_findings())
    assert refused.value.code == 204
    for personal in ("алаґан", "ОЛОМІЯ", "оломія", "4711", "DEMO", "1973"):
        assert personal not in str(refused.value)
        assert personal not in caplog.text


def store_series(gateway: Gateway) -> InferenceResult:
    """The demonstration series in the gateway, and a result about it."""
    body = stow_body([path.read_bytes() for path in sorted(SERIES.glob("*.dcm"))])
    response = httpx.post(f"{gateway.dicom_web}/studies", content=body, headers={"Content-Type": STOW_TYPE})
    assert response.status_code == 200
    result = result_with_findings()
    return replace(result, retrieve_url=f"{gateway.dicom_web}/studies/{result.study_instance_uid}")


def test_the_patient_comes_from_the_gateway_also_for_a_run_that_names_no_image(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    result = store_series(gateway)
    failed = replace(could_not_run().result, retrieve_url=result.retrieve_url, series_instance_uid="")
    ca = authority(tmp_path)
    with python_hl7(server(signed(tmp_path, "ris", ca, address="127.0.0.1"))) as receiver:
        for name, value in {
            "SCANSTREAM_ORU_PORT": str(receiver.port),
            "SCANSTREAM_ORU_TLS": "true",
            "SCANSTREAM_ORU_TLS_CA": str(ca.certificate),
            "SCANSTREAM_ORU_RECEIVING_APPLICATION": "РІС",
            "SCANSTREAM_WRITER_NAME": "ris-2",
            "SCANSTREAM_WRITER_LANGUAGE": "uk",
        }.items():
            monkeypatch.setenv(name, value)
        with closing(build(Process("writer-oru", ProcessSettings()))) as writer:
            writer.probe()
            writer.deliver(result)
            writer.deliver(failed)
    assert writer.name == "ris-2"
    assert [message["PID.F3.R1.C1"] for message in receiver.messages] == ["DEMO-0001"] * 2
    assert [message["OBR.F25"] for message in receiver.messages] == ["P", "X"]
    assert receiver.messages[0]["MSH.F5"] == "РІС"
    assert receiver.connections == 1


def test_images_that_the_store_no_longer_has_are_a_failure_of_this_result(gateway: Gateway) -> None:
    result = store_series(gateway)
    link = Link(Listener("127.0.0.1", free_port(), "SCANSTREAM_ORU"), 5.0)
    writer = OruDestination("oru", link, ClaimCheck(20.0), OruSettings(), Language.ENGLISH)
    with pytest.raises(TransientFailure, match=r"missing|does not hold"):
        writer.deliver(replace(result, sop_instance_uids=("1.2.3.4",)))
    gone = f"http://127.0.0.1:{free_port()}/dicom-web/studies/{result.study_instance_uid}"
    with pytest.raises(SourceUnavailable):
        writer.deliver(replace(result, retrieve_url=gone))
