"""The computing process: pipe → scheduler → pipe, with the models of this node.

Guarantee: it ends as soon as its pipe closes, in the middle of a computation too; signals do not end it, because
the parent has to write what is finished first.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Final, NoReturn

from producers.process import EXIT_CONFIGURATION, EXIT_FAILURE
from schemas import logs
from schemas.errors import ConfigurationError, ScanstreamError
from schemas.events import ModelIdentity, VersionState
from schemas.logs import fields
from streams.clock import system_clock
from streams.worker.child.choice import Limits
from streams.worker.child.link import Setup
from streams.worker.child.scheduler import Scheduler
from streams.worker.child.tell import Voice, keep_telling
from streams.worker.protocol import Abandon, Begin, Loaded, Rerank, ToChild

if TYPE_CHECKING:  # loaded after the first sign of life
    from streams.worker.child.work import Models

log = logging.getLogger(__name__)

#: Seconds between two looks at the model repository.
RELOAD_S: Final = 5.0


def main(arguments: Sequence[str]) -> int:
    """Work until the pipe closes; 78 when no model can serve."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    inbound = Connection(int(arguments[0]), writable=False)
    voice = Voice(Connection(int(arguments[1]), readable=False), end)
    try:
        setup = inbound.recv()
    except EOFError:
        return 0
    logs.configure("worker", setup.log_level)
    incoming = Incoming(inbound)
    try:
        _work(setup, voice, incoming)
    except ConfigurationError as error:
        sys.stderr.write(f"scanstream worker: {error}\n")
        return EXIT_CONFIGURATION
    except Exception:
        log.exception("computing process stopped by an error that nobody expected")
    return EXIT_FAILURE


class Incoming:
    """What the parent says, kept until there is somebody to do it.

    Parameters
    ----------
    inbound
        Our end of the pipe.
    """

    def __init__(self, inbound: Connection) -> None:
        self._inbound = inbound
        self._scheduler: Scheduler | None = None
        self._early: list[ToChild] = []
        self._lock = threading.Lock()
        threading.Thread(target=self._read, name="parent-says", daemon=True).start()

    def goes_to(self, scheduler: Scheduler) -> None:
        """Do what was said until now, and from now on at once."""
        with self._lock:
            self._scheduler = scheduler
            for message in self._early:
                _do(scheduler, message)
            self._early.clear()

    def _read(self) -> None:
        while True:
            try:
                message = self._inbound.recv()
            except (EOFError, OSError):
                end()
            with self._lock:
                if self._scheduler is None:
                    self._early.append(message)
                else:
                    _do(self._scheduler, message)


def _do(scheduler: Scheduler, message: ToChild) -> None:
    match message:
        case Begin():
            scheduler.begin(message)
        case Rerank():
            scheduler.rerank(message.name, message.rank)
        case Abandon():
            scheduler.abandon(message.name)


def end() -> NoReturn:
    """End this process now: nobody listens, and what it computes nobody wants."""
    sys.stderr.flush()
    os._exit(0)


def _work(setup: Setup, voice: Voice, incoming: Incoming) -> None:
    scheduler: list[Scheduler] = []
    keep_telling(voice.say, lambda: scheduler[0].problems() if scheduler else ())
    # after the first sign of life: loading takes seconds
    from engines import repository
    from engines.runtimes import engine_of, options_of
    from engines.serving import open_repository
    from producers.claim_check import ClaimCheck
    from streams.worker.child.work import Tasks

    started = time.monotonic()
    options = options_of(setup.worker)
    root = setup.worker.model_repository or repository.RELEASED
    # what a server runs, it may have changed while this node was down: no pass of before counts there
    records = setup.records if options.triton_url is None else None
    models: Models = open_repository(root, lambda path, config: engine_of(path, config, options), records)
    # a server is waited for at the start only: from now on tasks wait meanwhile, and the next look tries again
    options = replace(options, triton_wait_s=0)
    states = models.states()
    log.info(
        "models verified",
        extra=fields(
            models=sorted({entry.name for entry in states if entry.state is VersionState.SERVING}),
            seconds=round(time.monotonic() - started, 3),
        ),
    )
    tasks = Tasks(models, ClaimCheck(setup.worker.fetch_timeout_s), setup.node, system_clock)
    scheduler.append(
        Scheduler(tasks.steps, tasks.unexpected, voice.say, Limits(max(setup.worker.prefetch, Limits.tasks)))
    )
    voice.say(loaded(models))
    incoming.goes_to(scheduler[0])
    scheduler[0].start_threads()
    threading.Thread(target=_watch, args=(models, voice), name="repository", daemon=True).start()
    scheduler[0].compute()


def loaded(models: Models) -> Loaded:
    """What can be run here."""
    identities = identities_of(models)
    return Loaded(", ".join(sorted({entry.engine for entry in identities})), models.states(), identities)


def identities_of(models: Models) -> tuple[ModelIdentity, ...]:
    """Of the version of each model that serves here."""
    found = []
    for name in sorted({entry.name for entry in models.states()}):
        # a model of which no version can serve here has none
        with suppress(ScanstreamError):
            found.append(models.choose("", name).model.identity())
    return tuple(found)


def _watch(models: Models, voice: Voice) -> None:
    """Take up what is dropped into the repository."""
    while True:
        time.sleep(RELOAD_S)
        try:
            changed = models.reload()
        except Exception:
            log.exception("model repository cannot be read")
            continue
        if changed:
            voice.say(loaded(models))
