"""A head CT with a dense lesion arrives by C-STORE, and somebody's phone rings: the way on the real stack."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from schemas.events import Category, EscalationStep, Finding, InferenceResult
from schemas.topics import Priority
from tests.consumers.escalation.receiver import Receiver, receiver
from tests.engines.models.phantoms import Head, Lesion, phantom, series
from tests.integration.alarms import environment
from tests.integration.log_dump import dump
from tests.integration.sender import send_until_stored
from tests.integration.stack import LiveStack, live_stack, wait_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(300)]

CALCIUM = (Lesion((0.0, 18.0, 4.0), (3.0, 3.0, 3.0), 300),)
BLEEDING = Lesion((-36.0, 0.0, 25.0), (18.0, 16.0, 15.0), 68)


@pytest.fixture(scope="module")
def ward() -> Iterator[Receiver]:
    with receiver() as running:
        yield running


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, ward: Receiver) -> Iterator[LiveStack]:
    folder = tmp_path_factory.mktemp("critical")
    with live_stack(folder / "state", environment(folder, ward)) as running:
        yield running


def arrive(stack: LiveStack, head: Head, name: str) -> tuple[str, float]:
    """StudyInstanceUID and true volume in mL of a study that the gateway has acknowledged."""
    host, _, port = stack.endpoint("gateway_dimse").rpartition(":")
    made = phantom(head)
    images = series(made, name)
    send_until_stored(images, host, int(port), calling="ED_CT1")
    return str(images[0].StudyInstanceUID), made.volume_ml


def of_study(stack: LiveStack, uid: str) -> list[object]:
    events = [entry.event for entry in dump(stack.endpoint("kafka"))]
    return [event for event in events if getattr(event, "study_instance_uid", "") == uid]


def test_a_bleeding_reaches_a_person_and_a_head_without_one_does_not(stack: LiveStack, ward: Receiver) -> None:
    well, _ = arrive(stack, Head(1, (), CALCIUM), "critical-well")
    ill, truth_ml = arrive(stack, Head(2, (BLEEDING,), CALCIUM), "critical-ill")
    wait_for(lambda: bool(ward.of(ill)), 120, stack.log_tail)

    def answered() -> bool:
        return any(isinstance(event, InferenceResult) for event in of_study(stack, well))

    wait_for(answered, 120, stack.log_tail)
    events = of_study(stack, ill)
    # an emergency may be answered for its series first and for the study then: each answer says the same
    result = next(event for event in events if isinstance(event, InferenceResult))
    assert (result.model.name, result.priority) == ("ct-hyperdensity", Priority.P1_EMERGENCY)
    (found,) = result.findings
    assert any(isinstance(event, Finding) for event in events)
    assert (found.finding_type, found.category) == ("hyperdensity", Category.CRITICAL)
    volume = next(item.value for item in found.measurements if item.unit.value == "mL")
    assert volume == pytest.approx(truth_ml, rel=0.1)
    assert any(isinstance(event, EscalationStep) for event in events)
    calm = [event for event in of_study(stack, well) if isinstance(event, InferenceResult)]
    assert [result.findings for result in calm] == [()] * len(calm)
    assert ward.of(well) == []
