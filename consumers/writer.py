"""``python -m consumers.writer NAME``: one writer, one destination, one consumer group.

The libraries of a destination are imported only by its own writer, before it says that it is ready.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Final, Protocol, cast

from pydantic import ValidationError

from producers.process import Process, refuse, run, sentence_of
from schemas.destinations import WriterSettings
from schemas.topics import writer_group

if TYPE_CHECKING:  # its module loads httpx, and a writer without it need not
    from consumers.destination import Destination


class _BuildsDestination(Protocol):
    @staticmethod
    def build(process: Process) -> Destination:
        """Destination from the settings of the environment."""
        ...


class _HasBody(Protocol):
    @staticmethod
    def body(process: Process) -> None:
        """The whole writer."""
        ...


#: Writers on the delivery runtime: module with ``build(process)``.
DESTINATIONS: Final[dict[str, str]] = {
    "stow": "consumers.stow.destination",
    "fhir": "consumers.fhir.destination",
    "oru": "consumers.oru.destination",
    "callback": "consumers.callback.destination",
}

#: Writers with a loop of their own: module with ``body(process)``.
OTHERS: Final[dict[str, str]] = {
    "audit": "consumers.audit.writer",
    "escalation": "consumers.escalation.writer",
}


def _run(kind: str, settings: WriterSettings, process: Process) -> None:
    if kind in OTHERS:
        cast(_HasBody, import_module(OTHERS[kind])).body(process)
        return
    from consumers.delivery.service import limits_of, serve

    destination = cast(_BuildsDestination, import_module(DESTINATIONS[kind])).build(process)
    name = settings.name or destination.name
    serve(process, writer_group(settings.name or kind), destination, limits_of(settings, destination), name)


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
    known = {*DESTINATIONS, *OTHERS}
    if len(given) != 1 or given[0] not in known:
        asked = " ".join(given) or "nothing"
        return refuse("writer", f"there is no writer for {asked}: name one of {', '.join(sorted(known))}")
    kind = given[0]
    try:
        settings = WriterSettings()
    except ValidationError as error:
        return refuse(f"writer-{kind}", sentence_of(error))
    if settings.name in known - {kind}:
        return refuse(
            f"writer-{kind}",
            f"SCANSTREAM_WRITER_NAME is {settings.name}, the name of another writer: choose one of your own",
        )
    # a second destination of a kind is another place of work: its members and transactions have its own name
    place = kind if settings.name is None or kind in OTHERS else settings.name
    return run(f"writer-{place}", lambda process: _run(kind, settings, process))


if __name__ == "__main__":
    sys.exit(main())
