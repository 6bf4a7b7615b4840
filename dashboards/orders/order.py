"""What somebody asks for, whatever the door it came through, and the refusals that they get."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass

from schemas.events import TaskParameters
from schemas.topics import Priority


class Refused(Exception):
    """An order or a command that is not taken.

    Parameters
    ----------
    status
        HTTP status.
    detail
        What is wrong and what to do.
    retry_after_s
        When it may be sent again unchanged; ``None``: it must be changed first.
    field
        Which field of :class:`dashboards.orders.request.InferenceRequest` is at fault; ``None``: none of them.
    """

    def __init__(
        self, status: int, detail: str, retry_after_s: int | None = None, field: str | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.retry_after_s = retry_after_s
        self.field = field

    def headers(self) -> dict[str, str]:
        """Header fields of the answer."""
        return {} if self.retry_after_s is None else {"retry-after": str(self.retry_after_s)}


@dataclass(frozen=True)
class Order:
    """Run one model on a study, or on some of its series.

    ``study_instance_uid`` may be left out where series are named, ``series_instance_uids`` empty means all of the
    study, ``priority`` ``None`` that of the study.
    """

    model: str
    study_instance_uid: str | None = None
    series_instance_uids: tuple[str, ...] = ()
    model_version: str | None = None
    priority: Priority | None = None
    callback_url: str | None = None
    parameters: TaskParameters | None = None
    indication: str | None = None
    patient_age_years: float | None = None
    requested_by: str = "api"

    def digest(self) -> str:
        """SHA-256 of what is asked for; the same order has the same one in every process."""
        text = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode()).hexdigest()


def key_of(door: str, text: str) -> str:
    """Request key for an identifier that a requester chose; ``door`` keeps those of different doors apart.

    The identifier may hold anything, a patient's number included, so only its digest goes into the log.
    """
    return f"{door}:{hashlib.sha256(text.encode()).hexdigest()}"
