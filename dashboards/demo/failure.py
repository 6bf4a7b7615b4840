"""Why the demonstration did not succeed: which stage is missing and which log to read."""

from __future__ import annotations

from schemas.errors import ScanstreamError


class DemoFailed(ScanstreamError):
    """A claim of the demonstration is not true.

    Parameters
    ----------
    stage
        Stage that is missing.
    reason
        What is wrong, one sentence.
    process
        Process whose log says more.
    """

    def __init__(self, stage: str, reason: str, process: str) -> None:
        super().__init__(reason)
        self.stage = stage
        self.process = process
