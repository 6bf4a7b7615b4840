"""Dates and times of a search, which are spans and may have an offset from UTC (PS3.5 6.2, PS3.4 C.2.2.2.5)."""

from __future__ import annotations

import httpx
import pytest

from dashboards.ups.times import span
from tests.dashboards.api.conftest import Service
from tests.dashboards.story import Story

KEY = "ScheduledProcedureStepStartDateTime"


@pytest.mark.parametrize(
    ("value", "first", "end"),
    [
        ("2026", "20260101000000.000000", "20270101000000.000000"),
        ("202612", "20261201000000.000000", "20270101000000.000000"),
        ("202602", "20260201000000.000000", "20260301000000.000000"),
        ("20260115", "20260115000000.000000", "20260116000000.000000"),
        ("2026011509", "20260115090000.000000", "20260115100000.000000"),
        ("202601150930", "20260115093000.000000", "20260115093100.000000"),
        ("20260115093002", "20260115093002.000000", "20260115093003.000000"),
        ("20260115093002.1", "20260115093002.100000", "20260115093002.200000"),
        ("20260115+0200", "20260114220000.000000", "20260115220000.000000"),
        ("20260115-0500", "20260115050000.000000", "20260116050000.000000"),
        ("20260115-20260116", "20260115000000.000000", "20260117000000.000000"),
        ("2025-2026", "20250101000000.000000", "20270101000000.000000"),
        ("20260115+0200-20260115-0500", "20260114220000.000000", "20260116050000.000000"),
        ("-20260115", "", "20260116000000.000000"),
        ("20260115-", "20260115000000.000000", "~"),
    ],
)
def test_a_value_is_a_span(value: str, first: str, end: str) -> None:
    assert span(value) == (first, end)


@pytest.mark.parametrize(
    "value",
    ["2026-01-15", "-", "x", "20261", "20261315", "20260115+9900", "2026.5", "00000101", "9999", "20260115--"],
)
async def test_what_is_no_time_is_refused(client: httpx.AsyncClient, value: str) -> None:
    answer = await client.get("/workitems", params={KEY: value})
    assert (answer.status_code, KEY in answer.json()["detail"]) == (400, True)


@pytest.mark.parametrize(
    ("value", "status"),
    [
        ("20260115113000+0200-20260115113010+0200", 200),
        ("20260115093000+0200", 204),
        ("20260115093002.1", 200),
        ("20260115093002.2", 204),
        ("20260115093002.100000", 200),
        ("-20260115", 200),
        ("-20260114", 204),
    ],
)
async def test_a_search_by_time(service: Service, client: httpx.AsyncClient, value: str, status: int) -> None:
    service.read(Story("1.2.3").task())
    assert (await client.get("/workitems", params={KEY: value})).status_code == status
