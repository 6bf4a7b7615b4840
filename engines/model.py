"""A version of a model that is ready to run: what it is, how it is fed, and the engine that holds its graph."""

from __future__ import annotations

from dataclasses import dataclass

from engines.base import Engine
from engines.config_pbtxt import ModelConfig
from engines.metadata import ModelMetadata
from engines.model_info import ModelInfo
from schemas import ids
from schemas.events import ModelIdentity


@dataclass(frozen=True)
class Model:
    """A model ready to run."""

    info: ModelInfo
    metadata: ModelMetadata
    config: ModelConfig
    engine: Engine

    def identity(self) -> ModelIdentity:
        """What results say about their origin; ``device_uid`` changes with the model file (IHE AIR)."""
        return ModelIdentity(
            name=self.info.name,
            version=self.info.version,
            sha256=self.info.sha256,
            manufacturer=self.info.manufacturer,
            device_uid=ids.dicom_uid("device", self.info.name, self.info.version, self.info.sha256),
            engine=self.engine.identity(),
        )
