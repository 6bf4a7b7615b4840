"""Process commands: each runs one process of the system in the foreground, until it is told to stop."""

from __future__ import annotations

from typing import Annotated

import typer


def broker() -> None:
    """Apache Kafka, one node on this machine."""
    from dashboards.local.broker import main

    raise typer.Exit(main())


def gateway() -> None:
    """DICOM in: C-STORE and DICOMweb, durable store, outbox to Kafka."""
    from producers.gateway import main

    raise typer.Exit(main())


def hl7() -> None:
    """HL7 v2 in over MLLP: orders and admissions to the clinical context."""
    from producers.hl7.listener.process import main

    raise typer.Exit(main())


def streams() -> None:
    """Assemble studies, decide priority, create and retry tasks."""
    from streams.processor import main

    raise typer.Exit(main())


def findings() -> None:
    """Findings of every result to the topic of their type."""
    from streams.findings.service import main

    raise typer.Exit(main())


def worker() -> None:
    """Run models on studies."""
    from streams.worker.worker import main

    raise typer.Exit(main())


def writer(
    name: Annotated[
        str, typer.Argument(metavar="NAME", help="Destination: stow, fhir, oru, callback, escalation or audit.")
    ],
) -> None:
    """Carry results to one destination."""
    from consumers.writer import main

    raise typer.Exit(main([name]))


def api() -> None:
    """REST, FHIR and the worklist page."""
    from dashboards.api import main

    raise typer.Exit(main())
