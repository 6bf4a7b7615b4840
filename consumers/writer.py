"""``python -m consumers.writer NAME``: one writer, one destination, one consumer group.

The libraries of a destination are imported only by its own writer, before it says that it is ready.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Final

from producers.process import Process, refuse, run
from schemas.topics import WRITER_GROUPS


def _stow(process: Process) -> None:
    from consumers.delivery.service import serve
    from consumers.stow.destination import build

    serve(process, WRITER_GROUPS["stow"], build(process))


def _fhir(process: Process) -> None:
    from consumers.delivery.service import serve
    from consumers.fhir.destination import build

    serve(process, WRITER_GROUPS["fhir"], build(process))


def _audit(process: Process) -> None:
    from consumers.audit.writer import body

    body(process)


BODIES: Final[dict[str, Callable[[Process], None]]] = {"stow": _stow, "fhir": _fhir, "audit": _audit}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the writer that the first argument names.

    Parameters
    ----------
    arguments
        Command line without the program; default ``sys.argv[1:]``.

    Returns
    -------
    int
        Exit code of :func:`producers.process.run`; 78 for an unknown name.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if len(given) != 1 or given[0] not in BODIES:
        asked = " ".join(given) or "nothing"
        return refuse("writer", f"there is no writer for {asked}: name one of {', '.join(sorted(BODIES))}")
    return run(f"writer-{given[0]}", BODIES[given[0]])


if __name__ == "__main__":
    sys.exit(main())
