"""Request from outside → :class:`Order`: checked the same way, whatever the door it came through."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from consumers.dicom.plan import ObjectKind
from dashboards.orders.order import Order, Refused
from schemas.events import TaskParameters
from schemas.topics import Priority

_STUDY = "1.2.826.0.1.3680043.8.498.1001"

Uid = Annotated[str, StringConstraints(pattern=r"^[0-9]+(\.[0-9]+)*$", max_length=64)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+$", max_length=128)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Parameters(_Strict):
    """What may be set for one task."""

    confidence_threshold: float | None = Field(default=None, gt=0, le=1, allow_inf_nan=False)
    output_formats: list[ObjectKind] = Field(
        default=[], max_length=20, description="kinds of DICOM objects; none: those that the site has set"
    )
    include_heatmaps: bool = False


class ClinicalContext(_Strict):
    """What the requester knows of the case: no name and no number of a patient."""

    indication: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=1024)] | None = (
        None
    )
    patient_age_years: float | None = Field(default=None, ge=0, le=150, allow_inf_nan=False)


class InferenceRequest(_Strict):
    """Run one model on a study, or on some of its series."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "study_instance_uid": _STUDY,
                    "model": "ct-hyperdensity",
                    "priority": "p2-urgent",
                    "callback_url": "https://ris.example.org/hooks/ai",
                    "parameters": {"confidence_threshold": 0.6, "output_formats": ["sr", "seg"]},
                    "clinical_context": {"indication": "Гострий головний біль", "patient_age_years": 65},
                },
                {"series_instance_uid": f"{_STUDY}.2", "model": "mri-brain-segmentation"},
            ]
        },
    )

    study_instance_uid: Uid | None = None
    series_instance_uid: Uid | None = Field(default=None, description="one series; its study need not be named")
    series_instance_uids: list[Uid] = Field(default=[], max_length=1000, description="several series")
    model: Name = Field(examples=["ct-hyperdensity"])
    model_version: Name | None = Field(default=None, description="default: the one that serves")
    priority: Priority | None = Field(default=None, description="default: that of the study")
    callback_url: str | None = Field(default=None, max_length=2048, description="gets the result by POST, signed")
    parameters: Parameters | None = None
    clinical_context: ClinicalContext | None = None

    @model_validator(mode="after")
    def _something_to_look_at(self) -> Self:
        if self.study_instance_uid is None and not self.series():
            raise ValueError("name study_instance_uid, series_instance_uid or series_instance_uids")
        return self

    def series(self) -> tuple[str, ...]:
        """Series that are named, each once."""
        one = [self.series_instance_uid] if self.series_instance_uid else []
        return tuple(dict.fromkeys([*one, *self.series_instance_uids]))


def order_of(body: InferenceRequest, requested_by: str) -> Order:
    """Order of a request; ``requested_by`` names the door it came through."""
    wanted, case = body.parameters, body.clinical_context
    return Order(
        model=body.model,
        study_instance_uid=body.study_instance_uid,
        series_instance_uids=body.series(),
        model_version=body.model_version,
        priority=body.priority,
        callback_url=body.callback_url,
        parameters=None
        if wanted is None
        else TaskParameters(
            wanted.confidence_threshold,
            tuple(dict.fromkeys(one.value for one in wanted.output_formats)),
            wanted.include_heatmaps,
        ),
        indication=None if case is None else case.indication,
        patient_age_years=None if case is None else case.patient_age_years,
        requested_by=requested_by,
    )


def order_from(content: dict[str, object], requested_by: str) -> Order:
    """Order of the content of a request, by the names of :class:`InferenceRequest`.

    Raises
    ------
    Refused
        A field is wrong or missing.
    """
    try:
        return order_of(InferenceRequest.model_validate(content), requested_by)
    except ValidationError as error:
        wrong = [f"{'.'.join(map(str, item['loc'])) or 'request'}: {item['msg']}" for item in error.errors()]
        raise Refused(422, f"the request is wrong ({'; '.join(wrong)}): correct it") from error
