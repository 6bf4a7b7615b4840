from __future__ import annotations

from dataclasses import replace

import pytest

from schemas.events import Category, Decision, InferenceResult
from tests.consumers.generated import generated
from tests.consumers.oru.cases import judged, obr_of, obx, told
from tests.consumers.results import result_without_findings

CONFIRMED, AMENDED, REJECTED = Decision.CONFIRMED, Decision.AMENDED, Decision.REJECTED


def two_findings() -> InferenceResult:
    seed = next(seed for seed in range(50) if len(generated(seed).result.findings) == 2)
    result = generated(seed).result
    return replace(result, findings=tuple(replace(one, category=Category.CRITICAL) for one in result.findings))


def statuses(result: InferenceResult, *verdicts: Decision) -> tuple[str, ...]:
    """OBR-25, then OBX-11 of each finding, after these verdicts one by one."""
    verdict = None
    for index, decision in enumerate(verdicts):
        verdict = judged(result, index, decision, minutes=index + 1)
        assert verdict.result is not None
        result = verdict.result
    message = told(result, verdict)
    found = [item for item in message.all("OBX") if item.value(3) == "121071"]
    return obr_of(message).value(25), *(item.value(11) for item in found)


@pytest.mark.parametrize(
    ("verdicts", "told_as"),
    [
        ((), ("P", "P", "P")),
        ((CONFIRMED,), ("P", "F", "P")),
        ((REJECTED,), ("P", "W", "P")),
        ((CONFIRMED, CONFIRMED), ("F", "F", "F")),
        ((CONFIRMED, AMENDED), ("C", "F", "C")),
        ((REJECTED, CONFIRMED), ("C", "W", "F")),
        ((REJECTED, REJECTED), ("C", "W", "W")),
    ],
)
def test_a_report_is_preliminary_until_all_is_judged(
    verdicts: tuple[Decision, ...], told_as: tuple[str, ...]
) -> None:
    assert statuses(two_findings(), *verdicts) == told_as


@pytest.mark.parametrize(("decision", "told_as"), [(CONFIRMED, ("F", "F")), (REJECTED, ("C", "W"))])
def test_a_verdict_on_finding_nothing_judges_the_report(decision: Decision, told_as: tuple[str, str]) -> None:
    verdict = judged(result_without_findings(), None, decision, "огляд «ще раз»")
    assert verdict.result is not None
    message = told(verdict.result, verdict)
    assert (obr_of(message).value(25), obx(message, "121071").value(11)) == told_as
    assert message.all("NTE")[-1].value(3) == "огляд «ще раз»"


def test_a_verdict_comes_under_the_same_order_number_with_its_own_control_id_and_time() -> None:
    result = two_findings()
    verdict = judged(result, 0, CONFIRMED)
    assert verdict.result is not None
    before, after = told(result), told(verdict.result, verdict)
    assert obr_of(before).raw(3) == obr_of(after).raw(3)
    assert before.header.value(10) != after.header.value(10)
    assert obr_of(before).value(22) < obr_of(after).value(22)
    assert after.header.value(7) == obr_of(after).value(22)


def test_the_reviewer_is_named_at_the_finding_and_at_last_at_the_report() -> None:
    result = two_findings()
    first = judged(result, 0, CONFIRMED, "так")
    assert first.result is not None
    message = told(first.result, first)
    assert obx(message, "121071", "1").value(16) == "radiologist-7"
    assert obx(message, "121071", "2").value(16) == ""
    assert obr_of(message).value(32) == ""
    second = judged(first.result, 1, AMENDED)
    assert second.result is not None
    assert obr_of(told(second.result, second)).raw(32) == "radiologist-7"


def test_all_that_was_said_of_a_rejected_finding_is_wrong_and_raises_no_flag() -> None:
    result = two_findings()
    verdict = judged(result, 0, REJECTED)
    assert verdict.result is not None
    message = told(verdict.result, verdict)
    about = [item for item in message.all("OBX") if item.value(4) == "1" or item.value(4).startswith("1.")]
    assert {item.value(11) for item in about} == {"W"}
    assert obx(message, "121071", "1").value(8) == ""
    assert obx(message, "121071", "2").value(8) == "AA"


def test_the_text_says_what_a_radiologist_said() -> None:
    result = two_findings()
    verdict = judged(result, 0, REJECTED)
    assert verdict.result is not None
    lines = obx(told(verdict.result, verdict), "59776-5").value(5).split("\n")
    assert lines[0] == "1 of 2 findings were reviewed by a radiologist."
    assert lines[1].endswith("rejected by a radiologist)")
    assert lines[2].endswith("not reviewed)")
