from __future__ import annotations

from dataclasses import replace

import pytest

from consumers.dicom.identity import identity
from consumers.dicom.plan import PRESETS, ObjectKind, Plan
from consumers.dicom.prior import Prior
from consumers.dicom.render import render
from schemas.events import Decision, InferenceResult, Measurement
from schemas.terminology import Language
from tests.consumers.dicom.trees import read
from tests.consumers.generated import generated
from tests.consumers.results import BRAIN, MILLILITRE, headers, material, result_with_findings

PRIOR = Prior("1.2.3", "1.2.3.4", "1.2.840.10008.5.1.4.1.1.88.34", "1.2.3.4.5")


def changed(result: InferenceResult) -> dict[str, InferenceResult]:
    """The result with another content each."""
    (found,) = result.findings
    model = result.model
    return {
        "quality": replace(result, quality=(Measurement(BRAIN, 1.0, MILLILITRE),)),
        "image quality": replace(result, image_quality_warnings=("motion",)),
        "domain": replace(result, out_of_domain_warnings=("child",)),
        "limitations": replace(result, limitations=None),
        "images": replace(result, sop_instance_uids=result.sop_instance_uids[:-1]),
        "manufacturer": replace(result, model=replace(model, manufacturer="another")),
        "device": replace(result, model=replace(model, device_uid="1.2.3")),
        "udi": replace(result, model=replace(model, udi="(01)1")),
        "side": replace(result, findings=(replace(found, laterality=None, site=None),)),
        "evidence": replace(result, findings=(replace(found, evidence=("1.2",)),)),
    }


@pytest.mark.parametrize("what", sorted(changed(result_with_findings())))
def test_another_content_is_another_object(what: str) -> None:
    result, source = result_with_findings(), headers()[0]
    before, after = identity(result, "sr", source), identity(changed(result)[what], "sr", source)
    assert before.sop_instance_uid != after.sop_instance_uid
    assert before.series_instance_uid != after.series_instance_uid


def test_language_replaced_report_and_named_objects_make_another_object() -> None:
    result, source = result_with_findings(), headers()[0]
    all_of_them = [
        identity(result, "sr", source),
        identity(result, "sr-2d", source),
        identity(result, "sr", source, Language.ENGLISH),
        identity(result, "sr", source, Language.UKRAINIAN),
        identity(result, "sr", source, Language.UKRAINIAN, PRIOR),
        identity(result, "sr", source, refers_to=[source]),
    ]
    assert len({one.sop_instance_uid for one in all_of_them}) == len(all_of_them)


def test_objects_of_a_kind_share_their_series() -> None:
    result, source = result_with_findings(), headers()[0]
    first, second = identity(result, "sc", source), identity(result, "sc", source, number=2)
    assert first.series_instance_uid == second.series_instance_uid
    assert first.sop_instance_uid != second.sop_instance_uid


def test_a_verdict_and_another_engine_change_no_object() -> None:
    result, source = result_with_findings(), headers()[0]
    (found,) = result.findings
    reviewed = replace(
        result, findings=(replace(found, decision=Decision.CONFIRMED),), decision=Decision.CONFIRMED
    )
    elsewhere = replace(result, model=replace(result.model, engine="tensorrt"))
    assert identity(reviewed, "sr", source) == identity(result, "sr", source) == identity(elsewhere, "sr", source)


def test_a_report_that_refers_to_no_segmentation_is_another_one() -> None:
    result = result_with_findings()
    alone, beside = (
        read(render(result, material(result), Plan(kinds))[-1])
        for kinds in (frozenset({ObjectKind.SR}), frozenset({ObjectKind.SEG, ObjectKind.SR}))
    )
    assert alone.SOPInstanceUID != beside.SOPInstanceUID


@pytest.mark.parametrize("seed", [0, 2, 4])
def test_rendering_everything_twice_gives_the_same_bytes(seed: int) -> None:
    case = generated(seed)
    plan = Plan(PRESETS["all"], Language.UKRAINIAN)
    first = render(case.result, case.material(), plan, PRIOR)
    again = generated(seed)
    second = render(again.result, again.material(), plan, PRIOR)
    assert [item.data for item in first] == [item.data for item in second]
    uids = [item.sop_instance_uid for item in first]
    assert len(set(uids)) == len(uids)
