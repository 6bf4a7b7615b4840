"""The findings process: ``python -m streams.findings``.

::

    inference.results ──▶ Findings ──▶ findings.<type>

Faust runs in the main thread on an event loop of its own, without its worker: signals, logs and metrics are those
of every process.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from aiokafka.errors import KafkaError  # type: ignore[import-untyped] # ships no types

from producers.process import Process, run
from producers.schema_registry import codec_from
from producers.topic_admin import wait_until_ready
from schemas.errors import ScanstreamError
from schemas.logs import fields
from schemas.settings import KafkaSettings, RegistrySettings
from streams.findings.app import Findings
from streams.findings.quiet import quieten

log = logging.getLogger(__name__)

_STOP_CHECK_S: Final = 0.2
#: Pause before the app is built anew after Kafka took it down.
_AGAIN_S: Final = 2.0


def body(process: Process) -> None:
    """Fan out findings until told to stop.

    Raises
    ------
    ScanstreamError
        Too many results in a row could not be understood.
    """
    kafka = KafkaSettings()
    codec = codec_from(RegistrySettings())
    quieten("aiokafka")
    wait_until_ready(kafka, process.stop)
    while not process.stop.is_set():
        reason = asyncio.run(_until_stopped(process, Findings(process, kafka, codec)))
        if isinstance(reason, ScanstreamError):
            raise reason
        if reason is not None:
            log.warning("app ended, starting it anew", extra=fields(reason=f"{type(reason).__name__}: {reason}"))
            process.stop.wait(_AGAIN_S)


async def _until_stopped(process: Process, findings: Findings) -> BaseException | None:
    """Run one app; return why it crashed, ``None`` if it did not."""
    app = findings.app
    try:
        await app.start()
        # signals set an event of threads, which an event loop cannot wait for
        while not process.stop.is_set() and not app.crashed:  # noqa: ASYNC110 # see above
            await asyncio.sleep(_STOP_CHECK_S)
        if not app.crashed:
            await findings.commit()
    except (KafkaError, OSError) as error:
        return error
    finally:
        await app.stop()
    return app.crash_reason if app.crashed else None


def main() -> int:
    """Process ``findings``."""
    return run("findings", body)
