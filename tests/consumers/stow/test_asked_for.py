"""Kinds of objects that the requester of a result asked for, beside those that a destination has set."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import pytest
from pydicom import Dataset

from consumers.dicom.plan import plan_of
from consumers.dicom.render import RenderedObject
from consumers.stow.destination import StowDestination
from schemas.events import DeliveryStatus, ObjectOutcome
from schemas.terminology import Language
from tests.consumers.generated import generated
from tests.consumers.stow.objects import CaseSource, data_set

CASE = generated(0)


class Kept:
    """Transport to a PACS that keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[RenderedObject] = []

    def store(self, objects: Sequence[RenderedObject]) -> tuple[ObjectOutcome, ...]:
        self.got.extend(objects)
        return tuple(
            ObjectOutcome(one.sop_class_uid, one.sop_instance_uid, DeliveryStatus.STORED, None, 200)
            for one in objects
        )

    def reports(self, study_instance_uid: str) -> list[Dataset]:
        return []

    def probe(self) -> None:
        pass

    def close(self) -> None:
        pass


@pytest.mark.parametrize(
    ("asked", "modalities"),
    [
        ((), {"SEG", "SR"}),
        (("sr",), {"SR"}),
        (("seg",), {"SEG"}),
        (("sr", "made-later"), {"SR"}),
        (("made-later",), {"SEG", "SR"}),
    ],
)
def test_only_what_was_asked_for_is_stored(asked: tuple[str, ...], modalities: set[str]) -> None:
    pacs = Kept()
    destination = StowDestination(pacs, CaseSource(CASE), plan_of("seg,sr", Language.ENGLISH))
    outcomes = destination.deliver(replace(CASE.result, output_formats=asked))
    assert len(outcomes) == len(pacs.got) > 0
    assert {str(data_set(one).Modality) for one in pacs.got} == modalities


def test_more_than_the_destination_has_set_may_be_asked_for() -> None:
    pacs = Kept()
    destination = StowDestination(pacs, CaseSource(CASE), plan_of("sr", Language.ENGLISH))
    destination.deliver(replace(CASE.result, output_formats=("sc", "kos")))
    assert {str(data_set(one).Modality) for one in pacs.got} == {"KO", "OT"}
