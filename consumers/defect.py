"""An error that nobody expected → words that may leave the process: its type and its place, never its text.

The text of such an error may quote a value of the patient's header; outcomes, headers and logs carry none.
"""

from __future__ import annotations

import traceback
from pathlib import Path


def described(error: BaseException) -> str:
    """Type of an error and the line that raised it, such as ``ValueError at valuerep.py:183``."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}{place}"
