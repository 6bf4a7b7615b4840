"""What was checked, or what is missing → ``report.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dashboards.demo.progress import Progress
from dashboards.demo.stages import Reached

if TYPE_CHECKING:
    from dashboards.demo.evidence import Evidence


def success(
    study_instance_uid: str,
    stages: Sequence[Reached],
    evidence: Evidence,
    rows: Mapping[str, int],
    overlay: Path,
) -> dict[str, Any]:
    """Report of a demonstration whose every claim is true."""
    return {
        "ok": True,
        "study_instance_uid": study_instance_uid,
        "brain_volume_ml": round(evidence.volume_ml, 2),
        "stages": _plain(stages),
        "objects": list(evidence.objects),
        "diagnostic_report_url": evidence.report_url,
        "audit_rows": sum(rows.values()),
        "audit_rows_by_topic": dict(rows),
        "overlay_png": str(overlay),
    }


def failure(progress: Progress, stage: str, reason: str, log: Path) -> dict[str, Any]:
    """Report of a demonstration that did not succeed."""
    return {
        "ok": False,
        "study_instance_uid": progress.study_instance_uid,
        "stages": _plain(progress.stages),
        "missing_stage": stage,
        "reason": reason,
        "log": str(log),
    }


def _plain(stages: Sequence[Reached]) -> list[dict[str, Any]]:
    return [{"name": stage.name, "ms": stage.ms} for stage in stages]


def write(report: dict[str, Any], out: Path) -> Path:
    """Write ``report.json``."""
    path = out / "report.json"
    path.write_text(json.dumps(report, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return path
