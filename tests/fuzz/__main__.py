"""``python -m tests.fuzz TARGET SECONDS``: look for bytes that break a target's promise, with atheris.

New inputs go to ``build/fuzz/TARGET``; one that breaks a promise is ``build/fuzz/TARGET/crash-…``: mend the reader
and put that file into ``tests/fuzz/corpus/TARGET``. Without arguments it names the targets.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["producers", "consumers.oru", "pynetdicom.pdu", "pynetdicom.pdu_items"]):
    from producers.dimse.silence import silence
    from tests.fuzz.targets import CORPUS, TARGETS

_MAX_BYTES = 64 * 1024
_MEMORY_MB = 1024
_ONE_INPUT_S = 10


def main() -> None:
    """Fuzz one target for some time; ends the process, with an error when a promise was broken."""
    if len(sys.argv) != 3:
        print("\n".join(TARGETS))
        return
    name, seconds = sys.argv[1:]
    silence()
    logging.disable(logging.WARNING)
    found = Path("build/fuzz") / name
    found.mkdir(parents=True, exist_ok=True)
    options = [
        f"-max_total_time={seconds}",
        f"-timeout={_ONE_INPUT_S}",
        f"-rss_limit_mb={_MEMORY_MB}",
        f"-max_len={_MAX_BYTES}",
        f"-artifact_prefix={found}/",
        "-print_final_stats=1",
    ]
    atheris.Setup([sys.argv[0], *options, str(found), str(CORPUS / name)], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
