"""A result on its whole way: claim checks redeemed at a real gateway, objects stored back into it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from confluent_kafka import Message

from consumers.destination import SourceUnavailable
from consumers.dicom.plan import Plan
from consumers.dicom.render import RenderedObject
from consumers.stow.client import StowClient
from consumers.stow.destination import StowDestination
from consumers.stow.web import DicomWeb
from producers.artifacts import MASK_MEDIA_TYPE, pack_mask
from producers.claim_check import ClaimCheck
from schemas.events import DeliveryStatus, InferenceResult
from schemas.headers import header
from schemas.ids import event_id
from schemas.settings import KafkaSettings
from schemas.topics import WRITER_GROUPS
from tests.consumers.delivery.bench import Bench
from tests.consumers.results import headers, mask, result_with_findings
from tests.producers.dicomweb.conftest import Gateway, gateway
from tests.services import module, stop
from tests.tools import free_port

__all__ = ["gateway"]


@pytest.fixture
def client(gateway: Gateway) -> Iterator[StowClient]:
    web = DicomWeb(gateway.dicom_web, None, timeout_s=60.0)
    yield StowClient(web, 1 << 30)
    web.close()


@pytest.fixture
def result(gateway: Gateway, client: StowClient) -> InferenceResult:
    """A result about a series that the gateway holds, with its mask there too."""
    sources = [
        RenderedObject(
            str(header.SOPClassUID),
            str(header.StudyInstanceUID),
            str(header.SeriesInstanceUID),
            str(header.SOPInstanceUID),
            Path(str(header.filename)).read_bytes(),
        )
        for header in headers()
    ]
    assert {outcome.status for outcome in client.store(sources)} == {DeliveryStatus.STORED}
    url = f"{gateway.dicom_web}/studies/{headers()[0].StudyInstanceUID}"
    with ClaimCheck() as claims:
        artifact = claims.put_artifact(url, "mask", MASK_MEDIA_TYPE, pack_mask(mask()), mask().shape)
    return replace(result_with_findings(), retrieve_url=url, artifacts=(artifact,))


def test_the_gateways_own_store_is_a_pacs(gateway: Gateway, client: StowClient, result: InferenceResult) -> None:
    with ClaimCheck() as claims:
        destination = StowDestination(client, claims, Plan())
        destination.probe()
        outcomes = destination.deliver(result)
        assert destination.deliver(result) == outcomes, "a second delivery says the same"
        assert [outcome.status for outcome in outcomes] == [DeliveryStatus.STORED] * 2
        seg = next(one for one in outcomes if one.object_type.endswith("66.4"))
        series = str(seg.url).split("/series/")[1].split("/")[0]
        (back,) = claims.fetch_series(result.retrieve_url, series, [seg.identifier])
    assert back.Manufacturer == "scanstream"
    assert len(back.pixel_array) == int(mask().any(axis=(1, 2)).sum())
    assert int(np.count_nonzero(back.pixel_array)) == int(mask().sum())


def told(message: Message, name: str) -> str:
    return header(cast(list[tuple[str, bytes]], message.headers()), name) or ""


@pytest.mark.integration
def test_the_writer_process_delivers_dead_letters_what_is_gone_and_ends_when_told(
    gateway: Gateway, result: InferenceResult, kafka_settings: KafkaSettings, tmp_path: Path
) -> None:
    bench = Bench(kafka_settings, WRITER_GROUPS["stow"], "stow")
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka_settings.bootstrap_servers,
        "SCANSTREAM_NODE": tmp_path.name,
        "SCANSTREAM_STOW_PACS_URL": gateway.dicom_web,
    }
    gone = replace(
        result,
        task_id=event_id("task", "gone"),
        event_id=event_id("result", "gone"),
        sop_instance_uids=(*result.sop_instance_uids[:-1], "2.25.404"),
    )
    log = tmp_path / "writer.log"
    with module("consumers.writer", "stow", environment=environment, log=log) as child:
        bench.send(result)
        bench.wait_for_outcomes(1)
        bench.send(gone)
        outcome, refused = bench.wait_for_outcomes(2)
        assert stop(child) == 0
    assert outcome.status is DeliveryStatus.STORED
    assert (refused.status, refused.task_id) == (DeliveryStatus.FAILED, gone.task_id)
    assert refused.reason is not None
    assert "InvalidMessage" in refused.reason
    assert "2.25.404 is missing" in refused.reason
    (letter,) = bench.dead_letters()
    assert told(letter, "scanstream_error") == "InvalidMessage"
    assert "2.25.404 is missing" in told(letter, "scanstream_reason")
    said = log.read_text(encoding="utf-8")
    assert '"event": "ready"' in said
    assert "DEMO" not in said, "no patient in the log"


def test_a_gateway_that_is_away_is_waited_for(client: StowClient, result: InferenceResult) -> None:
    away = replace(result, retrieve_url=f"http://127.0.0.1:{free_port()}/dicom-web/studies/1.2")
    with ClaimCheck(5.0) as claims, pytest.raises(SourceUnavailable):
        StowDestination(client, claims, Plan()).deliver(away)
