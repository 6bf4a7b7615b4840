"""``scanstream infer`` and ``scanstream task`` against the API itself, in one process."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dashboards.api.app import create_app
from dashboards.api.server import listen, serving
from dashboards.fhir.store import FhirStore
from dashboards.terminal.app import app
from dashboards.ups.subscriptions import Subscriptions
from schemas.errors import DestinationUnavailable, InvalidInput
from schemas.events import TaskCommand
from tests.dashboards.api.conftest import Service, context_of
from tests.dashboards.fleet import heartbeat, study
from tests.dashboards.story import MODEL, Story
from tests.tools import free_port


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Service]:
    monkeypatch.chdir(tmp_path)
    with closing(FhirStore(tmp_path / "fhir")) as store, closing(Subscriptions(tmp_path / "ups")) as wanted:
        service = Service(store, wanted)
        service.read(study(Story("1.2.3")), heartbeat(service.now))
        with (
            listen("127.0.0.1", 0) as listener,
            serving(create_app(context_of(service), store), listener, time.sleep),
        ):
            monkeypatch.setenv("SCANSTREAM_API_PUBLIC_URL", f"http://127.0.0.1:{listener.getsockname()[1]}")
            yield service


def run(*arguments: str) -> str:
    done = CliRunner().invoke(app, list(arguments), catch_exceptions=False, standalone_mode=False)
    return done.stdout


def test_a_task_is_asked_for_shown_and_steered(service: Service) -> None:
    asked = json.loads(run("infer", "1.2.3", "--model", MODEL, "--key", "k", "--json"))
    again = json.loads(run("infer", "1.2.3", "--model", MODEL, "--key", "k", "--json"))
    assert asked["task_id"] == again["task_id"]
    shown = run("task", "show", asked["task_id"])
    assert "queued 0 %, waits for a worker" in shown
    assert "place in line" in shown
    assert "until it is released" in run("task", "hold", asked["task_id"], "--actor", "o.koval")
    assert "for a worker" in run("task", "release", asked["task_id"])
    assert "p1-emergency" in run("task", "upgrade", asked["task_id"])
    assert "to be cancelled" in run("task", "cancel", asked["task_id"], "--reason", "wrong side")
    told = [event.kind.value for _, _, event in service.published if isinstance(event, TaskCommand)]
    assert told == ["hold", "release", "upgrade", "cancel"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("infer", "1.2.3", "--model", "none"), "no worker has a model 'none'"),
        (("infer", "9.9", "--model", MODEL), "no study 9.9 is known"),
        (("infer", "1.2.3", "--model", MODEL, "--priority", "now"), "priority"),
        (("task", "show", "../studies"), "is no task id"),
        (("task", "show", "0" * 36), "is not known"),
        (("task", "cancel", "0" * 36), "no task"),
    ],
)
def test_refusals_are_the_words_of_the_api(service: Service, arguments: tuple[str, ...], said: str) -> None:
    with pytest.raises(InvalidInput, match=said):
        run(*arguments)


def test_an_api_that_is_away_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SCANSTREAM_API_PUBLIC_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(DestinationUnavailable, match="does not answer"):
        run("infer", "1.2.3", "--model", MODEL)
