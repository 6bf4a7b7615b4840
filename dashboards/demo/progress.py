"""How far a demonstration is: what the report of a failure can still say."""

from __future__ import annotations

from dataclasses import dataclass, field

from dashboards.demo.stages import Reached


@dataclass
class Progress:
    """Filled in as the study goes its way."""

    study_instance_uid: str | None = None
    stages: list[Reached] = field(default_factory=list)
