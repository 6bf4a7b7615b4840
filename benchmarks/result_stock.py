"""Studies at a gateway with masks beside them, and the results about them: what writers are measured with."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import httpx

from consumers.dicom.render import RenderedObject
from consumers.stow.client import StowClient
from consumers.stow.web import DicomWeb
from producers.artifacts import MASK_MEDIA_TYPE, pack_mask
from producers.claim_check import ClaimCheck
from schemas.events import DeliveryStatus, InferenceResult
from schemas.ids import event_id
from schemas.topics import Priority
from tests.consumers.results import finding, mask, result_with_findings
from tests.services import module, wait_for
from tests.studies import small_study
from tests.tools import free_port


@contextmanager
def gateway(folder: Path, kafka: str) -> Iterator[str]:
    """A gateway process with its defaults; yields its DICOMweb root."""
    folder.mkdir(parents=True)
    port = free_port()
    root = f"http://127.0.0.1:{port}/dicom-web"
    environment = {
        "SCANSTREAM_DATA_DIR": str(folder),
        "SCANSTREAM_NODE": folder.name,
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "SCANSTREAM_GATEWAY_DIMSE_PORT": str(free_port()),
        "SCANSTREAM_GATEWAY_HTTP_PORT": str(port),
    }
    with module("producers.gateway", environment=environment, log=folder / "gateway.log"):

        def up() -> bool:
            try:
                return httpx.get(f"{root}/studies?limit=1", timeout=5.0).is_success
            except httpx.TransportError:
                return False

        wait_for(up, "the gateway")
        yield root


def stock(root: str, count: int) -> list[InferenceResult]:
    """Store ``count`` studies of twenty slices and a mask each, and return the results about them."""
    web = DicomWeb(root, None, timeout_s=120.0)
    client, packed = StowClient(web, 1 << 30), pack_mask(mask())
    results = []
    with ClaimCheck(120.0) as claims:
        for number in range(count):
            images = small_study(f"5.{number + 1}", slices=20, size=256)
            outcomes = client.store([_part10(image) for image in images])
            if {outcome.status for outcome in outcomes} != {DeliveryStatus.STORED}:
                raise RuntimeError(f"the gateway did not store a study: {outcomes[0].reason}")
            study = str(images[0].StudyInstanceUID)
            url = f"{root}/studies/{study}"
            artifact = claims.put_artifact(url, "mask", MASK_MEDIA_TYPE, packed, mask().shape)
            result = result_with_findings(study)
            results.append(
                replace(
                    result,
                    series_instance_uid=str(images[0].SeriesInstanceUID),
                    sop_instance_uids=tuple(str(image.SOPInstanceUID) for image in images),
                    findings=(finding(images[0]),),
                    retrieve_url=url,
                    artifacts=(artifact,),
                )
            )
    web.close()
    sys.stderr.write(f"{count} studies are at the gateway\n")
    return results


def again(result: InferenceResult, turn: str, priority: Priority = Priority.P3_NORMAL) -> InferenceResult:
    """The same result as a later event of its own, made now."""
    now = datetime.now(UTC)
    return replace(
        result,
        event_id=event_id("benchmark", result.event_id, turn),
        occurred_at=now,
        task_created_at=now,
        priority=priority,
    )


def _part10(image: object) -> RenderedObject:
    buffer = io.BytesIO()
    image.save_as(buffer, enforce_file_format=True)  # type: ignore[attr-defined] # pydicom has no types
    uids = ("SOPClassUID", "StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")
    return RenderedObject(*(str(getattr(image, name)) for name in uids), buffer.getvalue())
