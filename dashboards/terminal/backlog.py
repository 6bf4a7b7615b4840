"""Prometheus metrics of the processes → what waits where. A process that does not answer is left out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import httpx
from prometheus_client.parser import text_string_to_metric_families

#: Gauges that say that something waits or is away: the process that means it, and words for people.
GAUGES: Final = {
    "scanstream_associations": ("gateway", "open DICOM associations"),
    "scanstream_outbox_rows": ("gateway", "events not yet on Kafka"),
    "scanstream_outbox_oldest_seconds": ("gateway", "age of the oldest of them, s"),
    "scanstream_studies_open": ("streams", "studies that still arrive"),
    "scanstream_destination_up": (None, "far side answers (1) or not (0)"),
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
            found += gauges(process, text)
    return found


def gauges(process: str, exposition: str) -> list[dict[str, object]]:
    """Gauges of interest of one process in the Prometheus text format. Pure."""
    return [
        {
            "process": process,
            "metric": sample.name,
            "about": GAUGES[sample.name][1],
            "labels": dict(sample.labels),
            "value": sample.value,
        }
        for family in text_string_to_metric_families(exposition)
        for sample in family.samples
        if sample.name in GAUGES and GAUGES[sample.name][0] in (process, None)
    ]
