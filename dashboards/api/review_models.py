"""What the API takes in of a radiologist's verdict, and what it says of one."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat, StringConstraints, model_validator

from schemas.events import Adjudication, Category, Code, Decision, Laterality

_Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=64)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CodeModel(_Strict):
    """Coded concept (PS3.3 8.8)."""

    value: _Text = Field(examples=["7771000"])
    scheme: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=16)] = Field(
        description="coding scheme designator", examples=["SCT"]
    )
    meaning: _Text = Field(examples=["Left"])

    def code(self) -> Code:
        """As events have it."""
        return Code(self.value, self.scheme, self.meaning)


class MeasuredModel(_Strict):
    """New value of a measurement that the finding has, by the value of its concept; unit and method stay."""

    code: _Text = Field(examples=["118565006"])
    value: FiniteFloat


class Amendment(_Strict):
    """What is different in the finding; what is left out stays as it is."""

    code: CodeModel | None = None
    site: CodeModel | None = None
    laterality: Laterality | None = None
    category: Category | None = None
    measurements: list[MeasuredModel] = Field(default=[], max_length=100)

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not self.model_dump(exclude_none=True, exclude_defaults=True):
            raise ValueError("say what is different: code, site, laterality, category or measurements")
        return self


class VerdictRequest(_Strict):
    """A radiologist's verdict on a finding, or on the negative answer of a task."""

    task_id: str = Field(max_length=64)
    decision: Decision
    reviewer: Annotated[str, StringConstraints(pattern=r"^[\w.@+-]{1,64}$")] = Field(
        description="account name, never free text", examples=["o.koval"]
    )
    comment: Annotated[str, StringConstraints(strip_whitespace=True, max_length=2000)] | None = None
    amended: Amendment | None = Field(default=None, description="with decision amended, and only then")

    @model_validator(mode="after")
    def _amended_when_said(self) -> Self:
        if (self.decision is Decision.AMENDED) != (self.amended is not None):
            raise ValueError("decision amended needs the amended values, and no other decision has any")
        return self


class VerdictModel(BaseModel):
    """A verdict that was given."""

    event_id: str
    finding_id: str
    task_id: str
    decision: Decision
    reviewer: str
    comment: str | None
    at: datetime


def verdict_of(given: Adjudication) -> VerdictModel:
    """A verdict by its event."""
    return VerdictModel(
        event_id=given.event_id,
        finding_id=given.finding_id,
        task_id=given.task_id,
        decision=given.decision,
        reviewer=given.reviewer,
        comment=given.comment,
        at=given.occurred_at,
    )
