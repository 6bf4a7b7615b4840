"""Settings → the processes of the stack, their environment, their order of stopping, and the endpoints.

The table below is the whole stack on one screen. Every process gets the same environment, but for its metrics
port. What a setting names already is honoured: with ``KAFKA_BOOTSTRAP_SERVERS`` no broker is started, and so on.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from dashboards.local import ports
from dashboards.local.stack import Endpoints
from schemas.settings import (
    ApiSettings,
    BrokerSettings,
    ClickHouseSettings,
    GatewaySettings,
    ProcessSettings,
)

HOST: Final = ports.HOST
METRICS: Final = "metrics."


@dataclass(frozen=True)
class Program:
    """One process of the stack.

    Attributes
    ----------
    name
        As it calls itself.
    command
        Program and arguments.
    stop_stage
        Stages are stopped one after the other: first who works with others, last who others work with.
    has_end
        It does one thing and ends.
    environment
        What it needs beyond the common environment.
    """

    name: str
    command: list[str]
    stop_stage: int
    has_end: bool = False
    environment: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Plan:
    """What a supervisor starts."""

    programs: tuple[Program, ...]
    environment: Mapping[str, str]
    endpoints: Endpoints


#: name, module, arguments, stop stage; in the order of data flow.
_BROKER: Final = ("broker", "dashboards.local.broker", (), 2)
_PROCESSES: Final = (
    ("gateway", "producers.gateway", (), 1),
    ("streams", "streams.processor", (), 0),
    ("worker", "streams.worker", (), 0),
    ("findings", "streams.findings", (), 0),
    ("writer-stow", "consumers.writer", ("stow",), 0),
    ("writer-fhir", "consumers.writer", ("fhir",), 0),
    ("writer-audit", "consumers.writer", ("audit",), 0),
    ("api", "dashboards.api", (), 1),
)
#: Writer → variables of which one makes it part of the stack: nobody can guess whom it should write to.
_ON_REQUEST: Final = {
    "oru": ("SCANSTREAM_ORU_HOST",),
    "callback": ("SCANSTREAM_CALLBACK_SECRET", "SCANSTREAM_CALLBACK_SECRET_FILE"),
    "escalation": ("SCANSTREAM_ESCALATION_ROUTES_FILE",),
}
#: The HL7 listener, where a setting says on which port: most sites have one sender, and it knows the port.
_HL7: Final = ("hl7", "producers.hl7.listener", (), 1)
#: Creates the topics as soon as a broker listens, and ends.
_TOPICS: Final = Program("topics", [sys.executable, "-m", "producers.topic_admin"], 0, has_end=True)


def make_plan(data_dir: Path, environment: Mapping[str, str]) -> Plan:
    """Plan of the whole stack.

    Parameters
    ----------
    data_dir
        State directory; ports are remembered there.
    environment
        Of this process; the settings classes read the same one.

    Raises
    ------
    ConfigurationError
        No free port was found.
    """
    own_broker = not environment.get("KAFKA_BOOTSTRAP_SERVERS")
    table = [*([_BROKER] if own_broker else []), *_PROCESSES, *_on_request(environment)]
    services = ["kafka", "kafka_controller", "gateway_dimse", "gateway_http", "api", "clickhouse"]
    names = [*services, *(METRICS + name for name, *_ in table)]
    chosen = ports.assign(data_dir, names, _fixed_ports())
    endpoints = _endpoints(chosen, environment, [name for name, *_ in table])
    programs = [
        Program(
            name,
            [sys.executable, "-m", module, *arguments],
            stage,
            environment={"SCANSTREAM_METRICS_PORT": str(chosen[METRICS + name])},
        )
        for name, module, arguments, stage in table
    ]
    programs.insert(1 if own_broker else 0, _TOPICS)
    return Plan(tuple(programs), _common(data_dir, chosen, endpoints, environment), endpoints)


def _on_request(environment: Mapping[str, str]) -> list[tuple[str, str, tuple[str, ...], int]]:
    """Rows of the listener and of the writers that a setting asks for."""
    listener = [_HL7] if environment.get("SCANSTREAM_HL7_PORT") else []
    return listener + [
        (f"writer-{name}", "consumers.writer", (name,), 0)
        for name, variables in _ON_REQUEST.items()
        if any(environment.get(variable) for variable in variables)
    ]


def _fixed_ports() -> dict[str, int]:
    """Ports that settings name (0 means any)."""
    broker, gateway, api, clickhouse = BrokerSettings(), GatewaySettings(), ApiSettings(), ClickHouseSettings()
    given = {
        "kafka": (broker, "port"),
        "kafka_controller": (broker, "controller_port"),
        "gateway_dimse": (gateway, "dimse_port"),
        "gateway_http": (gateway, "http_port"),
        "api": (api, "port"),
        "clickhouse": (clickhouse, "embedded_http_port"),
    }
    fixed = {name: getattr(block, key) for name, (block, key) in given.items() if key in block.model_fields_set}
    return {name: port for name, port in fixed.items() if port}


def _endpoints(chosen: Mapping[str, int], environment: Mapping[str, str], names: list[str]) -> Endpoints:
    gateway, api, clickhouse = GatewaySettings(), ApiSettings(), ClickHouseSettings()
    dsn = clickhouse.dsn.get_secret_value() if clickhouse.dsn is not None else None
    metrics_host = ProcessSettings().metrics_host
    return Endpoints(
        kafka=environment.get("KAFKA_BOOTSTRAP_SERVERS") or f"{HOST}:{chosen['kafka']}",
        gateway_dimse=f"{_reachable(gateway.dimse_host)}:{chosen['gateway_dimse']}",
        gateway_http=(
            gateway.public_url or f"http://{_reachable(gateway.http_host)}:{chosen['gateway_http']}"
        ).rstrip("/"),
        api=(api.public_url or f"http://{_reachable(api.host)}:{chosen['api']}").rstrip("/"),
        clickhouse=(
            _without_credentials(dsn) if dsn else f"http://{clickhouse.embedded_http_host}:{chosen['clickhouse']}"
        ),
        metrics={name: f"http://{metrics_host}:{chosen[METRICS + name]}/metrics" for name in names},
    )


def _reachable(host: str) -> str:
    """Address to connect to for an address to listen on."""
    return HOST if host in {"0.0.0.0", "::", ""} else host  # noqa: S104 - compared, not listened on


def _without_credentials(url: str) -> str:
    parts = urlsplit(url)
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}"


def _common(
    data_dir: Path, chosen: Mapping[str, int], endpoints: Endpoints, environment: Mapping[str, str]
) -> dict[str, str]:
    """Environment of every process: what was set stays, what was not set points to this stack."""
    ours = {
        "KAFKA_BOOTSTRAP_SERVERS": endpoints.kafka,
        "SCANSTREAM_STOW_PACS_URL": f"{endpoints.gateway_http}/dicom-web",
        "SCANSTREAM_FHIR_BASE_URL": f"{endpoints.api}/fhir",
        "SCANSTREAM_ESCALATION_ACKNOWLEDGE_URL": endpoints.api,
    }
    decided = {
        "SCANSTREAM_DATA_DIR": str(data_dir),
        "SCANSTREAM_BROKER_PORT": str(chosen["kafka"]),
        "SCANSTREAM_BROKER_CONTROLLER_PORT": str(chosen["kafka_controller"]),
        "SCANSTREAM_GATEWAY_DIMSE_PORT": str(chosen["gateway_dimse"]),
        "SCANSTREAM_GATEWAY_HTTP_PORT": str(chosen["gateway_http"]),
        "SCANSTREAM_API_PORT": str(chosen["api"]),
        "CLICKHOUSE_EMBEDDED_HTTP_PORT": str(chosen["clickhouse"]),
        # the packages of this installation, whatever directory it is started from
        "PYTHONPATH": os.pathsep.join(
            path for path in (str(Path(__file__).parents[2]), environment.get("PYTHONPATH", "")) if path
        ),
        "PYTHONSAFEPATH": "1",
    }
    return {**environment, **{name: environment.get(name) or value for name, value in ours.items()}, **decided}
