"""Objects that we make, judged by two validators of other people."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.consumers.dicom.test_render import objects
from tests.consumers.results import headers, result_with_findings, result_without_findings
from tests.tools import need, need_file

#: What PixelMed's jar needs of the other Debian packages.
_JARS = (
    "commons-codec",
    "commons-net",
    "hsqldb",
    "jaxb-api",
    "javax.json",
    "jmdns",
    "slf4j-api",
    "slf4j-nop",
    "vecmath",
)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    made = {
        "seg": objects(result_with_findings())[0],
        "sr": objects(result_with_findings())[1],
        "nothing-found": objects(result_without_findings(), masks=[])[0],
    }
    paths = {}
    for name, item in made.items():
        paths[name] = tmp_path / f"{name}.dcm"
        paths[name].write_bytes(item.data)
    return paths


@pytest.mark.dicom3tools
@pytest.mark.parametrize("name", ["seg", "sr", "nothing-found"])
def test_dciodvfy_finds_no_error(files: dict[str, Path], name: str) -> None:
    judged = subprocess.run(
        [need("dciodvfy"), "-new", str(files[name])], capture_output=True, text=True, check=False
    )
    said = (judged.stdout + judged.stderr).splitlines()
    assert not [line for line in said if line.startswith("Error")]
    # Device UID (0018,1002) came into the sequence after this release of the tool (CP-2102).
    # Private coding schemes are unknown to it.
    known = ("DeviceUID", "99SCANSTREAM")
    assert not [line for line in said if line.startswith("Warning") and not any(word in line for word in known)]


@pytest.mark.dicom3tools
def test_dcentvfy_finds_one_patient_and_study_in_sources_and_results(files: dict[str, Path]) -> None:
    sources = [str(path) for path in sorted(Path(headers()[0].filename).parent.glob("*.dcm"))]
    judged = subprocess.run(
        [need("dcentvfy"), *sources, str(files["seg"]), str(files["sr"])],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Error" not in judged.stdout + judged.stderr


@pytest.mark.pixelmed
@pytest.mark.parametrize("name", ["sr", "nothing-found"])
def test_pixelmed_finds_no_error(files: dict[str, Path], name: str) -> None:
    java = need("java")
    jars = [str(need_file("/usr/share/java/pixelmed.jar", "libpixelmed-java"))]
    jars += [f"/usr/share/java/{jar}.jar" for jar in _JARS]
    # The validator is one large style sheet: newer Java runtimes limit the size of XPath expressions.
    no_limits = [f"-Djdk.xml.{name}=0" for name in ("xpathExprGrpLimit", "xpathExprOpLimit", "xpathTotalOpLimit")]
    judged = subprocess.run(
        [java, *no_limits, "-cp", ":".join(jars), "com.pixelmed.validate.DicomSRValidator", str(files[name])],
        capture_output=True,
        text=True,
        check=False,
    )
    said = judged.stdout + judged.stderr
    assert "Found Comprehensive3DSR IOD" in said
    assert "Found Root Template TID_1500" in said
    assert "IOD validation complete" in said
    assert not [line for line in said.splitlines() if line.startswith("Error")]
