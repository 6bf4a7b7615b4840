"""docs/models.md names every field of metadata.json, and its example is one that can be used."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel

from engines.coded import CodedConcept
from engines.metadata import ModelMetadata
from engines.output_policy import SegmentationOutput

TEXT = (Path(__file__).parents[2] / "docs" / "models.md").read_text(encoding="utf-8")


def parts(annotation: Any) -> list[type[BaseModel]]:
    """Records inside of a type."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for inner in get_args(annotation) for found in parts(inner)]


def records(record: type[BaseModel], seen: set[type[BaseModel]]) -> set[type[BaseModel]]:
    seen.add(record)
    for field in record.model_fields.values():
        for inner in parts(field.annotation):
            if inner not in seen:
                records(inner, seen)
    return seen


@pytest.mark.parametrize(
    "record", sorted(records(ModelMetadata, set()) - {CodedConcept}, key=lambda r: r.__name__)
)
def test_every_field_is_in_the_document(record: type[BaseModel]) -> None:
    missing = [name for name in record.model_fields if f"`{name}`" not in TEXT and f'"{name}"' not in TEXT]
    assert missing == []


def test_the_example_is_valid() -> None:
    (example,) = re.findall(r"```json\n(.*?)```", TEXT, re.DOTALL)
    metadata = ModelMetadata.model_validate_json(example)
    assert isinstance(metadata.output, SegmentationOutput)
    assert metadata.output.segments[0].rules
