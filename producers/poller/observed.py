"""What a poller does → its metrics, all labelled with the name of the source."""

from __future__ import annotations

from producers.poller.ledger import Standing
from producers.telemetry import Telemetry


class Observed:
    """Metrics of one source.

    Parameters
    ----------
    telemetry
        Of the process.
    source
        Name of the source.
    """

    def __init__(self, telemetry: Telemetry, source: str) -> None:
        self._telemetry = telemetry
        self._source = source

    def polled(self, outcome: str) -> None:
        """A listing ended: ``ok`` or ``failed``."""
        self._telemetry.count("scanstream_polls_total", source=self._source, outcome=outcome)

    def found(self, studies: int) -> None:
        """A listing had studies that were not known."""
        self._studies("found", studies)

    def brought(self, instances: int) -> None:
        """A study is whole at the gateway, after so many instances."""
        self._studies("brought", 1)
        self._telemetry.count("scanstream_polled_instances_total", instances, source=self._source)

    def failed(self) -> None:
        """A study was set aside."""
        self._studies("failed", 1)

    def bytes_passed(self, count: int) -> None:
        """Bytes went from the source to the gateway."""
        self._telemetry.count("scanstream_polled_bytes_total", count, source=self._source)

    def source_up(self, up: bool) -> None:
        """Whether the source answers."""
        self._telemetry.gauge("scanstream_source_up", up, source=self._source)

    def gateway_up(self, up: bool) -> None:
        """Whether the gateway answers."""
        self._telemetry.gauge("scanstream_destination_up", up, destination="gateway")

    def standing(self, standing: Standing, now_s: float) -> None:
        """Where the ledger stands."""
        self._telemetry.gauge("scanstream_poller_studies", standing.pending, source=self._source, state="pending")
        self._telemetry.gauge("scanstream_poller_studies", len(standing.aside), source=self._source, state="aside")
        if standing.watermark_s is not None:
            self._telemetry.gauge(
                "scanstream_poller_watermark_age_seconds", now_s - standing.watermark_s, source=self._source
            )

    def _studies(self, outcome: str, count: int) -> None:
        self._telemetry.count("scanstream_polled_studies_total", count, source=self._source, outcome=outcome)
