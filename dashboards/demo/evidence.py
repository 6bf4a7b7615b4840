"""Results, fetched from where the system says they are → checked facts.

Every fact is compared with another source: the SEG with the mask that the worker kept, the volume in the SR, in
FHIR and in the event with each other and with the number of voxels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

import httpx
import numpy as np
from dicomweb_client import DICOMwebClient

from dashboards.demo.dicom_evidence import Mask, mask_of, volumes_ml, voxel_ml
from dashboards.demo.expected import LARGEST_ML, SMALLEST_ML
from dashboards.demo.failure import DemoFailed
from producers.artifacts import unpack_mask
from producers.claim_check import ClaimCheck
from schemas.errors import ScanstreamError
from schemas.events import Event, InferenceResult

#: Numbers are rounded when they are written (PS3.5 DS has 16 characters, a report one decimal).
ROUNDING_ML: Final = 0.06
#: The mask's voxels and the measurement are computed apart.
VOXEL_TOLERANCE: Final = 0.01

TIMEOUT_S: Final = 30.0


@dataclass(frozen=True)
class Evidence:
    """What was fetched and found to agree.

    Attributes
    ----------
    result
        The worker's result as it stands on Kafka.
    volume_ml
        Brain volume.
    mask
        (slices, rows, columns) in the order of ``images``.
    images
        Source images, sorted like the mask.
    seg, sr
        Data sets as the PACS gave them back.
    report
        DiagnosticReport as the FHIR server gave it back.
    report_url
        Where it is.
    objects
        SOP class, SOP instance UID and URL of each DICOM object.
    """

    result: InferenceResult
    volume_ml: float
    mask: Mask
    images: tuple[Any, ...]
    seg: Any
    sr: Any
    report: dict[str, Any]
    report_url: str
    objects: tuple[dict[str, str], ...]


def collect(study: dict[str, Any], events: Sequence[tuple[str, Event]], images: Sequence[Any]) -> Evidence:
    """Fetch every result of the study and hold it against the others.

    Parameters
    ----------
    study
        Answer of ``GET /studies/{uid}``.
    events
        The study's events on Kafka.
    images
        The images that were sent.

    Raises
    ------
    DemoFailed
        Something is missing, or two sources contradict each other.
    """
    result = _the_result(events)
    volume = _measured(result)
    ordered = _in_order(result, images)
    stored = [item for item in study["objects"] if item["destination"] == "stow"]
    seg = _retrieve(_one(stored, "SEG"))
    mask = _same_mask(seg, result)
    sr = _retrieve(_one(stored, "SR"))
    counted = float(mask.sum()) * voxel_ml(ordered)
    _agree("stored: stow", "writer-stow", f"the SR says {volumes_ml(sr)} mL", volume, volumes_ml(sr), ROUNDING_ML)
    _agree("inferred", "worker", f"the mask holds {counted:.1f} mL", volume, [counted], volume * VOXEL_TOLERANCE)
    report_url = study["report_url"]
    if not report_url:
        raise DemoFailed("stored: fhir", "no address of a DiagnosticReport is known", "writer-fhir")
    report, said = _read_report(report_url)
    _agree("stored: fhir", "writer-fhir", f"the Observation says {said} mL", volume, said, ROUNDING_ML)
    if not SMALLEST_ML <= volume <= LARGEST_ML:
        raise DemoFailed(
            "inferred",
            f"the model says {volume:.1f} mL where {SMALLEST_ML:.0f} to {LARGEST_ML:.0f} mL are expected",
            "worker",
        )
    objects = tuple(
        {"sop_class": item["object_type"], "sop_instance_uid": item["identifier"], "url": item["url"]}
        for item in stored
    )
    return Evidence(result, volume, mask, ordered, seg, sr, report, report_url, objects)


def _the_result(events: Sequence[tuple[str, Event]]) -> InferenceResult:
    results = [event for _, event in events if isinstance(event, InferenceResult)]
    if len(results) != 1:
        raise DemoFailed("result", f"{len(results)} results are on Kafka where one is expected", "worker")
    return results[0]


def _measured(result: InferenceResult) -> float:
    values = [
        item.value
        for finding in result.findings
        for item in finding.measurements
        if item.code.value == "118565006" and item.unit.value == "mL"
    ]
    if len(values) != 1:
        raise DemoFailed("inferred", f"the result has {len(values)} volumes where one is expected", "worker")
    return values[0]


def _in_order(result: InferenceResult, images: Sequence[Any]) -> tuple[Any, ...]:
    by_uid = {str(image.SOPInstanceUID): image for image in images}
    if set(by_uid) != set(result.sop_instance_uids):
        raise DemoFailed("fetched", "the worker did not work on the images that were sent", "worker")
    return tuple(by_uid[uid] for uid in result.sop_instance_uids)


def _one(stored: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    found = [item for item in stored if item["name"] == name and item["status"] == "stored"]
    if len(found) != 1:
        raise DemoFailed(
            "stored: stow", f"{len(found)} {name} objects are stored where one is expected", "writer-stow"
        )
    return found[0]


def _retrieve(item: dict[str, Any]) -> Any:
    """Object at its WADO-RS address ``…/studies/S/series/E/instances/I`` (PS3.18 10.4)."""
    root, _, path = str(item["url"]).partition("/studies/")
    parts = path.split("/")
    if len(parts) != 5:
        raise DemoFailed("stored: stow", f"{item['url']} is no address of an instance", "writer-stow")
    try:
        dataset = DICOMwebClient(root).retrieve_instance(parts[0], parts[2], parts[4])
    except (OSError, ValueError) as error:
        raise DemoFailed(
            "stored: stow", f"the {item['name']} cannot be fetched from {item['url']} ({error})", "gateway"
        ) from error
    if str(dataset.SOPInstanceUID) != item["identifier"]:
        raise DemoFailed("stored: stow", f"another object lies at {item['url']}", "gateway")
    return dataset


def _same_mask(seg: Any, result: InferenceResult) -> Mask:
    decoded = mask_of(seg, result.sop_instance_uids)
    artifact = next((item for item in result.artifacts if item.kind == "mask"), None)
    if artifact is None:
        raise DemoFailed("inferred", "the result has no mask", "worker")
    try:
        with ClaimCheck(TIMEOUT_S) as claim_check:
            kept = unpack_mask(claim_check.get_artifact(artifact), artifact.shape)
    except ScanstreamError as error:
        raise DemoFailed("inferred", str(error), "gateway") from error
    if not np.array_equal(decoded, kept):
        different = int((decoded != kept).sum()) if decoded.shape == kept.shape else -1
        raise DemoFailed("stored: stow", f"SEG and mask differ in {different} voxels", "writer-stow")
    return decoded


def _read_report(url: str) -> tuple[dict[str, Any], list[float]]:
    """DiagnosticReport, and the volumes in mL of the observations that it refers to."""
    base = url.partition("/DiagnosticReport/")[0]
    with httpx.Client(timeout=TIMEOUT_S, headers={"accept": "application/fhir+json"}) as client:
        report = _get(client, url)
        observations = [
            _get(client, f"{base}/{reference['reference']}")
            for reference in report.get("result", [])
            if not urlsplit(reference["reference"]).scheme
        ]
    if report.get("resourceType") != "DiagnosticReport" or report.get("status") != "preliminary":
        raise DemoFailed("stored: fhir", f"{url} is not a preliminary DiagnosticReport", "writer-fhir")
    return report, [volume for observation in observations for volume in _volumes_ml(observation)]


def _volumes_ml(observation: dict[str, Any]) -> list[float]:
    """Quantities in mL of an Observation: its own value and those of its components."""
    quantities = [item.get("valueQuantity", {}) for item in (observation, *observation.get("component", []))]
    return [float(item["value"]) for item in quantities if item.get("code") == "mL"]


def _get(client: httpx.Client, url: str) -> dict[str, Any]:
    try:
        answer: dict[str, Any] = client.get(url).raise_for_status().json()
    except (httpx.HTTPError, ValueError) as error:
        raise DemoFailed("stored: fhir", f"{url} cannot be read ({error})", "api") from error
    return answer


def _agree(
    stage: str, process: str, saying: str, volume: float, others: Sequence[float], tolerance: float
) -> None:
    if not any(abs(other - volume) <= tolerance for other in others):
        raise DemoFailed(stage, f"{saying} where the result says {volume:.2f} mL", process)
