"""Programs of other people that judge our objects, and what they said."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pydicom
from pydicom import Dataset

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

_OF_A_GROUP = re.compile(r"Error: Template (\d+) .*?: within (\d+(?:\.\d+)*): ")


def dciodvfy(paths: Iterable[Path]) -> dict[str, list[str]]:
    """File name → what dciodvfy says of the object."""
    program = need("dciodvfy")
    with ThreadPoolExecutor(2) as pool:
        said = pool.map(lambda path: (path.name, _said([program, "-new", str(path)])), paths)
        return dict(said)


def dcentvfy(paths: Iterable[Path]) -> list[str]:
    """What dcentvfy says of objects together."""
    return _said([need("dcentvfy"), *map(str, paths)])


def dsrdump(paths: Iterable[Path]) -> str:
    """Reports as DCMTK reads them, with every code and whole texts; fails where it cannot read one."""
    judged = subprocess.run(
        [need("dsrdump"), "+Pc", "+Pl", *map(str, paths)], capture_output=True, encoding="utf-8", check=True
    )
    return judged.stdout


def pixelmed(paths: Sequence[Path]) -> dict[Path, list[str]]:
    """Report → what PixelMed's validator of reports says of it (2 s, and 1 s for each)."""
    need("javac")
    jars = [str(need_file("/usr/share/java/pixelmed.jar", "libpixelmed-java"))]
    jars += [f"/usr/share/java/{jar}.jar" for jar in _JARS]
    # The validator is one large style sheet: newer Java runtimes limit the size of XPath expressions.
    no_limits = [f"-Djdk.xml.{name}=0" for name in ("xpathExprGrpLimit", "xpathExprOpLimit", "xpathTotalOpLimit")]
    program = [need("java"), *no_limits, "-cp", ":".join(jars), str(Path(__file__).with_name("Judge.java"))]
    with ThreadPoolExecutor(2) as pool:
        halves = [half for half in (paths[::2], paths[1::2]) if half]
        said = pool.map(lambda half: _said([*program, *map(str, half)]), halves)
    by_report: dict[Path, list[str]] = {}
    for line in (line for half in said for line in half):
        if line.startswith("Report "):
            lines = by_report[Path(line.removeprefix("Report "))] = []
        elif by_report:
            lines.append(line)
    return by_report


def errors(said: Iterable[str]) -> list[str]:
    """Lines that tell of an error."""
    return [line for line in said if line.startswith("Error")]


def errors_of_own_template(said: Iterable[str], report: Path) -> list[str]:
    """Errors of PixelMed, except those about a measurement group by a template that is not the group's.

    The validator looks at all groups of a report together to choose the template of ROI groups, and then tries it
    on each of them; a report may hold groups of several (TID 1500). And its TID 1410 is older than the regions in
    the patient (SCOORD3D) there.
    """
    document = pydicom.dcmread(report)
    return [line for line in errors(said) if not _is_about_another_template(line, document)]


def _is_about_another_template(line: str, document: Dataset) -> bool:
    found = _OF_A_GROUP.match(line)
    if found is None:
        return False
    item = document
    for place in found[2].split(".")[1:]:
        item = item.ContentSequence[int(place) - 1]
    if any(child.ValueType == "SCOORD3D" for child in item.ContentSequence):
        return True
    named = item.get("ContentTemplateSequence")
    return bool(named) and named[0].TemplateIdentifier != found[1]


def _said(command: list[str]) -> list[str]:
    judged = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", check=False)
    return (judged.stdout + judged.stderr).splitlines()
