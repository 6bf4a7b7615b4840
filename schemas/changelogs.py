"""Records of compacted topics that hold the state of a process; part of ``schemas.events``."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from schemas.topics import Priority
from schemas.values import HintKind, SeriesContent, TaskReference


@dataclass(frozen=True)
class SeriesGeometry:
    """Where the slices of a series lie: hundredths of a millimetre along the normal, each once and sorted."""

    series_instance_uid: str
    positions: tuple[int, ...]


@dataclass(frozen=True)
class AssemblyState:
    """Changelog record of the assembler.

    ``revision`` is the last one emitted (0: none yet); ``open`` says that instances wait for the next one.
    ``expected_count`` is how many instances ``expected_by`` promised, while fewer are there. ``priority`` is as
    decided last, ``tasks`` are those of the last revision after older ones that it left to run, ``order_status``
    is what they were told of the order. ``partial_content`` is that of the last revision, if it had only the
    complete series of the study;
    ``lacks_context`` says that a model did not run only because consent or age is not known.
    """

    study_instance_uid: str
    revision: int
    open: bool
    gateway: str
    retrieve_url: str
    series: tuple[SeriesContent, ...]
    first_instance_at: datetime
    last_instance_at: datetime
    opened_at: datetime
    hint: HintKind | None = None
    hint_at: datetime | None = None
    calling_ae_title: str | None = None
    called_ae_title: str | None = None
    study_description: str | None = None
    accession_number: str | None = None
    requested_procedure_priority: str | None = None
    expected_count: int | None = None
    expected_by: HintKind | None = None
    patient_key: str | None = None
    patient_age_years: float | None = None
    quality_control: bool = False
    priority: Priority | None = None
    priority_reason: str | None = None
    rule_revision: str | None = None
    tasks: tuple[TaskReference, ...] = ()
    order_status: str | None = None
    partial_content: str | None = None
    geometry: tuple[SeriesGeometry, ...] = ()
    accession_issuer: str | None = None
    study_date_time: str | None = None
    lacks_context: bool = False


@dataclass(frozen=True)
class RelayPosition:
    """Sequence number of the last outbox row of a gateway that is on Kafka."""

    gateway: str
    sequence: int
    occurred_at: datetime
