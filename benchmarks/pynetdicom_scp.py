"""What a site writes with pynetdicom: a storage SCP that writes files, and with ``--index`` finds them again.

Peer of :mod:`benchmarks.ingest`. ``AE.start_server`` with defaults and a handler that writes the bytes as they
came (the faster way of pynetdicom's documentation); with ``--index`` it also reads the header and adds a row per
instance to SQLite, as pynetdicom's own ``qrscp`` does. Nothing is fsynced. Prints its port.
"""

from __future__ import annotations

import argparse
import sqlite3
import sys
import threading
from io import BytesIO
from pathlib import Path
from typing import Any, Final

from pydicom import dcmread
from pynetdicom import AE, AllStoragePresentationContexts, evt
from pynetdicom.sop_class import Verification  # type: ignore[attr-defined] # made at import by pynetdicom

KEYWORDS: Final = (
    *("SOPInstanceUID", "SeriesInstanceUID", "StudyInstanceUID", "SOPClassUID", "PatientID", "PatientName"),
    *("AccessionNumber", "StudyID", "StudyDate", "StudyTime", "Modality", "SeriesNumber", "InstanceNumber"),
)


class Index:
    """One SQLite table, one commit per instance, connections per thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._local = threading.local()
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA journal_mode=WAL")
            columns = ", ".join(KEYWORDS)
            connection.execute(f"CREATE TABLE instances ({columns}, file, PRIMARY KEY (SOPInstanceUID))")

    def add(self, data: bytes, file: Path) -> None:
        """Read the header of an encoded Part 10 file and add its row."""
        header = dcmread(BytesIO(data), stop_before_pixels=True, specific_tags=list(KEYWORDS))
        row = [str(header.get(keyword, "")) for keyword in KEYWORDS]
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = sqlite3.connect(self._path, timeout=60)
            connection.execute("PRAGMA synchronous=NORMAL")
        marks = ", ".join("?" * (len(row) + 1))
        with connection:
            connection.execute(f"INSERT OR REPLACE INTO instances VALUES ({marks})", (*row, str(file)))


def main() -> int:
    """Command line."""
    parser = argparse.ArgumentParser(description="stock pynetdicom storage SCP")
    parser.add_argument("directory", type=Path)
    parser.add_argument("--index", action="store_true", help="also keep a SQLite index")
    options = parser.parse_args()
    index = Index(options.directory.parent / "index.sqlite") if options.index else None

    def store(event: evt.Event) -> int:
        file: Path = options.directory / f"{event.file_meta.MediaStorageSOPInstanceUID}.dcm"
        data: bytes = event.encoded_dataset()
        file.write_bytes(data)
        if index is not None:
            index.add(data, file)
        return 0x0000

    handlers: list[Any] = [(evt.EVT_C_STORE, store)]
    entity = AE("PYNETDICOM")
    entity.supported_contexts = AllStoragePresentationContexts
    entity.add_supported_context(Verification)
    # The only setting: its default of 10 associations would refuse the rest.
    entity.maximum_associations = 100
    server = entity.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
    if server is None:
        return 1
    print(server.server_address[1], flush=True)
    threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
