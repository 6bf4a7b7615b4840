"""Any seed → a result about the demonstration series with its arrays: valid, varied, and the same every time.

What has a place lies where it says: contours inside the image, points in the patient inside the volume, both
within the ellipsoid that is the finding's segment, too.
"""

from __future__ import annotations

import hashlib
import random
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import cache
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pydicom
from pydicom import Dataset

from consumers.dicom.material import Heatmap, Mask, Material, Volume32
from consumers.dicom.source import prepare
from producers.artifacts import (
    HEATMAP_MEDIA_TYPE,
    MASK_MEDIA_TYPE,
    PROBABILITY_MEDIA_TYPE,
    pack_heatmap,
    pack_mask,
    pack_probability,
)
from schemas.events import Finding, InferenceResult, ResultOutcome
from schemas.ids import dicom_uid, event_id
from schemas.topics import Priority
from schemas.values import Artifact, Category, Code, Laterality, ModelIdentity
from tests.consumers import vocabulary as words
from tests.consumers.ellipsoids import COLUMNS, ROWS, SLICES, Ellipsoid, inside, locations, some_ellipsoid
from tests.consumers.results import FINISHED, SERIES, headers, result_with_findings

Item = TypeVar("Item")


@dataclass(frozen=True)
class Case:
    """A result and everything that belongs to it; ``headers`` are as the files give them.

    ``packed`` are the bytes of the artifacts by their URL.
    """

    result: InferenceResult
    headers: tuple[Dataset, ...]
    masks: tuple[Mask, ...] = ()
    probabilities: tuple[Volume32, ...] = ()
    heatmaps: tuple[Heatmap, ...] = ()
    packed: tuple[tuple[str, bytes], ...] = ()

    def material(self) -> Material:
        """What the builders of DICOM objects work on; ``image`` reads the file of the series."""
        return Material(prepare(self.result, self.headers), image, self.masks, self.probabilities, self.heatmaps)


def image(sop_instance_uid: str) -> Dataset:
    """One image of the demonstration series with its pixels."""
    return pydicom.dcmread(_paths()[sop_instance_uid])


@cache
def _paths() -> dict[str, str]:
    return {
        str(pydicom.dcmread(path, specific_tags=["SOPInstanceUID"]).SOPInstanceUID): str(path)
        for path in sorted(SERIES.glob("*.dcm"))
    }


def generated(seed: int) -> Case:
    """Case of a seed; ``range(50)`` holds every kind of location, side, category, artifact and outcome."""
    # not for secrets: the same seed has to give the same case for ever
    chance = random.Random(seed)
    count = 0 if seed % 9 == 4 else chance.choice((1, 1, 1, 2, 2, 3, 5))
    bodies = [some_ellipsoid(chance) for _ in range(count)]
    with_segment = [chance.random() < 0.7 for _ in bodies]
    numbers = [sum(with_segment[: index + 1]) if has else None for index, has in enumerate(with_segment)]
    result = _result(seed, chance)
    findings = tuple(
        _finding(chance, result, index, body, segment)
        for index, (body, segment) in enumerate(zip(bodies, numbers, strict=True))
    )
    segments = [body for body, has in zip(bodies, with_segment, strict=True) if has]
    masks = tuple(inside(body) < 1 for body in segments)
    probabilities = tuple(_probability(body) for body in segments) if chance.random() < 0.4 else ()
    heatmaps = (_heatmap(chance, bodies),) if bodies and chance.random() < 0.3 else ()
    outcome = ResultOutcome.FINDINGS if findings else ResultOutcome.NO_FINDINGS
    case = Case(
        replace(result, findings=findings, outcome=outcome), tuple(headers()), masks, probabilities, heatmaps
    )
    return _with_artifacts(case)


def big_case(count: int = 500) -> Case:
    """Many findings in one result; each has a contour, the first eight have a segment."""
    chance = random.Random(count)
    bodies = [some_ellipsoid(chance) for _ in range(count)]
    result = _result(1_000_000 + count, chance)
    findings = tuple(
        replace(
            _finding(chance, result, index, body, index + 1 if index < 8 else None),
            locations=locations(chance, body, headers(), kinds=1),
        )
        for index, body in enumerate(bodies)
    )
    case = Case(
        replace(result, findings=findings), tuple(headers()), tuple(inside(body) < 1 for body in bodies[:8])
    )
    return _with_artifacts(case)


def could_not_run(seed: int = 0) -> Case:
    """A run that failed for good: a reason, and nothing else."""
    texts = nasty_texts()
    result = replace(
        _result(2_000_000 + seed, random.Random(seed)),
        outcome=ResultOutcome.COULD_NOT_RUN,
        reason=f"the series has 2 images, the model needs 3: {texts[seed % len(texts)]}",
        sop_instance_uids=(),
    )
    return Case(result, tuple(headers()))


def nasty_texts() -> list[str]:
    """Texts that break what does not escape, count or decode properly; all are legal in an event."""
    return list(words.NASTY)


def nasty_case(text: str) -> Case:
    """A result with this text wherever a result carries one for people."""
    case = generated(0)
    found = tuple(replace(one, warnings=(text,), tracking_id=text) for one in case.result.findings)
    result = replace(
        case.result,
        findings=found,
        warnings=(text,),
        limitations=text,
        image_quality_warnings=(text,),
        out_of_domain_warnings=(text,),
        model=replace(case.result.model, name=text, manufacturer=text),
    )
    return replace(case, result=result)


