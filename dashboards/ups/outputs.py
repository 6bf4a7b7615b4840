"""Outcomes of deliveries → what a workitem lists as its output (PS3.3 table C.30.3-1). Pure."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Final

from dashboards.live.records import DeliveryView, TaskView
from dashboards.ups.model import Json, Value, dataset
from schemas.events import DeliveryStatus

#: How long a workitem whose task is done waits to hear of stored objects before it is completed without any.
PATIENCE: Final = timedelta(hours=1)
_SERIES: Final = re.compile(r"(.*)/studies/([0-9.]+)/series/([0-9.]+)/instances/[0-9.]+")


def is_told(task: TaskView, now: datetime) -> bool:
    """Whether it is known which objects were stored, so that the workitem may be completed.

    All of them are listed before the final state (PS3.4 CC.2.1.3); a delivery that failed stores nothing more.
    """
    if any(_of_dicom(delivery) for delivery in task.deliveries):
        return True
    return now - ended_at(task) > PATIENCE


def ended_at(task: TaskView) -> datetime:
    """When a task reached its final state, whatever was heard of it since."""
    names = (task.state.value, "result")
    ends = [max((one.at for one in task.moments if one.name == name), default=None) for name in names]
    return ends[0] or ends[1] or task.updated_at


def output_information(task: TaskView) -> list[Json]:
    """Items of Output Information Sequence (0040,4033), one per series."""
    of_series: dict[tuple[str, str | None, str | None], dict[str, Json]] = {}
    for delivery in task.deliveries:
        for one in delivery.objects:
            if one.status is not DeliveryStatus.STORED or not one.object_type[:1].isdigit():
                continue
            found = _SERIES.fullmatch(one.url or "")
            study = found[2] if found else task.study_instance_uid
            series, url = (found[3], f"{found[1]}/studies/{found[2]}/series/{found[3]}") if found else (None, None)
            images = of_series.setdefault((study, series, url), {})
            images.setdefault(one.identifier, reference(one.object_type, one.identifier))
    return [_series_item(*where, list(images.values())) for where, images in of_series.items()]


def reference(sop_class_uid: str, sop_instance_uid: str) -> Json:
    """Item of Referenced SOP Sequence (0008,1199)."""
    return dataset(ReferencedSOPClassUID=sop_class_uid, ReferencedSOPInstanceUID=sop_instance_uid)


def _series_item(study: str, series: str | None, url: str | None, images: list[Json]) -> Json:
    more: dict[str, Value] = {} if series is None else {"SeriesInstanceUID": series}
    if url is not None:
        more["WADORSRetrievalSequence"] = [dataset(RetrieveURL=url)]
    return dataset(TypeOfInstances="DICOM", StudyInstanceUID=study, ReferencedSOPSequence=images, **more)


def _of_dicom(delivery: DeliveryView) -> bool:
    """Whether a destination takes DICOM objects; one that was sent none says so of the result."""
    return delivery.destination == "stow" or any(one.object_type[:1].isdigit() for one in delivery.objects)
