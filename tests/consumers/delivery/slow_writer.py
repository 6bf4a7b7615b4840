"""A writer process that notes each delivery in a file, so that a test can kill it between delivery and commit.

Run as ``python -m tests.consumers.delivery.slow_writer GROUP NAME FILE HANG``.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from consumers.delivery.service import serve
from producers.process import Process, run
from schemas.events import InferenceResult, ObjectOutcome
from tests.consumers.delivery.bench import QUICK, STORED


class Noting:
    """Writes a line for each delivery; with ``hang`` it never returns afterwards."""

    wants_failures = False

    def __init__(self, name: str, file: Path, *, hang: bool) -> None:
        self.name = name
        self._file = file
        self._hang = hang

    def deliver(self, result: InferenceResult) -> tuple[ObjectOutcome, ...]:
        with self._file.open("a", encoding="utf-8") as notes:
            notes.write(f"{result.study_instance_uid}\n")
        while self._hang:
            time.sleep(0.1)
        return STORED

    def probe(self) -> None:
        """Always there."""


def main() -> int:
    group, name, file, hang = sys.argv[1:]

    def body(process: Process) -> None:
        serve(process, group, Noting(name, Path(file), hang=hang == "hang"), QUICK)

    return run(f"writer-{name}", body)


if __name__ == "__main__":
    sys.exit(main())
