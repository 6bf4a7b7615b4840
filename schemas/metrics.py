"""Names, kinds and labels of every metric, as data: a misspelt name is a type error.

Labels never carry patient identity or UIDs (unbounded).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

MetricName = Literal[
    "scanstream_instances_stored_total",
    "scanstream_instances_refused_total",
    "scanstream_associations",
    "scanstream_associations_rejected_total",
    "scanstream_silent_connections",
    "scanstream_outbox_rows",
    "scanstream_outbox_oldest_seconds",
    "scanstream_events_produced_total",
    "scanstream_messages_consumed_total",
    "scanstream_messages_failed_total",
    "scanstream_transaction_seconds",
    "scanstream_studies_open",
    "scanstream_studies_ready_total",
    "scanstream_tasks_created_total",
    "scanstream_task_commands_total",
    "scanstream_eligibility_total",
    "scanstream_inference_seconds",
    "scanstream_tasks_finished_total",
    "scanstream_worker_up",
    "scanstream_worker_tasks",
    "scanstream_worker_oldest_waiting_seconds",
    "scanstream_worker_preemptions_total",
    "scanstream_worker_deadlines_missed_total",
    "scanstream_worker_child_ends_total",
    "scanstream_delivery_seconds",
    "scanstream_deliveries_total",
    "scanstream_delivery_retries_total",
    "scanstream_delivery_dead_letters_total",
    "scanstream_delivery_lag_seconds",
    "scanstream_delivery_oldest_seconds",
    "scanstream_delivery_breaker",
    "scanstream_destination_up",
    "scanstream_audit_rows_total",
    "scanstream_http_request_seconds",
    "scanstream_polls_total",
    "scanstream_polled_studies_total",
    "scanstream_polled_instances_total",
    "scanstream_polled_bytes_total",
    "scanstream_source_up",
    "scanstream_poller_studies",
    "scanstream_poller_watermark_age_seconds",
    "scanstream_escalations_total",
    "scanstream_escalations_open",
    "scanstream_escalation_notice_seconds",
    "scanstream_hl7_messages_total",
    "scanstream_hl7_acknowledgement_seconds",
    "scanstream_hl7_connections",
]

Kind = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True)
class MetricSpec:
    """One metric: what it is, its labels, and a sentence for the ``HELP`` line."""

    kind: Kind
    about: str
    labels: tuple[str, ...] = ()


METRICS: Final[dict[MetricName, MetricSpec]] = {
    "scanstream_instances_stored_total": MetricSpec("counter", "Instances made durable", ("origin",)),
    "scanstream_instances_refused_total": MetricSpec("counter", "Instances refused", ("origin", "status")),
    "scanstream_associations": MetricSpec("gauge", "Open DICOM associations"),
    "scanstream_associations_rejected_total": MetricSpec(
        "counter", "DICOM associations rejected, by result/source/reason (PS3.8 9.3.4)", ("reason",)
    ),
    "scanstream_silent_connections": MetricSpec("gauge", "DICOM connections that hold no association"),
    "scanstream_outbox_rows": MetricSpec("gauge", "Events not yet on Kafka", ("lane",)),
    "scanstream_outbox_oldest_seconds": MetricSpec("gauge", "Age of the oldest event not yet on Kafka", ("lane",)),
    "scanstream_events_produced_total": MetricSpec("counter", "Events produced", ("topic",)),
    "scanstream_messages_consumed_total": MetricSpec("counter", "Messages consumed", ("topic",)),
    "scanstream_messages_failed_total": MetricSpec("counter", "Messages that failed", ("topic", "error")),
    "scanstream_transaction_seconds": MetricSpec("histogram", "Length of a Kafka transaction"),
    "scanstream_studies_open": MetricSpec("gauge", "Studies that are still arriving"),
    "scanstream_studies_ready_total": MetricSpec("counter", "Studies declared complete", ("reason",)),
    "scanstream_tasks_created_total": MetricSpec("counter", "Inference tasks created", ("priority", "model")),
    "scanstream_task_commands_total": MetricSpec("counter", "Commands for tasks that orders led to", ("kind",)),
    "scanstream_eligibility_total": MetricSpec(
        "counter", "Decisions whether a model runs on a study", ("model", "eligible")
    ),
    "scanstream_inference_seconds": MetricSpec("histogram", "Time of one stage of a task", ("model", "stage")),
    "scanstream_tasks_finished_total": MetricSpec("counter", "Tasks finished", ("model", "outcome")),
    "scanstream_worker_up": MetricSpec("gauge", "1 while the worker takes tasks"),
    "scanstream_worker_tasks": MetricSpec("gauge", "Tasks that the worker holds", ("priority", "state")),
    "scanstream_worker_oldest_waiting_seconds": MetricSpec(
        "gauge", "Age of the oldest task of a class that waits in the worker", ("priority",)
    ),
    "scanstream_worker_preemptions_total": MetricSpec("counter", "Computations suspended for a P1"),
    "scanstream_worker_deadlines_missed_total": MetricSpec(
        "counter", "Tasks answered after their deadline", ("priority",)
    ),
    "scanstream_worker_child_ends_total": MetricSpec(
        "counter", "Computing processes that ended unasked", ("cause",)
    ),
    "scanstream_delivery_seconds": MetricSpec(
        "histogram", "Task creation to confirmation by the destination", ("destination", "priority")
    ),
    "scanstream_deliveries_total": MetricSpec("counter", "Results delivered", ("destination", "status")),
    "scanstream_delivery_retries_total": MetricSpec(
        "counter", "Deliveries put off to the retry topic", ("destination",)
    ),
    "scanstream_delivery_dead_letters_total": MetricSpec(
        "counter", "Results given up, to be replayed", ("destination",)
    ),
    "scanstream_delivery_lag_seconds": MetricSpec(
        "gauge", "Age of the oldest unfinished message", ("destination",)
    ),
    "scanstream_delivery_oldest_seconds": MetricSpec(
        "gauge", "Age of the oldest undelivered result of a class", ("destination", "priority")
    ),
    "scanstream_delivery_breaker": MetricSpec("gauge", "1 for the state that it is in", ("destination", "state")),
    "scanstream_destination_up": MetricSpec("gauge", "1 while the destination answers", ("destination",)),
    "scanstream_audit_rows_total": MetricSpec("counter", "Rows written to the audit store"),
    "scanstream_http_request_seconds": MetricSpec(
        "histogram", "HTTP requests served", ("route", "method", "status")
    ),
    "scanstream_polls_total": MetricSpec("counter", "Listings of a source", ("source", "outcome")),
    "scanstream_polled_studies_total": MetricSpec(
        "counter", "Studies of a source found new, brought, set aside", ("source", "outcome")
    ),
    "scanstream_polled_instances_total": MetricSpec("counter", "Instances brought from a source", ("source",)),
    "scanstream_polled_bytes_total": MetricSpec(
        "counter", "Bytes passed from a source to the gateway; none for C-MOVE", ("source",)
    ),
    "scanstream_source_up": MetricSpec("gauge", "1 while the source answers", ("source",)),
    "scanstream_poller_studies": MetricSpec("gauge", "Studies of a source by state", ("source", "state")),
    "scanstream_poller_watermark_age_seconds": MetricSpec(
        "gauge", "Age of the moment up to which the gateway has all of a source", ("source",)
    ),
    "scanstream_escalations_total": MetricSpec("counter", "Steps of alarms about critical findings", ("stage",)),
    "scanstream_escalations_open": MetricSpec("gauge", "Alarms that nobody has acknowledged yet"),
    "scanstream_escalation_notice_seconds": MetricSpec("histogram", "Result to the first notice of its alarm"),
    "scanstream_hl7_messages_total": MetricSpec("counter", "HL7 messages by what was answered", ("code",)),
    "scanstream_hl7_acknowledgement_seconds": MetricSpec("histogram", "HL7 message to its acknowledgement"),
    "scanstream_hl7_connections": MetricSpec("gauge", "Open HL7 connections"),
}
