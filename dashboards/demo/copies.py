"""Evidence → files that a person can open: SEG, SR, DiagnosticReport and a picture."""

from __future__ import annotations

import json
from pathlib import Path

from dashboards.demo.evidence import Evidence
from dashboards.demo.overlay import draw


def save_copies(evidence: Evidence, out: Path) -> dict[str, Path]:
    """Write SEG, SR, DiagnosticReport and the picture to a folder.

    Returns
    -------
    dict
        ``seg``, ``sr``, ``report`` and ``overlay``: the files.
    """
    copies = {
        "seg": out / "seg.dcm",
        "sr": out / "sr.dcm",
        "report": out / "diagnostic-report.json",
        "overlay": out / "overlay.png",
    }
    evidence.seg.save_as(copies["seg"])
    evidence.sr.save_as(copies["sr"])
    copies["report"].write_text(json.dumps(evidence.report, ensure_ascii=False, indent=2), encoding="utf-8")
    title = f"Brain {evidence.volume_ml:.0f} mL"
    model = evidence.result.model
    caption = (
        f"{model.name} {model.version}, preliminary. Proton density series, model made for T1: research use only."
    )
    draw(evidence.images, evidence.mask, title, caption).save(copies["overlay"])
    return copies
