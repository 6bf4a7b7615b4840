from __future__ import annotations

import os
from pathlib import Path

import pytest

from consumers.dicom.plan import ObjectKind
from consumers.stow import destination
from consumers.stow.configuration import name_of, plan_from, transport_from
from producers.process import Process
from schemas.destinations import StowSettings, WriterSettings
from schemas.errors import ConfigurationError
from schemas.settings import ProcessSettings
from schemas.terminology import Language
from tests.consumers.stow.pacs import Answer, scripted_pacs

PROCESS = Process("writer-stow", ProcessSettings())


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith(("SCANSTREAM_STOW_", "SCANSTREAM_WRITER_"))]:
        monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"SCANSTREAM_STOW_PACS_URL": "pacs"}, "SCANSTREAM_STOW_PACS_URL"),
        ({"SCANSTREAM_STOW_OBJECTS": "seg,cinema"}, "SCANSTREAM_STOW_OBJECTS"),
        ({"SCANSTREAM_STOW_USERNAME": "writer"}, "SCANSTREAM_STOW_PASSWORD_FILE"),
        ({"SCANSTREAM_STOW_PASSWORD": "secret"}, "SCANSTREAM_STOW_USERNAME"),
        (
            {"SCANSTREAM_STOW_USERNAME": "writer", "SCANSTREAM_STOW_PASSWORD_FILE": "/nowhere/password"},
            "SCANSTREAM_STOW_PASSWORD_FILE /nowhere/password cannot be read",
        ),
        (
            {"SCANSTREAM_STOW_PASSWORD": "one", "SCANSTREAM_STOW_PASSWORD_FILE": "/nowhere/password"},
            "not both",
        ),
        ({"SCANSTREAM_STOW_TLS_CERTIFICATE": "/nowhere/c.pem"}, "SCANSTREAM_STOW_TLS_CA"),
        ({"SCANSTREAM_STOW_TLS_KEY": "/nowhere/c.key"}, "SCANSTREAM_STOW_TLS_CERTIFICATE"),
        ({"SCANSTREAM_STOW_TLS_CA": "/nowhere/ca.pem"}, "SCANSTREAM_STOW_TLS_CA /nowhere/ca.pem cannot be used"),
        ({"SCANSTREAM_STOW_TRANSPORT": "c-store", "SCANSTREAM_STOW_AE_TITLE": "ПАКС"}, "SCANSTREAM_STOW_AE_TITLE"),
        (
            {"SCANSTREAM_STOW_TRANSPORT": "c-store", "SCANSTREAM_STOW_CALLING_AE_TITLE": "МИ"},
            "SCANSTREAM_STOW_CALLING_AE_TITLE",
        ),
        (
            {"SCANSTREAM_STOW_STORAGE_COMMITMENT": "true", "SCANSTREAM_STOW_AE_TITLE": "A\\B"},
            "SCANSTREAM_STOW_AE_TITLE",
        ),
    ],
)
def test_a_wrong_setting_is_refused_by_name(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, str], says: str
) -> None:
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(ConfigurationError, match=says) as raised:
        destination.build(PROCESS)
    assert "secret" not in str(raised.value)


def test_nothing_needs_to_be_set() -> None:
    made = destination.build(PROCESS)
    assert made.name == "stow"
    assert not made.wants_failures


def test_names_language_and_objects_come_from_their_settings() -> None:
    writer = WriterSettings(name="archive", language=Language.UKRAINIAN)
    assert name_of(writer) == "archive"
    plan = plan_from(StowSettings(objects="no-sr"), writer)
    assert plan.language is Language.UKRAINIAN
    assert plan.kinds == {ObjectKind.SC, ObjectKind.GSPS}


def test_a_password_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "password"
    file.write_text("s3cret\n")
    with scripted_pacs() as pacs:
        pacs.script = lambda _: Answer(200, b"[]")
        settings = StowSettings(pacs_url=pacs.url, username="writer", password_file=file)
        transport = transport_from(settings, PROCESS)
        transport.probe()
        transport.close()
    assert pacs.requests[0].headers["authorization"] == "Basic d3JpdGVyOnMzY3JldA=="
    assert pacs.requests[0].headers["user-agent"] == "scanstream writer-stow"
