"""``python -m tests.engines.models.validation_set FOLDER``: the validation set of ``ct-hyperdensity``.

Two heads as DICOM series, one with a lesion and one with calcium only. What is expected of the first one's volume
is the truth of the phantom, with a tolerance in which the model must lie; the normal one must stay without.
"""

from __future__ import annotations

import json
import sys
import zipfile
from pathlib import Path
from typing import Any, Final

from tests.engines.models.phantoms import Head, Lesion, Phantom, phantom, series
from tests.studies import encoded

#: Small on disk: coarse pixels and little noise.
COARSE: Final[dict[str, Any]] = {"rows": 96, "pixel_mm": 2.4, "noise_hu": 1.5}
CALCIUM: Final = (Lesion((0.0, 18.0, 4.0), (3.0, 3.0, 3.0), 300), Lesion((16.0, 24.0, 8.0), (3.0, 3.0, 4.0), 220))
LESION: Final = Head(1, (Lesion((-36.0, 0.0, 25.0), (14.0, 16.0, 14.0), 68),), CALCIUM, **COARSE)
NORMAL: Final = Head(2, (), CALCIUM, **COARSE)
TOLERANCE: Final = 0.1


def write(folder: Path) -> None:
    """Write both cases."""
    lesion = phantom(LESION)
    expected = {
        "finding_type": "hyperdensity",
        "category": "critical",
        "measurements": [
            {
                "code": "118565006",
                "value": round(lesion.volume_ml, 1),
                "tolerance": round(lesion.volume_ml * TOLERANCE, 1),
            }
        ],
    }
    about = f"Phantom with {lesion.volume_ml:.1f} mL of 68 HU in the brain, and calcium"
    _case(folder / "lesion", "lesion", lesion, about, [expected])
    _case(folder / "normal", "normal", phantom(NORMAL), "Phantom with calcium, without a lesion", [])


def _case(folder: Path, name: str, made: Phantom, about: str, findings: list[dict[str, Any]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(folder / "series.zip", "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for number, image in enumerate(series(made, f"validation-{name}")):
            archive.writestr(_member(f"{number:03d}.dcm"), encoded(image))
    case = {"about": about, "dicom": "series.zip", "expected_findings": findings}
    (folder / "case.json").write_text(json.dumps(case, indent=2) + "\n")


def _member(name: str) -> zipfile.ZipInfo:
    """With a date of its own: the same series is the same file."""
    member = zipfile.ZipInfo(name, (2026, 1, 1, 0, 0, 0))
    member.compress_type = zipfile.ZIP_DEFLATED
    return member


if __name__ == "__main__":
    write(Path(sys.argv[1]))
