"""A fresh study, sent and followed through the system until everything that came out is checked.

Needs the libraries of DICOM, Kafka and ClickHouse, so it is imported while the stack starts.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from dashboards.demo.audit import Audit, audit, logged
from dashboards.demo.evidence import Evidence, collect
from dashboards.demo.failure import DemoFailed
from dashboards.demo.fresh import FreshStudy, fresh_study
from dashboards.demo.local_stack import LocalStack
from dashboards.demo.progress import Progress
from dashboards.demo.screen import Screen
from dashboards.demo.stages import SPECS, Reached, Study, first_missing, reached, trouble
from dashboards.terminal.client import Api
from dashboards.terminal.dicom_files import DicomFile, find
from dashboards.terminal.endpoints import Endpoints, of_stack
from dashboards.terminal.progress import transfer
from dashboards.terminal.scu import Answer, Target, send
from schemas.errors import DestinationUnavailable, ScanstreamError

CALLING_AE_TITLE: Final = "DEMO_MR"
FOLLOW_TIMEOUT_S: Final = 120.0
INTERVAL_S: Final = 0.05


@dataclass(frozen=True)
class Found:
    """What came out, checked."""

    study: FreshStudy
    audit: Audit
    evidence: Evidence


def through(local: LocalStack, shown: Screen, progress: Progress) -> Found:
    """Send a fresh study, follow it to the end and check what came out.

    Parameters
    ----------
    local
        The system; its gateway may still be starting.
    shown
        Shows what is going on.
    progress
        Kept up to date, for the report of a failure.

    Raises
    ------
    DemoFailed
        A stage was not reached, or a claim is not true.
    """
    with tempfile.TemporaryDirectory() as folder:
        study = fresh_study(Path(folder))
        files = [item for item in find([study.folder]) if isinstance(item, DicomFile)]
        progress.study_instance_uid = study.study_instance_uid
        endpoints = of_stack(local.wait_for(["gateway"], lambda what: shown.doing(f"starting {what}")))
        shown.doing("sending the images by C-STORE")
        with shown.hidden():
            started, durable = _send(files, endpoints)
    progress.stages = reached(None, started, durable)
    shown.stages(progress.stages)
    if local.ours:
        local.wait_for(["api"], lambda what: shown.doing(f"starting {what}"))
    known = _follow(study.study_instance_uid, endpoints, started, durable, shown, progress)
    shown.doing("fetching SEG, SR and report, and comparing them")
    about = (study.study_instance_uid, len(study.images), started, endpoints)
    evidence = collect(known, logged(*about), study.images)
    shown.doing("waiting for every event to be a row of the audit store")
    audited = audit(*about)
    written_ms = (audited.complete_at - started) / timedelta(milliseconds=1)
    progress.stages = [*progress.stages, Reached(SPECS[-1].name, round(written_ms, 1))]
    shown.stages(progress.stages)
    return Found(study, audited, evidence)


def _send(files: Sequence[DicomFile], endpoints: Endpoints) -> tuple[datetime, datetime]:
    """Send the study; when that began, and when the last image was confirmed."""
    target = Target(endpoints.dimse_host, endpoints.dimse_port, endpoints.ae_title, CALLING_AE_TITLE)
    started = confirmed = datetime.now(UTC)
    refused: Answer | None = None
    try:
        with transfer(f"sending to {target}", sum(file.size_bytes for file in files), len(files)) as bar:
            for answer in send(files, target):
                refused = refused if answer.stored else answer
                confirmed = datetime.now(UTC)
                bar.advance(answer.file.size_bytes)
    except ScanstreamError as error:
        raise DemoFailed("received", str(error), "gateway") from error
    if refused is not None:
        raise DemoFailed("durable", f"{refused.file.path.name}: {refused.reason}", "gateway")
    return started, confirmed


def _follow(
    uid: str, endpoints: Endpoints, started: datetime, durable: datetime, shown: Screen, progress: Progress
) -> Study:
    """Watch the study through the API until every destination has its results."""
    api = Api(endpoints.api)
    deadline = time.monotonic() + FOLLOW_TIMEOUT_S
    known: Study | None = None
    while time.monotonic() < deadline:
        try:
            known = api.study(uid)
        except DestinationUnavailable as error:
            raise DemoFailed("assembled", str(error), "api") from error
        progress.stages = reached(known, started, durable)
        shown.stages(progress.stages)
        wrong = trouble(known)
        missing = first_missing(progress.stages)
        if wrong is not None and missing is not None:
            raise DemoFailed(missing.name, wrong, missing.process)
        if missing is None and known is not None:
            return known
        if missing is not None:
            shown.doing(f"next: {missing.about}" if shown.console.is_terminal else "following the study")
        time.sleep(INTERVAL_S)
    late = first_missing(progress.stages) or SPECS[0]
    raise DemoFailed(late.name, f"not reached in {FOLLOW_TIMEOUT_S:.0f} s", late.process)
