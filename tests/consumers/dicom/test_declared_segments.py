"""Outcome of a model with several segments → the Segmentation and report that a destination is sent."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from consumers.dicom.material import Heatmap, Material
from consumers.dicom.parametric import parametric_maps
from consumers.dicom.plan import ObjectKind
from consumers.dicom.report import report
from consumers.dicom.segmentation import segmentation
from consumers.dicom.source import prepare
from schemas.events import InferenceResult, TaskParameters
from schemas.terminology import Language
from schemas.topics import Priority
from streams.worker import answers
from tests.engines.dropped import code
from tests.engines.phantom import series
from tests.engines.stub import answer, one_segment, stub
from tests.streams.worker.tasks import START, task_for


def three_levels(tensor: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
    return {"out": np.concatenate([tensor == 1, tensor == 2, tensor == 3], axis=1).astype(np.float32)}


def test_segments_without_gaps_each_with_its_finding_in_segmentation_and_report() -> None:
    model, _ = stub(
        "segmentation",
        {"layout": "NCZYX"},
        {
            "threshold": 0.5,
            "segments": [
                one_segment(0),
                one_segment(1),
                one_segment(2, finding=code("10200004", "Liver"), site=code("10200004", "Liver")),
            ],
        },
        (1, 1, 6, 16, 16),
        {"out": (1, 3, 6, 16, 16)},
        three_levels,
        heatmap={"patches": 2},
    )
    voxels = np.zeros((6, 16, 16))
    voxels[1:3, 2:6, 3:9] = 1  # and none of 2
    voxels[3:6, 8:14, 4:10] = 3
    images = series(voxels, spacing_mm=(2, 1, 1))
    for image in images:
        image.FrameOfReferenceUID = "1.2.3.4"
    outcome = answer(images[::-1], model, TaskParameters(include_heatmaps=True))
    task = task_for(images, "http://gw/dicom-web", Priority.P3_NORMAL)
    said = answers.completed(task, task.series[0], model, outcome, (), (), "node-1", START)
    result = said.events[0][2]
    assert isinstance(result, InferenceResult)
    masks = [item.array for item in outcome.arrays if item.kind == "mask"]
    (heat,) = [item for item in outcome.arrays if item.kind == "heatmap"]
    assert heat.quantity is not None
    assert heat.unit is not None
    sources = prepare(result, images)
    material = Material(
        sources, lambda _: sources[0], masks, heatmaps=[Heatmap(heat.array, heat.quantity, heat.unit)]
    )

    made = segmentation(result, material)
    assert made is not None
    assert [item.SegmentNumber for item in made.SegmentSequence] == [1, 2]
    assert [item.SegmentedPropertyTypeCodeSequence[0].CodeMeaning for item in made.SegmentSequence] == [
        "Lesion",
        "Liver",
    ]
    assert [item.SegmentedPropertyCategoryCodeSequence[0].CodeMeaning for item in made.SegmentSequence] == [
        "Morphologically Abnormal Structure",
        "Anatomical Structure",
    ]
    assert [item.TrackingID for item in made.SegmentSequence] == ["thing-0-1", "thing-2-3"]
    per_segment = np.zeros((3, 6), int)
    for group in made.PerFrameFunctionalGroupsSequence:
        number = group.SegmentIdentificationSequence[0].ReferencedSegmentNumber
        place = float(group.PlanePositionSequence[0].ImagePositionPatient[2])
        per_segment[number, round((place + 70) / 2)] += 1
    assert per_segment[1].tolist() == [0, 1, 1, 0, 0, 0]
    assert per_segment[2].tolist() == [0, 0, 0, 1, 1, 1]

    findings = {finding.finding_type: finding for finding in result.findings}
    assert findings["thing-0"].measurements[0].value == 2 * 4 * 6 * 2 / 1000
    assert findings["thing-2"].measurements[0].value == 3 * 6 * 6 * 2 / 1000
    document = report(result, material, made, ObjectKind.SR, Language.ENGLISH, None)
    text = str(document)
    for finding in result.findings:
        assert finding.tracking_uid in text
    (parametric,) = parametric_maps(result, material)
    assert parametric.NumberOfFrames == 6
