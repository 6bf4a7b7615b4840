"""Two channels: results on standard output, words for people on standard error."""

from __future__ import annotations

import json
import sys
from functools import cache
from typing import Any

from rich.console import Console
from rich.text import Text


@cache
def results() -> Console:
    """Console for tables that a person asked for."""
    return Console()


@cache
def messages() -> Console:
    """Console for progress and remarks; never mixes with results."""
    return Console(stderr=True)


def emit_json(value: Any) -> None:
    """One JSON document on standard output, and nothing else."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")


def complain(sentence: str) -> None:
    """One red sentence on standard error."""
    messages().print(Text(f"scanstream: {sentence}", style="red"), soft_wrap=True)


def remark(sentence: str) -> None:
    """One plain sentence on standard error."""
    messages().print(Text(sentence), soft_wrap=True)
