"""Studies that grow for ever: what they have is told, and what has no room any more is put aside, one by one."""

from __future__ import annotations

from dataclasses import replace

import pytest

from schemas.codec import Codec
from schemas.errors import InvalidMessage
from schemas.topics import MAX_MESSAGE_BYTES
from streams import series as series_module
from streams.series import MOST_IMAGE_TYPES, MOST_INSTANCES, MOST_SERIES, Series
from tests.streams.department import Department, images, readies
from tests.streams.samples import instance

NAME = "9" * 64


def test_a_study_takes_so_many_images_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series_module, "MOST_INSTANCES", 5)
    department = Department()
    first = images(5)
    department.give(0.0, *first)
    with pytest.raises(InvalidMessage, match="5 images already"):
        department.give(1.0, *images(1, first=5))
    department.give(2.0, *first)  # what is there may come again
    (ready,) = readies(department.look(500.0))
    assert ready.instance_count == 5
    department.restart(501.0)
    with pytest.raises(InvalidMessage, match="Study Instance UID"):
        department.give(502.0, *images(1, first=5))
    assert readies(department.look(1_000.0)) == []


def test_a_study_takes_so_many_series_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(series_module, "MOST_SERIES", 2)
    department = Department()
    department.give(0.0, *images(1, series=1), *images(1, first=1, series=2))
    with pytest.raises(InvalidMessage, match="2 series already"):
        department.give(1.0, *images(1, first=2, series=3))
    department.give(2.0, *images(1, first=3, series=2))
    (ready,) = readies(department.look(500.0))
    assert [len(one.sop_instance_uids) for one in ready.series] == [1, 2]


def test_the_image_types_that_are_told_do_not_depend_on_the_order() -> None:
    types = [f"ORIGINAL\\PRIMARY\\{number:02d}" for number in range(MOST_IMAGE_TYPES + 5)]
    for order in (types, types[::-1]):
        series = Series()
        for number, image_type in enumerate(order):
            series.add(instance("1.2", number, image_type=image_type), 0.0)
        assert series.content("1.2").image_types == tuple(types[:MOST_IMAGE_TYPES])


def test_the_largest_study_fits_one_message() -> None:
    department = Department()
    one = instance("2.25.1", 1, series_description="ї" * 64, body_part_examined="HEAD AND NECK   ")
    for number in range(MOST_INSTANCES):
        series = number % MOST_SERIES
        department.give(
            0.0,
            replace(
                one,
                series_instance_uid=f"{NAME[:58]}{series:06d}",
                sop_instance_uid=f"{NAME[:58]}{number:06d}",
                image_type=f"ORIGINAL\\PRIMARY\\{number % 7}",
            ),
        )
    (ready,) = readies(department.look(10_000.0))
    assert ready.instance_count == MOST_INSTANCES
    largest = max(map(len, [*department.log.values(), Codec().encode(ready)]))
    assert MAX_MESSAGE_BYTES / 2 < largest < MAX_MESSAGE_BYTES - 1_000_000