def _result(seed: int, chance: random.Random) -> InferenceResult:
    base = result_with_findings(priority=chance.choice(list(Priority)))
    task = event_id("task", base.study_instance_uid, seed)
    name, version = chance.choice(words.MODELS), f"{chance.randint(0, 3)}.{chance.randint(0, 9)}.0"
    return replace(
        base,
        event_id=event_id("result", task),
        occurred_at=FINISHED + timedelta(seconds=seed % 3600),
        task_id=task,
        revision=chance.choice((1, 1, 1, 2, 3)),
        findings=(),
        model=ModelIdentity(
            name=name,
            version=version,
            sha256=hashlib.sha256(f"{name} {version}".encode()).hexdigest(),
            manufacturer=chance.choice(("Example Institute", "Інститут «Ґердан»")),
            device_uid=dicom_uid("device", name, version),
            engine="onnxruntime",
            udi=chance.choice((None, None, "(01)04012345678901(10)A1(21)1234")),
        ),
        accession_number=chance.choice((None, "A-4711", "АБ-ҐЄІ-7")),
        warnings=_some(chance, words.WARNINGS),
        limitations=chance.choice((None, "Research use only", *words.LIMITATIONS)),
        quality=_some(chance, words.QUALITY),
        image_quality_warnings=_some(chance, words.QUALITY_WARNINGS),
        out_of_domain_warnings=_some(chance, words.DOMAIN_WARNINGS),
    )


def _finding(
    chance: random.Random, result: InferenceResult, index: int, body: Ellipsoid, segment: int | None
) -> Finding:
    finding_type, code = chance.choice(words.FINDINGS)
    anatomy = finding_type == "brain-volume"
    about = (result.task_id, finding_type, index)
    sources = headers()
    through = [str(sources[number].SOPInstanceUID) for number in body.slices()]
    return Finding(
        event_id=event_id("finding-event", *about),
        occurred_at=result.occurred_at,
        finding_id=event_id("finding", *about),
        finding_type=finding_type,
        task_id=result.task_id,
        study_instance_uid=result.study_instance_uid,
        series_instance_uid=result.series_instance_uid,
        revision=result.revision,
        code=code,
        category=chance.choice(list(Category)),
        tracking_id=chance.choice((f"{finding_type}-{index + 1}", f"вогнище {index + 1}")),
        tracking_uid=dicom_uid("tracking", *about),
        measurements=tuple(measure(body) for measure in _some(chance, words.MEASURES)),
        probability=chance.choice((None, 0.0, 1.0, round(chance.random(), 4))),
        site=words.BRAIN if anatomy else chance.choice((None, *words.SITES)),
        segment_number=segment,
        warnings=_some(chance, words.WARNINGS),
        laterality=chance.choice((None, *Laterality)),
        locations=locations(chance, body, sources),
        characteristics=() if anatomy else _some(chance, words.CHARACTERISTICS),
        evidence=tuple(chance.sample(through, min(len(through), chance.choice((0, 1, 2))))),
    )


def _probability(body: Ellipsoid) -> Volume32:
    # one half on the surface of the mask
    values: npt.NDArray[np.float64] = np.clip(1 - inside(body) / 2, 0, 1)
    return values.astype(np.float32)


def _heatmap(chance: random.Random, bodies: list[Ellipsoid]) -> Heatmap:
    quantity, unit, scale = chance.choice(words.HEATMAPS)
    values = np.zeros((SLICES, ROWS, COLUMNS), np.float32)
    for body in bodies:
        np.maximum(values, (np.clip(2 - inside(body), 0, 2) * scale).astype(np.float32), out=values)
    return Heatmap(values, quantity, unit)


def _with_artifacts(case: Case) -> Case:
    packed = [("mask", MASK_MEDIA_TYPE, pack_mask(mask), None, None) for mask in case.masks]
    packed += [
        ("probability", PROBABILITY_MEDIA_TYPE, pack_probability(one), None, None) for one in case.probabilities
    ]
    heatmaps = [
        ("heatmap", HEATMAP_MEDIA_TYPE, pack_heatmap(one.values), one.quantity, one.unit) for one in case.heatmaps
    ]
    made = [
        (_artifact(kind, media_type, data, quantity, unit), data)
        for kind, media_type, data, quantity, unit in [*packed, *heatmaps]
    ]
    return replace(
        case,
        result=replace(case.result, artifacts=tuple(artifact for artifact, _ in made)),
        packed=tuple((artifact.retrieve_url, data) for artifact, data in made),
    )


def _artifact(kind: str, media_type: str, data: bytes, quantity: Code | None, unit: Code | None) -> Artifact:
    digest = hashlib.sha256(data).hexdigest()
    return Artifact(
        kind=kind,
        media_type=media_type,
        retrieve_url=f"http://127.0.0.1:9/artifacts/{digest}",
        sha256=digest,
        size_bytes=len(data),
        shape=(SLICES, ROWS, COLUMNS),
        quantity=quantity,
        unit=unit,
    )


def _some(chance: random.Random, items: tuple[Item, ...]) -> tuple[Item, ...]:
    """None to three of the items."""
    return tuple(chance.sample(items, min(len(items), chance.choice((0, 0, 1, 2, 3)))))
