"""Receivers of C-STORE on 127.0.0.1, each as a site would start it, each with a directory of its own.

A receiver that is not installed is no receiver: it yields the reason, and the benchmark says "not run".
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from tests.services import program, wait_for
from tests.tools import free_port

DICOM_RS: Final = "dicom-storescp@0.10.1"


class NotInstalled(Exception):
    """Why a receiver cannot be run here."""


@dataclass
class Receiver:
    """A running receiver.

    Attributes
    ----------
    name
        For the table.
    port
        On 127.0.0.1.
    pid
        Of its main process.
    files
        Directory of what it stored; may be emptied between two runs if it is no part of an index.
    indexes, durable
        Whether it keeps an index, and whether it fsyncs before success.
    """

    name: str
    port: int
    pid: int
    files: Path
    called: str = "SCANSTREAM"
    indexes: bool = False
    durable: bool = False

    def processes(self) -> list[psutil.Process]:
        """It and its children."""
        root = psutil.Process(self.pid)
        return [root, *root.children(recursive=True)]

    def cpu_s(self) -> float:
        """Processor time that it has used so far, in seconds."""
        return float(sum(sum(process.cpu_times()[:2]) for process in self.processes()))

    def memory_mb(self) -> float:
        """Resident memory, in MB."""
        return float(sum(process.memory_info().rss for process in self.processes()) / 1e6)

    def empty(self) -> None:
        """Remove the files that it stored."""
        for entry in list(self.files.iterdir()):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()


@contextmanager
def gateway(folder: Path, kafka: str, **settings: str) -> Iterator[Receiver]:
    """``python -m producers.gateway`` with its defaults, events on the given Kafka."""
    folder.mkdir(parents=True)
    environment = {
        "SCANSTREAM_DATA_DIR": str(folder),
        "SCANSTREAM_NODE": folder.name,
        "KAFKA_BOOTSTRAP_SERVERS": kafka,
        "SCANSTREAM_GATEWAY_DIMSE_PORT": str(free_port()),
        "SCANSTREAM_GATEWAY_HTTP_PORT": "0",
        **settings,
    }
    log = folder / "gateway.log"
    port = int(environment["SCANSTREAM_GATEWAY_DIMSE_PORT"])
    with program([sys.executable, "-m", "producers.gateway"], environment=environment, log=log) as child:
        _wait(child, port, log)
        files = folder / "gateway" / "instances"
        yield Receiver("scanstream", port, child.pid, files, indexes=True, durable=True)


@contextmanager
def null_acceptor(folder: Path) -> Iterator[Receiver]:
    """Counts and forgets: the ceiling."""
    with _printing_its_port([sys.executable, "-m", "benchmarks.null_acceptor"], folder) as (pid, port):
        yield Receiver("bare asyncio acceptor", port, pid, folder)


@contextmanager
def pynetdicom(folder: Path, *, index: bool = False) -> Iterator[Receiver]:
    """Stock pynetdicom, with or without an index."""
    files = folder / "files"
    files.mkdir(parents=True)
    command = [sys.executable, "-m", "benchmarks.pynetdicom_scp", str(files), *(["--index"] if index else [])]
    name = "pynetdicom, SQLite index" if index else "pynetdicom, files only"
    with _printing_its_port(command, folder) as (pid, port):
        yield Receiver(name, port, pid, files, "PYNETDICOM", indexes=index)


@contextmanager
def dcmtk(folder: Path) -> Iterator[Receiver]:
    """``storescp --fork``: a process for each association."""
    port = free_port()
    files = folder / "files"
    files.mkdir(parents=True)
    command = [_program("storescp", "Debian: dcmtk"), "--fork", "--output-directory", str(files), str(port)]
    log = folder / "storescp.log"
    with program(command, environment={}, log=log) as child:
        _wait(child, port, log)
        yield Receiver("DCMTK storescp --fork", port, child.pid, files)


@contextmanager
def dicom_rs(folder: Path) -> Iterator[Receiver]:
    """``dicom-storescp -n -m 131072``, built once by cargo into the user's cache."""
    home = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "scanstream" / "peer-dicom-rs"
    binary = home / "bin" / "dicom-storescp"
    if not binary.exists():
        cargo = _program("cargo", "rustup.rs", Path.home() / ".cargo" / "bin")
        subprocess.run([cargo, "install", "--quiet", "--locked", "--root", home, DICOM_RS], check=True)
    port = free_port()
    files = folder / "files"
    files.mkdir(parents=True)
    command = [str(binary), "-n", "-m", "131072", "-p", str(port), "-o", str(files)]
    log = folder / "dicom-rs.log"
    with program(command, environment={}, log=log) as child:
        _wait(child, port, log)
        yield Receiver("dicom-rs storescp", port, child.pid, files)


@contextmanager
def orthanc(folder: Path) -> Iterator[Receiver]:
    """Orthanc with its default configuration; only directories, ports and the HTTP server's reach are set."""
    path = _program("Orthanc", "Debian: orthanc")
    port = free_port()
    folder.mkdir(parents=True)
    storage = folder / "storage"
    configuration = folder / "orthanc.json"
    configuration.write_text(
        json.dumps(
            {
                "StorageDirectory": str(storage),
                "IndexDirectory": str(storage),
                "DicomPort": port,
                "HttpPort": free_port(),
                "RemoteAccessAllowed": False,
            }
        ),
        encoding="utf-8",
    )
    log = folder / "orthanc.log"
    with program([path, str(configuration)], environment={}, log=log) as child:
        _wait(child, port, log)
        yield Receiver("Orthanc", port, child.pid, storage, "ORTHANC", indexes=True)


@contextmanager
def _printing_its_port(command: list[str], folder: Path) -> Iterator[tuple[int, int]]:
    folder.mkdir(parents=True, exist_ok=True)
    log = folder / "output.log"
    with program(command, environment={}, log=log) as child:
        wait_for(lambda: log.read_text().endswith("\n") or child.poll() is not None, command[2])
        yield child.pid, int(log.read_text().split()[-1])


def _wait(child: subprocess.Popen[bytes], port: int, log: Path) -> None:
    def listening() -> bool:
        if child.poll() is not None:
            raise RuntimeError(f"the receiver ended: {log.read_text(errors='replace')[-500:]}")
        return any(
            connection.status == psutil.CONN_LISTEN and connection.laddr.port == port
            for connection in psutil.net_connections("tcp")
        )

    wait_for(listening, f"a receiver on port {port}")
    time.sleep(0.2)


def _program(name: str, source: str, *folders: Path) -> str:
    search = os.pathsep.join([os.environ.get("PATH", ""), *map(str, folders)])
    path = shutil.which(name, path=search)
    if path is None:
        raise NotInstalled(f"{name} is not installed ({source})")
    return path
