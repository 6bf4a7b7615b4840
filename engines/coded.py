"""Parts that every file of a model folder shares: frozen records, coded concepts of PS3.16 or UCUM."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from schemas.events import Code


class Frozen(BaseModel):
    """A part of ``metadata.json``: a field that is not known is an error, not a silent default."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class CodedConcept(Frozen):
    """Code value, coding scheme designator, code meaning (PS3.3 8.8)."""

    value: str = Field(min_length=1, max_length=16)
    scheme: str = Field(min_length=1, max_length=16)
    meaning: str = Field(min_length=1, max_length=64)

    def code(self) -> Code:
        """The concept as events carry it."""
        return Code(self.value, self.scheme, self.meaning)
