"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

DataDir = Annotated[
    Path,
    typer.Option(
        "--data-dir",
        envvar="SCANSTREAM_DATA_DIR",
        help="Where the local stack keeps its state.",
        show_default=True,
        file_okay=False,
    ),
]

Json = Annotated[bool, typer.Option("--json", help="Pure JSON on standard output, for scripts.")]

DEFAULT_DATA_DIR = Path(".scanstream")
