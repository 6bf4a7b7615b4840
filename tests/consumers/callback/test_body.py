from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

from consumers.callback.body import body_of
from tests.consumers.delivery.items import adjudication
from tests.consumers.generated import generated
from tests.consumers.results import result_with_findings

SCHEMA = json.loads((Path(__file__).parents[3] / "docs" / "callback.schema.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("seed", range(50))
def test_bodies_are_of_the_documented_schema_and_the_same_each_time(seed: int) -> None:
    result = generated(seed).result
    body = body_of(result)
    assert body == body_of(replace(result))
    document = json.loads(body)
    jsonschema.validate(document, SCHEMA, format_checker=jsonschema.FormatChecker())
    assert [one["tracking_uid"] for one in document["data"]["findings"]] == [
        one.tracking_uid for one in result.findings
    ]


def test_a_verdict_is_told_with_the_result_as_it_stands() -> None:
    result = result_with_findings()
    verdict = adjudication(result)
    document = json.loads(body_of(result, verdict))
    jsonschema.validate(document, SCHEMA)
    assert document["type"] == "result.reviewed"
    assert (document["data"]["event_id"], document["data"]["result_id"]) == (verdict.event_id, result.event_id)


def test_orders_and_reviewers_are_not_told() -> None:
    result = replace(
        result_with_findings(), accession_number="ACC-4711", callback_url="https://ris.example/secret"
    )
    body = body_of(result, replace(adjudication(result), comment="about Mr. Ivanov")).decode()
    for private in ("ACC-4711", "reader-1", "Ivanov", "secret"):
        assert private not in body
