"""Generated results are what they promise to be: the same every time, valid, and of every kind."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from producers.artifacts import unpack_heatmap, unpack_mask, unpack_probability
from schemas.codec import Codec
from schemas.events import ResultOutcome
from schemas.values import Category, Laterality, LocationKind
from tests.consumers.generated import Case, big_case, could_not_run, generated, nasty_case, nasty_texts

SEEDS = range(50)


@pytest.fixture(scope="module")
def results() -> list[Case]:
    """Without their arrays, which together would fill the memory."""
    cases = [generated(seed) for seed in SEEDS]
    return [Case(case.result, case.headers) for case in cases]


def test_a_seed_gives_the_same_case_every_time() -> None:
    first, second = generated(7), generated(7)
    assert first.result == second.result
    assert first.packed == second.packed


def test_seeds_give_different_results(results: list[Case]) -> None:
    assert len({case.result.task_id for case in results}) == len(SEEDS)


def test_fifty_seeds_hold_every_kind(results: list[Case]) -> None:
    findings = [finding for case in results for finding in case.result.findings]
    assert {place.kind for one in findings for place in one.locations} == set(LocationKind)
    assert {one.laterality for one in findings} == {None, *Laterality}
    assert {one.category for one in findings} == set(Category)
    assert {len(case.result.findings) for case in results} >= {0, 1, 2, 3, 5}
    assert any(not one.locations for one in findings)
    assert any(one.segment_number is None for one in findings)
    kinds = {artifact.kind for case in results for artifact in case.result.artifacts}
    assert kinds == {"mask", "probability", "heatmap"}
    assert {case.result.outcome for case in results} == {ResultOutcome.FINDINGS, ResultOutcome.NO_FINDINGS}
    assert any(case.result.image_quality_warnings for case in results)
    assert any(case.result.out_of_domain_warnings for case in results)


def test_every_result_survives_the_contract(results: list[Case]) -> None:
    codec = Codec()
    for case in [*results, could_not_run(), big_case(), *map(nasty_case, nasty_texts())]:
        assert codec.decode(codec.encode(case.result)) == case.result


def test_artifacts_are_what_the_claim_checks_say() -> None:
    kinds = set()
    for case in (generated(seed) for seed in range(12)):
        packed = dict(case.packed)
        unpack = {"mask": unpack_mask, "probability": unpack_probability, "heatmap": unpack_heatmap}
        arrays = [*case.masks, *case.probabilities, *(heatmap.values for heatmap in case.heatmaps)]
        for artifact, array in zip(case.result.artifacts, arrays, strict=True):
            data = packed[artifact.retrieve_url]
            assert hashlib.sha256(data).hexdigest() == artifact.sha256
            np.testing.assert_allclose(
                unpack[artifact.kind](data, artifact.shape).astype(float), array.astype(float), atol=1 / 500
            )
            kinds.add(artifact.kind)
    assert kinds == {"mask", "probability", "heatmap"}


def test_segments_are_numbered_like_the_masks_and_no_mask_is_empty() -> None:
    for case in (generated(seed) for seed in range(12)):
        numbers = [one.segment_number for one in case.result.findings if one.segment_number is not None]
        assert numbers == list(range(1, len(case.masks) + 1))
        assert all(mask.any() for mask in case.masks)
        assert len(case.probabilities) in (0, len(case.masks))


def test_places_lie_inside_the_image_and_the_volume(results: list[Case]) -> None:
    first = results[0].headers[0]
    origins = np.array([header.ImagePositionPatient for header in results[0].headers], dtype=float)
    orientation = np.array(first.ImageOrientationPatient, dtype=float)
    for case in [*results, big_case()]:
        uids = {str(header.SOPInstanceUID) for header in case.headers}
        for place in (place for one in case.result.findings for place in one.locations):
            if place.sop_instance_uid is not None:
                assert place.sop_instance_uid in uids
                assert min(place.points) > 0
                assert max(place.points) < 256
                continue
            assert place.frame_of_reference_uid == first.FrameOfReferenceUID
            places = np.array(place.points).reshape(-1, 3)
            normal = np.cross(orientation[:3], orientation[3:])
            # every point lies on the plane of one image, and so do all points of a contour
            depth = (places @ normal)[:, None] - origins @ normal
            number = int(np.abs(depth).max(axis=0).argmin())
            assert np.abs(depth[:, number]).max() < 0.02
            for direction in (orientation[:3], orientation[3:]):
                along = (places - origins[number]) @ direction
                assert along.min() > 0
                assert along.max() < 255 * 0.859375


def test_material_holds_prepared_headers_and_reads_pixels() -> None:
    case = generated(3)
    material = case.material()
    assert [str(header.SOPInstanceUID) for header in material.sources] == list(case.result.sop_instance_uids)
    assert material.sources[0].SpecificCharacterSet == "ISO_IR 192"
    assert material.image(case.result.sop_instance_uids[4]).pixel_array.shape == (256, 256)
