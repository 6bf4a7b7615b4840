"""What the code offers → the tables of docs/dicom-conformance.md; the prose between them is written by hand.

Run with ``python -m producers.conformance`` (``make contract``). Each table stands between two marks that name it.
Guarantee: of a SOP class, an attribute, a status or a setting the document says what the code says.
"""

from __future__ import annotations

import re
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NoReturn, cast

from starlette.applications import Starlette
from starlette.routing import Route

from producers import conformance_tables as tables
from producers.dicomweb.app import ROOT, create_app
from producers.dimse.entity import services, workflow_services
from producers.dimse.peer_book import PeerBook
from producers.dimse.service import Registry
from producers.store.store import InstanceStore
from producers.telemetry import Telemetry
from schemas.settings import GatewaySettings

FILE: Final = Path(__file__).parent.parent / "docs" / "dicom-conformance.md"

_TABLE: Final = re.compile(r"<!-- table (?P<name>[a-z-]+): begin -->\n.*?<!-- table (?P=name): end -->", re.DOTALL)


def document(text: str) -> str:
    """The document with all its tables made anew.

    Raises
    ------
    ValueError
        A table is missing in the document, or a mark names none.
    """
    made = _tables()
    marked = _TABLE.findall(text)
    if sorted(marked) != sorted(made):
        wrong = ", ".join(sorted(set(marked) ^ set(made))) or "one is there twice"
        raise ValueError(f"the marks of {FILE.name} and the tables differ: {wrong}")

    def table(match: re.Match[str]) -> str:
        name = match["name"]
        return f"<!-- table {name}: begin -->\n{made[name]}<!-- table {name}: end -->"

    return _TABLE.sub(table, text)


def _tables() -> Mapping[str, str]:
    """Markdown by the name of the table."""
    registry, routes = offered(GatewaySettings.model_construct())
    made: dict[str, Callable[[], str]] = {
        "services": lambda: tables.services(registry),
        "storage-classes": tables.storage_classes,
        "transfer-syntaxes": tables.transfer_syntaxes,
        "settings": tables.settings,
        "peers": tables.peers,
        "attributes": tables.attributes,
        "store-statuses": tables.store_statuses,
        "find-statuses": tables.find_statuses,
        "retrieve-statuses": tables.retrieve_statuses,
        "worklist-keys": tables.worklist_keys,
        "dicomweb": lambda: tables.dicomweb(routes),
        "frames": tables.frames,
    }
    return {name: make() for name, make in made.items()}


def offered(settings: GatewaySettings) -> tuple[Registry, list[tuple[str, str]]]:
    """DIMSE services, and DICOMweb resources as method and path, of a gateway over an empty store."""
    with tempfile.TemporaryDirectory() as directory:
        store = InstanceStore.open(Path(directory), lambda *_: (), Telemetry())
        peers = PeerBook(None)
        workflow = workflow_services(settings, store, _no_hint, lambda: None, peers)
        try:
            registry = services(settings, store, lambda *_: (), peers, workflow)
            routes = cast(Starlette, create_app(store, settings, Telemetry())).routes
        finally:
            workflow.close()
            store.close()
    found = [
        (method, route.path)
        for route in routes
        if isinstance(route, Route) and route.path.startswith(ROOT)
        for method in sorted((route.methods or set()) - {"HEAD"})
    ]
    return registry, found


def _no_hint(*_: object) -> NoReturn:
    raise AssertionError("nothing arrives here")


def main() -> int:
    """Write the document anew."""
    FILE.write_text(document(FILE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
