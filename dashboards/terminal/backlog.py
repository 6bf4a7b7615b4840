"""Prometheus metrics of the processes → what waits where. A process that does not answer is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

#: Gauges that say that something waits or is away, with words for people.
GAUGES: Final = {
    "scanstream_outbox_rows": "events not yet on Kafka",
    "scanstream_outbox_oldest_seconds": "age of the oldest of them, s",
    "scanstream_associations": "open DICOM associations",
    "scanstream_studies_open": "studies that still arrive",
    "scanstream_destination_up": "destination answers (1) or not (0)",
}


def read_backlog(metrics: Mapping[str, str]) -> list[dict[str, object]]:
    """Gauges of interest of every process.

    Parameters
    ----------
    metrics
        Process name → URL of its metrics.
    """
    found: list[dict[str, object]] = []
    with httpx.Client(timeout=1.0) as client:
        for process, url in metrics.items():
            try:
                text = client.get(url).raise_for_status().text
            except httpx.HTTPError:
                continue
            found += [{"process": process, **gauge} for gauge in gauges(text)]
    return found


def gauges(exposition: str) -> list[dict[str, object]]:
    """Gauges of interest in a Prometheus text. Pure."""
    return [
        {"metric": sample.name, "about": GAUGES[sample.name], "labels": dict(sample.labels), "value": sample.value}
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
        if sample.name in GAUGES
    ]
