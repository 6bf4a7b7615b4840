"""Results that are allowed and make no sense: they become valid DICOM objects, or are refused with a sentence."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, TypeVar

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from pydicom import Dataset
from pydicom.config import RAISE
from pydicom.valuerep import validate_value

from consumers.dicom.marks import marks_of
from consumers.dicom.plan import ObjectKind, Plan
from consumers.dicom.render import render
from schemas.errors import InvalidMessage
from schemas.events import Code, Finding, InferenceResult, Measurement, ResultOutcome
from schemas.terminology import Language
from tests.consumers.dicom.trees import read
from tests.consumers.generated import generated
from tests.consumers.results import MILLILITRE, VOLUME, material, result_with_findings
from tests.schemas.odd_events import odd

T = TypeVar("T")

_CASES = [generated(seed) for seed in range(4)]
#: What names images and arrays: with other names there is nothing to render.
_KEPT = {"study_instance_uid", "series_instance_uid", "sop_instance_uids", "artifacts", "findings"}
_PLAIN = Code("1", "99ODD", "plain")


def mixed(plain: T, strange: T, chance: random.Random, share: float) -> T:
    """A record with some of the fields of another one."""
    names = {one.name for one in dataclasses.fields(plain)} - _KEPT  # type: ignore[arg-type] # records
    changes = {name: getattr(strange, name) for name in sorted(names) if chance.random() < share}
    return replace(plain, **changes)  # type: ignore[type-var] # records


def with_codes(record: Any) -> Any:
    """The same with a value and a scheme in every code, without which nothing can be said."""
    if isinstance(record, Code):
        return replace(_PLAIN, meaning=record.meaning)
    if isinstance(record, tuple):
        return tuple(map(with_codes, record))
    if dataclasses.is_dataclass(record) and not isinstance(record, type):
        names = [one.name for one in dataclasses.fields(record)]
        return type(record)(**{name: with_codes(getattr(record, name)) for name in names})
    return record


def leaves(dataset: Dataset) -> Iterator[Any]:
    for element in dataset:
        if element.VR == "SQ":
            for item in element.value:
                yield from leaves(item)
        else:
            yield element


def check(dataset: Dataset) -> None:
    for element in leaves(dataset):
        values = element.value if element.VM > 1 else [element.value]
        for value in values:
            if isinstance(value, str):
                validate_value(element.VR, value, RAISE)
            elif isinstance(value, float):
                assert math.isfinite(value), element


# a smaller example is not worth minutes
@settings(max_examples=100, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    st.sampled_from(_CASES),
    odd(InferenceResult),
    st.lists(odd(Finding), min_size=5, max_size=5),
    st.sampled_from(ObjectKind),
    st.sampled_from(Language),
    st.sampled_from([0.05, 0.3]),
    st.randoms(use_true_random=False),
)
def test_whatever_is_made_is_valid(
    case: Any,
    strange: InferenceResult,
    strange_findings: list[Finding],
    kind: ObjectKind,
    language: Language,
    share: float,
    chance: random.Random,
) -> None:
    images = case.result.sop_instance_uids
    findings = []
    for plain, other in zip(case.result.findings, strange_findings, strict=False):
        made = mixed(plain, with_codes(other) if chance.random() < 0.7 else other, chance, share)
        places = tuple(replace(one, sop_instance_uid=chance.choice(images)) for one in made.locations)
        findings.append(replace(made, locations=places, evidence=tuple(chance.sample(images, 2))))
    outcome = ResultOutcome.FINDINGS if findings else ResultOutcome.NO_FINDINGS
    result = replace(mixed(case.result, strange, chance, share), findings=tuple(findings), outcome=outcome)
    with suppress(InvalidMessage):
        about = replace(case, result=result).material()
        for made in render(result, about, Plan(frozenset({kind}), language)):
            check(read(made))


ALL = frozenset(ObjectKind)
FIRST, LAST = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, tzinfo=UTC)


@pytest.mark.parametrize("offset", ["+1400", "-1200", ""])
@pytest.mark.parametrize("at", [FIRST, LAST])
def test_a_result_of_the_first_or_last_day_has_a_date(at: datetime, offset: str) -> None:
    result = replace(result_with_findings(), occurred_at=at)
    about = material(result)
    about.sources[0].TimezoneOffsetFromUTC = offset
    for made in render(result, about, Plan(ALL)):
        document = read(made)
        assert document.SeriesDate == f"{at.year:04d}{at:%m%d}"
        check(document)


@pytest.mark.parametrize("number", [math.nan, math.inf])
def test_a_number_that_is_none_is_told_as_none_and_the_rest_as_it_is(number: float) -> None:
    result = result_with_findings()
    found = replace(
        result.findings[0], probability=number, measurements=(Measurement(VOLUME, number, MILLILITRE),)
    )
    made = [read(one) for one in render(replace(result, findings=(found,)), material(result), Plan(ALL))]
    assert {dataset.Modality for dataset in made} >= {"SR", "OT", "SEG"}
    for dataset in made:
        check(dataset)


@pytest.mark.parametrize("number", [-1, -2, -(2**63), 0, 2**63 - 1])
def test_a_segment_that_is_none_is_not_drawn(number: int) -> None:
    result = result_with_findings()
    found = replace(result.findings[0], segment_number=number, locations=())
    assert marks_of(replace(result, findings=(found,)), material(result)) == {}


@pytest.mark.parametrize("what", ["tracking_uid", "device_uid"])
def test_what_is_no_uid_is_named(what: str) -> None:
    result = result_with_findings()
    if what == "device_uid":
        result = replace(result, model=replace(result.model, device_uid="device"))
    else:
        result = replace(result, findings=(replace(result.findings[0], tracking_uid="1." * 40),))
    with pytest.raises(InvalidMessage, match="no UID"):
        render(result, material(result), Plan())
