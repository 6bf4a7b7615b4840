"""``model_info.json`` → where a version of a model comes from, what it may be used for, which file it is."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class ModelInfo(BaseModel):
    """``model_info.json``; ``sha256`` is that of ``file`` and what it reads (:func:`engines.digest.digest_of`)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(pattern=r"^[a-z0-9-]+$")
    version: str = Field(min_length=1, max_length=64)
    file: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", description="in the version's folder")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    licence: str
    licence_file: str
    source: str
    authors: tuple[str, ...]
    manufacturer: str = Field(max_length=64)
    intended_use: str
    measured: tuple[str, ...] = ()
