"""What was found and checked → tables for people. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from dashboards.demo.expected import LARGEST_ML, SMALLEST_ML
from dashboards.demo.stages import SPECS, Reached
from dashboards.terminal.study_table import milliseconds

if TYPE_CHECKING:
    from dashboards.demo.audit import Audit
    from dashboards.demo.evidence import Evidence

_ABOUT = {spec.name: spec.about for spec in SPECS}


def stage_table(stages: Sequence[Reached]) -> Table:
    """Stages with the time since the first image and the time since the stage before."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column("stage", no_wrap=True)
    table.add_column("since start", justify="right", no_wrap=True)
    table.add_column("step", justify="right", no_wrap=True)
    table.add_column("", style="dim")
    before = 0.0
    for stage in stages:
        step = stage.ms - before
        # writers work side by side: what ended before the line above has no step of its own
        table.add_row(
            Text(stage.name, style="green"),
            milliseconds(stage.ms),
            milliseconds(step) if step >= 0 else "",
            _ABOUT[stage.name],
        )
        before = max(before, stage.ms)
    return table


def findings(evidence: Evidence) -> RenderableType:
    """What was found, beside what was expected, with what must be said about it."""
    voxels = int(evidence.mask.sum())
    grid = Table(box=None, pad_edge=False, show_header=False)
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    model = evidence.result.model
    grid.add_row("found", Text(f"brain volume {evidence.volume_ml:.1f} mL", style="bold"))
    grid.add_row("expected", f"{SMALLEST_ML:.0f} to {LARGEST_ML:.0f} mL: what this model gives for this series")
    grid.add_row("model", f"{model.name} {model.version} on {model.engine}")
    grid.add_row("agree", f"event, SR, FHIR Observation and {voxels:,} voxels: the same volume")
    grid.add_row("", "SEG and the mask that the worker kept: equal voxel by voxel")
    grid.add_row("note", Text("the model was made for T1; this series is proton density", style="yellow"))
    for warning in evidence.result.warnings:
        grid.add_row("", Text(warning, style="yellow"))
    return grid


def places(evidence: Evidence, copies: dict[str, Path]) -> Text:
    """Where the copy of each result is, and where the result is."""
    urls = {item["sop_instance_uid"]: item["url"] for item in evidence.objects}
    text = Text()
    for name, copy, url in (
        ("SEG", copies["seg"], urls[str(evidence.seg.SOPInstanceUID)]),
        ("SR", copies["sr"], urls[str(evidence.sr.SOPInstanceUID)]),
        ("DiagnosticReport", copies["report"], evidence.report_url),
        ("picture", copies["overlay"], ""),
    ):
        text.append(f"{name:<18}", style="dim").append(f"{copy}\n")
        if url:
            text.append(f"{'':<18}{url}\n")
    text.rstrip()
    return text


def audit_table(audit: Audit) -> Table:
    """The study's events per topic, on Kafka and in ClickHouse."""
    table = Table(box=None, pad_edge=False, header_style="dim", show_footer=True, footer_style="dim")
    table.add_column("topic", "together", no_wrap=True)
    table.add_column("on Kafka", str(sum(audit.on_kafka.values())), justify="right")
    table.add_column("in ClickHouse", str(sum(audit.in_clickhouse.values())), justify="right")
    for topic, number in audit.on_kafka.items():
        table.add_row(topic, str(number), str(audit.in_clickhouse[topic]))
    return table
