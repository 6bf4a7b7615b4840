"""Settings decide what the stack starts and where it answers."""

from __future__ import annotations

import os

import pytest

from dashboards.local.plan import make_plan


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch):
    for name in list(os.environ):
        if name.startswith(("SCANSTREAM_", "KAFKA_", "CLICKHOUSE_")):
            monkeypatch.delenv(name)


def test_everything_is_started_and_points_to_this_stack(tmp_path):
    plan = make_plan(tmp_path, dict(os.environ))
    names = [program.name for program in plan.programs]
    assert names == [
        "broker", "topics", "gateway", "streams", "worker", "findings",
        "writer-stow", "writer-fhir", "writer-audit", "api",
    ]  # fmt: skip
    assert plan.environment["KAFKA_BOOTSTRAP_SERVERS"] == plan.endpoints.kafka
    assert plan.environment["SCANSTREAM_STOW_PACS_URL"] == f"{plan.endpoints.gateway_http}/dicom-web"
    assert plan.environment["SCANSTREAM_FHIR_BASE_URL"] == f"{plan.endpoints.api}/fhir"
    assert set(plan.endpoints.metrics) == set(names) - {"topics"}
    assert len(set(plan.endpoints.metrics.values())) == len(names) - 1


@pytest.mark.parametrize(
    ("variable", "writer"),
    [
        ("SCANSTREAM_ORU_HOST", "writer-oru"),
        ("SCANSTREAM_CALLBACK_SECRET", "writer-callback"),
        ("SCANSTREAM_CALLBACK_SECRET_FILE", "writer-callback"),
        ("SCANSTREAM_ESCALATION_ROUTES_FILE", "writer-escalation"),
    ],
)
def test_a_writer_is_started_where_it_is_said_whom_it_writes_to(tmp_path, variable, writer):
    plan = make_plan(tmp_path, {variable: "given"})
    assert plan.programs[-1].name == writer
    assert plan.programs[-1].command[-2:] == ["consumers.writer", writer.removeprefix("writer-")]


def test_the_hl7_listener_is_started_where_its_port_is_said(tmp_path):
    plan = make_plan(tmp_path, {"SCANSTREAM_HL7_PORT": "2575"})
    assert plan.programs[-1].command[-1] == "producers.hl7.listener"
    assert plan.environment["SCANSTREAM_HL7_PORT"] == "2575"


def test_who_works_with_others_is_stopped_before_them(tmp_path):
    stages = {program.name: program.stop_stage for program in make_plan(tmp_path, {}).programs}
    assert stages["writer-stow"] == stages["worker"] < stages["gateway"] < stages["broker"]


def test_another_kafka_means_no_broker(tmp_path, monkeypatch):
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "kafka.example:9092")
    plan = make_plan(tmp_path, os.environ)
    assert "broker" not in {program.name for program in plan.programs}
    assert plan.endpoints.kafka == plan.environment["KAFKA_BOOTSTRAP_SERVERS"] == "kafka.example:9092"


def test_given_ports_and_destinations_are_honoured(tmp_path, monkeypatch):
    monkeypatch.setenv("SCANSTREAM_GATEWAY_DIMSE_PORT", "104")
    monkeypatch.setenv("SCANSTREAM_STOW_PACS_URL", "http://pacs.example/dicom-web")
    plan = make_plan(tmp_path, os.environ)
    assert plan.endpoints.gateway_dimse == "127.0.0.1:104"
    assert plan.environment["SCANSTREAM_STOW_PACS_URL"] == "http://pacs.example/dicom-web"


def test_no_password_reaches_the_description(tmp_path, monkeypatch):
    monkeypatch.setenv("CLICKHOUSE_DSN", "http://audit:secret@clickhouse.example:8123/scanstream")
    assert make_plan(tmp_path, os.environ).endpoints.clickhouse == "http://clickhouse.example:8123"
