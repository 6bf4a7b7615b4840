"""All targets by the name of their folder in ``corpus/``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final

from tests.fuzz.associations import association
from tests.fuzz.data_sets import headers, part10
from tests.fuzz.hl7_text import acknowledgement, hl7_message
from tests.fuzz.requests import identifier, notification
from tests.fuzz.upper_layer import associate_request, command_set, messages, pdus
from tests.fuzz.web import media_types, multipart, search

CORPUS: Final = Path(__file__).parent / "corpus"

TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    target.__name__.replace("_", "-"): target
    for target in (
        pdus,
        associate_request,
        messages,
        command_set,
        association,
        headers,
        part10,
        identifier,
        notification,
        multipart,
        media_types,
        search,
        hl7_message,
        acknowledgement,
    )
}
