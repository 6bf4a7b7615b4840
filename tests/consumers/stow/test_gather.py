"""Material of a result: what is fetched for which objects, and what is refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from pydicom import Dataset

from consumers.destination import SourceUnavailable
from consumers.dicom.plan import Plan, plan_of
from consumers.stow.gather import gather
from producers.claim_check import NotHeld
from schemas.errors import DestinationUnavailable, InvalidMessage, TransientFailure
from schemas.events import Artifact
from schemas.terminology import Language
from tests.consumers.generated import generated
from tests.consumers.stow.objects import ALL, CaseSource

CASE = generated(0)
FIRST = CASE.result.sop_instance_uids[0]


class Counting(CaseSource):
    """What was fetched of a case, in order."""

    def __init__(self, gone: Sequence[str] = ()) -> None:
        super().__init__(CASE, gone)
        self.fetched: list[str] = []

    def fetch_series(self, retrieve_url: str, series: str, sop_instance_uids: Sequence[str]) -> list[Dataset]:
        self.fetched.extend(sop_instance_uids)
        return super().fetch_series(retrieve_url, series, sop_instance_uids)

    def get_artifact(self, artifact: Artifact) -> bytes:
        self.fetched.append(artifact.kind)
        return super().get_artifact(artifact)


def test_all_arrays_come_back_as_the_model_gave_them() -> None:
    material = gather(CASE.result, CaseSource(CASE), ALL)
    assert [str(source.SOPInstanceUID) for source in material.sources] == list(CASE.result.sop_instance_uids)
    pairs: list[tuple[Any, Any]] = [
        *zip(material.masks, CASE.masks, strict=True),
        *zip(material.probabilities, CASE.probabilities, strict=True),
        *((one.values, other.values) for one, other in zip(material.heatmaps, CASE.heatmaps, strict=True)),
    ]
    assert len(pairs) == len(CASE.packed) > 2
    for ours, theirs in pairs:
        np.testing.assert_allclose(ours, theirs, atol=1 / 255)


@pytest.mark.parametrize(
    ("objects", "kinds"),
    [
        ("seg,sr", {"mask"}),
        ("seg-fractional", {"mask", "probability"}),
        ("pm", {"mask", "heatmap"}),
    ],
)
def test_large_arrays_are_fetched_only_for_the_objects_that_hold_them(objects: str, kinds: set[str]) -> None:
    source = Counting()
    gather(CASE.result, source, plan_of(objects, Language.ENGLISH))
    assert set(source.fetched) == kinds


def test_pixels_are_fetched_when_they_are_needed_and_once() -> None:
    source = Counting()
    material = gather(CASE.result, source, Plan())
    assert FIRST not in source.fetched
    image = material.image(FIRST)
    assert material.image(FIRST) is image
    assert (image.SOPInstanceUID, image.pixel_array.shape) == (FIRST, (256, 256))
    assert source.fetched.count(FIRST) == 1


def test_pixels_that_are_gone_since_the_headers_came_are_named() -> None:
    class Late(Counting):
        def fetch_headers(self, *arguments: object) -> list[Dataset]:
            return list(CASE.headers)

    material = gather(CASE.result, Late(gone=[FIRST]), Plan())
    with pytest.raises(InvalidMessage, match=FIRST):
        material.image(FIRST)


def failing(error: Exception) -> CaseSource:
    class Failing(CaseSource):
        def get_artifact(self, artifact: Artifact) -> bytes:
            raise error

    return Failing(CASE)


def test_an_array_that_is_gone_is_refused_and_a_gateway_that_is_away_is_waited_for() -> None:
    with pytest.raises(InvalidMessage, match="run the model again"):
        gather(CASE.result, failing(NotHeld("the gateway does not hold it")), ALL)
    with pytest.raises(SourceUnavailable) as raised:
        gather(CASE.result, failing(DestinationUnavailable("away", 7.0)), ALL)
    assert raised.value.retry_after_s == 7.0


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda artifact: replace(artifact, media_type="application/x-other"), "update this writer"),
        (lambda artifact: replace(artifact, shape=(1, 2, 3, 4)), "update this writer"),
    ],
)
def test_arrays_of_another_release_are_refused(change: Callable[[Artifact], Artifact], says: str) -> None:
    result = replace(CASE.result, artifacts=tuple(change(artifact) for artifact in CASE.result.artifacts))
    with pytest.raises(InvalidMessage, match=says):
        gather(result, CaseSource(CASE), ALL)


def test_a_heatmap_without_a_quantity_is_refused() -> None:
    artifacts = tuple(replace(artifact, quantity=None) for artifact in CASE.result.artifacts)
    with pytest.raises(InvalidMessage, match="what its numbers are"):
        gather(replace(CASE.result, artifacts=artifacts), CaseSource(CASE), ALL)


@pytest.mark.parametrize(
    ("host", "error"), [("127.0.0.1:9", SourceUnavailable), ("127.0.0.1:8", TransientFailure)]
)
def test_an_array_at_another_host_keeps_no_results_of_the_gateway_waiting(
    host: str, error: type[Exception]
) -> None:
    class Away(CaseSource):
        def get_artifact(self, artifact: Artifact) -> bytes:
            raise DestinationUnavailable(f"{artifact.retrieve_url} does not answer")

    result = replace(CASE.result, retrieve_url=f"http://{host}/dicom-web/studies/1")
    with pytest.raises(error, match="does not answer"):
        gather(result, Away(CASE), Plan())
