"""``python -m producers.poller NAME``: one process pulls from one source.

On a stop it ends at once, in the middle of a transfer too: the next start counts what the gateway has.
"""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from functools import partial

import uvloop

from producers.poller.connect import archive_of, directory_of, gateway_of
from producers.poller.ledger import Ledger
from producers.poller.observed import Observed
from producers.poller.poller import Poller, Sides
from producers.poller.sources_file import AnySource, choose, load
from producers.process import Process, refuse, run
from producers.tolerance import read_without_validation
from schemas.logs import fields
from schemas.settings import PollerSettings

log = logging.getLogger(__name__)


def body(process: Process, name: str, gateway_url: str | None = None) -> None:
    """Poll the source of that name until ``process.stop`` is set."""
    settings = PollerSettings()
    source = choose(load(settings.sources_file), name)
    read_without_validation()
    with (
        Ledger(directory_of(process.settings.data_dir, name)) as ledger,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(_poll(process, name, source, ledger, settings, gateway_url))


async def _poll(
    process: Process,
    name: str,
    source: AnySource,
    ledger: Ledger,
    settings: PollerSettings,
    gateway_url: str | None,
) -> None:
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, process.stop.set)
    archive, gateway = archive_of(source), gateway_of(settings, gateway_url)
    poller = Poller(Sides(source, archive, gateway, ledger), Observed(process.telemetry, name))
    standing = ledger.standing()
    log.info(
        "polling",
        extra=fields(source=name, kind=source.kind, pending=standing.pending, aside=len(standing.aside)),
    )
    process.ready()
    polling = asyncio.create_task(poller.run())
    stopping = asyncio.create_task(asyncio.to_thread(process.stop.wait))
    try:
        await asyncio.wait([polling, stopping], return_when=asyncio.FIRST_COMPLETED)
        if polling.done():
            polling.result()
    finally:
        process.stop.set()
        polling.cancel()
        await asyncio.gather(polling, return_exceptions=True)
        await archive.aclose()
        await gateway.aclose()


def main(arguments: Sequence[str] | None = None, gateway_url: str | None = None) -> int:
    """Entry point of ``scanstream poller NAME``.

    Parameters
    ----------
    arguments
        Command line without the program; default ``sys.argv[1:]``.
    gateway_url
        DICOMweb root of the gateway if the settings name none.

    Returns
    -------
    int
        Exit code of :func:`producers.process.run`; 78 without the name of one source.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    if len(given) != 1:
        return refuse("poller", "name one source of the file at SCANSTREAM_POLLER_SOURCES_FILE")
    return run(f"poller-{given[0]}", partial(body, name=given[0], gateway_url=gateway_url))
