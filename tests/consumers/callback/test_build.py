from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from consumers.callback.destination import build
from producers.process import Process
from schemas.errors import ConfigurationError
from schemas.settings import ProcessSettings

PROCESS = Process("writer-callback", ProcessSettings())


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SECRET", "SECRET_FILE", "ALLOWED_HOSTS"):
        monkeypatch.delenv(f"SCANSTREAM_CALLBACK_{name}", raising=False)


def test_without_a_secret_it_does_not_start() -> None:
    with pytest.raises(ConfigurationError, match="need a secret"):
        build(PROCESS)


def test_the_secret_may_lie_in_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    secret = tmp_path / "secret"
    secret.write_text("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\n", encoding="utf-8")
    monkeypatch.setenv("SCANSTREAM_CALLBACK_SECRET_FILE", str(secret))
    monkeypatch.setenv("SCANSTREAM_CALLBACK_ALLOWED_HOSTS", '["ris.example", "*.clinic.example:8443"]')
    assert build(PROCESS).wants_failures


def test_a_wrong_list_of_hosts_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SCANSTREAM_CALLBACK_SECRET", "x" * 32)
    monkeypatch.setenv("SCANSTREAM_CALLBACK_ALLOWED_HOSTS", '["https://ris.example"]')
    with pytest.raises(ConfigurationError, match="SCANSTREAM_CALLBACK_ALLOWED_HOSTS"):
        build(PROCESS)
    monkeypatch.setenv("SCANSTREAM_CALLBACK_TIMEOUT_S", "-1")
    with pytest.raises(ValidationError, match="timeout_s"):
        build(PROCESS)
