"""The writer's destination is built from the environment, and a wrong setting is said at the start."""

from __future__ import annotations

from pathlib import Path

import pytest

from consumers.destination import ReviewedDestination
from consumers.fhir.destination import build
from producers.process import Process
from schemas.errors import ConfigurationError
from schemas.settings import ProcessSettings
from tests.consumers.fhir.servers import scripted


def test_settings_come_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    with scripted() as (url, script):
        monkeypatch.setenv("SCANSTREAM_FHIR_BASE_URL", url)
        monkeypatch.setenv("SCANSTREAM_FHIR_TOKEN", "s3cret")
        destination = build(Process("writer-fhir", ProcessSettings()))
        assert destination.name == "fhir"
        script.answer(200, {"resourceType": "CapabilityStatement"})
        destination.probe()
        destination.close()
        headers = script.asked[0][2]
        assert headers["Authorization"] == "Bearer s3cret"
        assert headers["User-Agent"] == "scanstream writer-fhir"


def test_a_token_may_lie_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text("of the file\n")
    with scripted() as (url, script):
        monkeypatch.setenv("SCANSTREAM_FHIR_BASE_URL", url)
        monkeypatch.setenv("SCANSTREAM_FHIR_TOKEN_FILE", str(file))
        destination = build(Process("writer-fhir", ProcessSettings()))
        destination.probe()
        destination.close()
        assert script.asked[0][2]["Authorization"] == "Bearer of the file"
    monkeypatch.setenv("SCANSTREAM_FHIR_TOKEN", "both")
    with pytest.raises(ConfigurationError, match="not both"):
        build(Process("writer-fhir", ProcessSettings()))


def test_it_takes_failures_and_verdicts() -> None:
    destination = build(Process("writer-fhir", ProcessSettings()))
    assert destination.wants_failures
    assert isinstance(destination, ReviewedDestination)
    destination.close()


def test_a_wrong_base_url_refuses_the_start(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCANSTREAM_FHIR_BASE_URL", "fhir.example.org")
    with pytest.raises(ConfigurationError, match="SCANSTREAM_FHIR_BASE_URL"):
        build(Process("writer-fhir", ProcessSettings()))
