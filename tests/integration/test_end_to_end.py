"""The whole system over real Kafka: a study arrives, and is there exactly once at every far end."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pydicom
import pytest

from benchmarks import exactly_once
from schemas import events
from tests.integration.census import delivered, take
from tests.integration.log_dump import dump
from tests.integration.rules import small_study_rules
from tests.integration.sender import send
from tests.integration.stack import LiveStack, live_stack, wait_for
from tests.studies import small_study

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]

ROOT = Path(__file__).parent.parent.parent
SERIES = ROOT / "dashboards" / "demo" / "data" / "mr-brain"


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LiveStack]:
    folder = tmp_path_factory.mktemp("stack")
    with live_stack(folder / "state", small_study_rules(folder)) as running:
        yield running


def dimse(stack: LiveStack) -> tuple[str, int]:
    host, _, port = stack.endpoint("gateway_dimse").rpartition(":")
    return host, int(port)


def scanstream(*words: str, data_dir: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "SCANSTREAM_DATA_DIR": str(data_dir)}
    command = [sys.executable, "-m", "dashboards.terminal", *words]
    return subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)


def delivered_everywhere(stack: LiveStack, uids: set[str]) -> bool:
    found = delivered(dump(stack.endpoint("kafka")))
    return all(found.get(uid, set()) >= {"stow", "fhir"} for uid in uids)


def test_studies_come_back_exactly_once(stack: LiveStack) -> None:
    sent: dict[str, set[str]] = {}
    for number in range(3):
        study = small_study(f"1000.{number}")
        assert send(study, *dimse(stack)) is not None
        sent[study[0].StudyInstanceUID] = {image.SOPInstanceUID for image in study}
    wait_for(lambda: delivered_everywhere(stack, set(sent)), 120, stack.log_tail)
    census = take(stack, sent)

    def counted() -> bool:
        nonlocal census
        census = take(stack, sent)
        return not census.problems

    wait_for(counted, 60, lambda: "\n".join(census.problems))
    assert (census.results, census.reports, census.objects) == (3, 3, 6)


def test_a_late_image_makes_a_revision_and_a_duplicate_makes_nothing(stack: LiveStack) -> None:
    study = small_study("2000", slices=9)
    uid = study[0].StudyInstanceUID
    assert send(study[:8], *dimse(stack)) is not None
    wait_for(lambda: delivered_everywhere(stack, {uid}), 60, stack.log_tail)
    assert send(study[:8], *dimse(stack)) is not None
    assert send(study[8:], *dimse(stack)) is not None

    def revisions() -> list[int]:
        log = dump(stack.endpoint("kafka"))
        results = [e.event for e in log if isinstance(e.event, events.InferenceResult)]
        return sorted(result.revision for result in results if result.study_instance_uid == uid)

    wait_for(lambda: len(revisions()) == 2, 60, stack.log_tail)
    assert revisions() == [1, 2]


def test_no_identity_in_logs_metrics_keys_or_headers(stack: LiveStack) -> None:
    study = small_study("3000", patient_name="Таємна^Особа^^^")
    assert send(study, *dimse(stack)) is not None
    wait_for(lambda: delivered_everywhere(stack, {study[0].StudyInstanceUID}), 60, stack.log_tail)
    identity = ("Таємна", "P-3000", "19700101")
    logs = "".join(path.read_text(errors="replace") for path in (stack.data_dir / "logs").iterdir())
    metrics = "".join(httpx.get(url).text for url in stack.description()["endpoints"]["metrics"].values())
    assert "scanstream_instances_stored_total" in metrics
    values = "".join(repr(entry.event) for entry in dump(stack.endpoint("kafka")))
    for secret in identity:
        assert secret not in logs
        assert secret not in metrics
        assert secret not in values


def test_what_is_no_dicom_is_named_and_the_malformed_file_is_not_lost(stack: LiveStack, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not an image")
    said = scanstream("send", str(tmp_path / "notes.txt"), data_dir=stack.data_dir)
    assert said.returncode != 0
    assert "notes.txt" in said.stdout + said.stderr
    assert "Traceback" not in said.stdout + said.stderr
    (malformed,) = (ROOT / "tests" / "data" / "malformed").glob("*.dcm")
    said = scanstream("send", str(malformed), data_dir=stack.data_dir)
    assert "Traceback" not in said.stdout + said.stderr
    if said.returncode == 0:
        uid = pydicom.dcmread(malformed, stop_before_pixels=True, force=True).SOPInstanceUID
        found = httpx.get(f"{stack.endpoint('gateway_http')}/dicom-web/instances", params={"SOPInstanceUID": uid})
        assert len(found.json()) == 1
    else:
        assert malformed.name in said.stdout + said.stderr


def test_the_terminal_answers(stack: LiveStack) -> None:
    for words in (["status"], ["topics"], ["sql", "SELECT record, count() FROM events GROUP BY record"]):
        said = scanstream(*words, "--json", data_dir=stack.data_dir)
        assert said.returncode == 0, said.stderr
        import json

        assert json.loads(said.stdout)
        assert scanstream(*words, data_dir=stack.data_dir).returncode == 0
    refused = scanstream("sql", "DROP TABLE events", data_dir=stack.data_dir)
    assert refused.returncode != 0
    assert "Traceback" not in refused.stderr


def test_exactly_once_under_kill_9(tmp_path: Path) -> None:
    _, problems = exactly_once.run(studies=12, kills=8, seed=20261122, folder=tmp_path)
    assert problems == []
