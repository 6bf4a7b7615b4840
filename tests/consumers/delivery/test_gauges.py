from __future__ import annotations

from datetime import UTC, datetime, timedelta

from consumers.delivery.backlog import Backlog
from consumers.delivery.circuit import Circuit
from consumers.delivery.gauges import Gauges
from producers.telemetry import Telemetry
from schemas.topics import Priority
from tests.consumers.delivery.items import item
from tests.consumers.delivery.test_circuit import Clock

NOW = datetime(2026, 3, 1, tzinfo=UTC)


def ago_ms(seconds: float) -> int:
    return int((NOW - timedelta(seconds=seconds)).timestamp() * 1000)


def test_lag_oldest_of_each_class_and_breaker_are_shown() -> None:
    clock, telemetry, backlog = Clock(), Telemetry(), Backlog()
    gauges = Gauges(telemetry, "pacs", lambda: NOW, clock)
    circuit = Circuit(1.0, 4.0, clock, lambda: 0.0)
    backlog.add(item("a", 0, Priority.P4_ROUTINE, ago_ms(90)))
    backlog.add(item("b", 1, Priority.P4_ROUTINE, ago_ms(30)))
    backlog.add(item("c", 2, Priority.P1_EMERGENCY, ago_ms(2)))
    taken = backlog.next(NOW)
    assert taken is not None
    gauges.show(backlog, circuit)
    shown = telemetry.exposition().decode()
    assert 'scanstream_delivery_lag_seconds{destination="pacs"} 90.0' in shown
    oldest = 'scanstream_delivery_oldest_seconds{destination="pacs",priority='
    assert f'{oldest}"p4-routine"}} 90.0' in shown
    assert f'{oldest}"p1-emergency"}} 2.0' in shown, "under way is not delivered yet"
    assert f'{oldest}"p2-urgent"}} 0.0' in shown
    breaker = 'scanstream_delivery_breaker{destination="pacs",state='
    assert f'{breaker}"closed"}} 1.0' in shown
    circuit.failed()
    clock.now += 5
    gauges.show(backlog, circuit)
    shown = telemetry.exposition().decode()
    assert f'{breaker}"closed"}} 0.0' in shown
    assert f'{breaker}"open"}} 1.0' in shown
