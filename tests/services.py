"""Real services for tests, on free ports of 127.0.0.1: started as processes, waited for, stopped by process id."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from tests.tools import free_port


def wait_for(condition: Callable[[], bool], what: str, timeout_s: float = 120.0) -> None:
    """Wait for a condition, generously: a slow machine is no failure."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"waited {timeout_s:.0f} s for {what}"
        time.sleep(0.05)


@contextmanager
def module(
    name: str, *arguments: str, environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """``python -m name`` until the block ends."""
    with program([sys.executable, "-m", name, *arguments], environment=environment, log=log) as child:
        yield child


@contextmanager
def program(
    command: Sequence[str], *, environment: Mapping[str, str], log: Path
) -> Iterator[subprocess.Popen[bytes]]:
    """A program in its own session until the block ends."""
    with log.open("wb") as output:
        child = subprocess.Popen(
            command,
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield child
        except BaseException:
            # why it failed stands there more often than not
            print(f"the last of {log}:\n{log.read_text(errors='replace')[-4_000:]}")
            raise
        finally:
            stop(child)


def stop(child: subprocess.Popen[bytes], timeout_s: float = 60.0) -> int:
    """End one process that we started, and return its exit code."""
    if child.poll() is None:
        child.send_signal(signal.SIGTERM)
    try:
        return child.wait(timeout_s)
    except subprocess.TimeoutExpired:
        child.kill()
        return child.wait()


@contextmanager
def kafka_broker(directory: Path, port: int | None = None) -> Iterator[str]:
    """Our own local broker, empty or with what the directory holds; yields its bootstrap servers."""
    from dashboards.local.broker import answers

    port = port or free_port()
    environment = {
        "SCANSTREAM_DATA_DIR": str(directory),
        "SCANSTREAM_BROKER_PORT": str(port),
        "SCANSTREAM_BROKER_CONTROLLER_PORT": str(free_port()),
    }
    log = directory / "broker.log"
    with module("dashboards.local.broker", environment=environment, log=log) as child:

        def up() -> bool:
            assert child.poll() is None, f"the broker ended: {log.read_text()}"
            return answers(port)

        wait_for(up, f"the broker on port {port}", timeout_s=300.0)
        yield f"127.0.0.1:{port}"


@contextmanager
def apicurio_registry(directory: Path) -> Iterator[str]:
    """A real Apicurio Registry with storage in memory; yields the URL of its Confluent API."""
    import httpx

    from dashboards.local import jars
    from dashboards.local.java import runtime

    java = runtime()
    cache = jars.cache_directory()
    (archive,) = jars.ensure(jars.locked("apicurio"), cache, java)
    home = cache / archive.name.removesuffix(".tar.gz")
    if not home.is_dir():
        with tempfile.TemporaryDirectory(dir=cache) as temporary, tarfile.open(archive) as content:
            # filters came with Python 3.11.4; the digest of this archive is locked in any case
            safely = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
            content.extractall(f"{temporary}/whole", **safely)
            Path(temporary, "whole").replace(home)
    port = free_port()
    command = [str(java.executable), "-Xmx512m", "-XX:TieredStopAtLevel=1", "-jar", str(home / "quarkus-run.jar")]
    environment = {
        "QUARKUS_HTTP_HOST": "127.0.0.1",
        "QUARKUS_HTTP_PORT": str(port),
        # else port 9000 of all addresses, for which two runs on one machine would fight
        "QUARKUS_MANAGEMENT_HOST": "127.0.0.1",
        "QUARKUS_MANAGEMENT_PORT": str(free_port()),
    }
    url = f"http://127.0.0.1:{port}/apis/ccompat/v7"
    log = directory / "apicurio.log"
    with program(command, environment=environment, log=log) as child:

        def up() -> bool:
            assert child.poll() is None, f"the registry ended: {log.read_text()}"
            try:
                return httpx.get(f"{url}/subjects", timeout=5.0).is_success
            except httpx.TransportError:
                return False

        wait_for(up, f"the registry on port {port}", timeout_s=300.0)
        yield url
