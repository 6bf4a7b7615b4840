"""Observations → Prometheus metrics, served at ``/metrics`` on a port of the process.

Names and labels come from :mod:`schemas.metrics`; nothing else can be observed. Each process owns one
:class:`Telemetry`, passed down as an argument, so tests never share state.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest, start_http_server

from schemas.errors import ConfigurationError
from schemas.metrics import METRICS, MetricName, MetricSpec

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600, 1800, 14400)


class Telemetry:
    """Metrics of one process."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self._metrics: dict[MetricName, Any] = {
            name: _metric(name, spec, self.registry) for name, spec in METRICS.items()
        }

    def count(self, name: MetricName, amount: float = 1, **labels: str) -> None:
        """Add to a counter."""
        self._labelled(name, labels).inc(amount)

    def gauge(self, name: MetricName, value: float, **labels: str) -> None:
        """Set a gauge."""
        self._labelled(name, labels).set(value)

    def observe(self, name: MetricName, seconds: float, **labels: str) -> None:
        """Add one observation, in seconds, to a histogram."""
        self._labelled(name, labels).observe(seconds)

    @contextmanager
    def time(
        self, name: MetricName, clock: Callable[[], float] = time.perf_counter, **labels: str
    ) -> Iterator[None]:
        """Observe how long the block takes."""
        started = clock()
        try:
            yield
        finally:
            self.observe(name, clock() - started, **labels)

    def exposition(self) -> bytes:
        """All metrics in the Prometheus text format."""
        return generate_latest(self.registry)

    def serve(self, host: str, port: int | None) -> int | None:
        """Serve ``/metrics`` from a daemon thread and return the port; ``None`` serves nothing.

        Raises
        ------
        ConfigurationError
            The port is in use.
        """
        if port is None:
            return None
        try:
            server, _ = start_http_server(port, addr=host, registry=self.registry)
        except OSError as error:
            raise ConfigurationError(
                f"metrics port {port} on {host} cannot be opened ({error.strerror}): set SCANSTREAM_METRICS_PORT"
            ) from error
        return int(server.server_port)

    def _labelled(self, name: MetricName, labels: dict[str, str]) -> Any:
        metric = self._metrics[name]
        return metric.labels(**labels) if METRICS[name].labels else metric


def _metric(name: MetricName, spec: MetricSpec, registry: CollectorRegistry) -> Any:
    match spec.kind:
        case "counter":
            return Counter(name, spec.about, spec.labels, registry=registry)
        case "gauge":
            return Gauge(name, spec.about, spec.labels, registry=registry)
        case "histogram":
            return Histogram(name, spec.about, spec.labels, registry=registry, buckets=_BUCKETS)
