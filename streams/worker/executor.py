"""Backlog → answers, in a thread of its own, so that the poll thread never waits for a computation.

ONNX Runtime computes without the interpreter's lock. An emergency that arrives while something else runs is let in
at the next step and runs to its end; then what was suspended goes on. What was abandoned stops at its next step.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

from producers.telemetry import Telemetry
from schemas.errors import DestinationUnavailable
from schemas.events import TaskState
from schemas.logs import fields
from schemas.topics import Priority
from streams.worker.announce import Announcer
from streams.worker.answers import Answer
from streams.worker.backlog import Backlog, Job
from streams.worker.task_run import TaskRunner

log = logging.getLogger(__name__)

#: Seconds between two tries of a gateway that is away: first, and at most.
PROBE_FIRST_S: Final = 0.5
PROBE_LONGEST_S: Final = 10.0


class Abandoned(Exception):
    """The answer of the running task will not be used: its partition went to another worker, or we end."""


class Executor:
    """Computes one job after the other.

    Parameters
    ----------
    backlog
        Where jobs come from.
    runner
        Answers a task.
    announcer
        Publishes at once that a job moved.
    answered
        Gets the answers.
    telemetry
        Says whether the gateway answers.
    """

    def __init__(
        self,
        backlog: Backlog,
        runner: TaskRunner,
        announcer: Announcer,
        answered: SimpleQueue[tuple[Job, Answer]],
        telemetry: Telemetry,
    ) -> None:
        self._backlog = backlog
        self._runner = runner
        self._announcer = announcer
        self._answered = answered
        self._telemetry = telemetry
        self._thread = threading.Thread(target=self._work, name="inference", daemon=True)

    def start(self) -> None:
        """Begin to take jobs; ends when the backlog is closed."""
        self._thread.start()

    def _work(self) -> None:
        while (job := self._backlog.take()) is not None:
            self._run(job)

    def _run(self, job: Job) -> None:
        where = fields(task_id=job.task.task_id, at=job.received.place)
        try:
            answer = self._runner.run(job.task, self._steps(job))
        except Abandoned:
            log.info("task abandoned", extra=where)
            return
        except DestinationUnavailable as error:
            self._wait_for_gateway(job, error)
            return
        except Exception as error:
            log.exception("unexpected error in a task", extra=where)
            answer = self._runner.unexpected(job.task, error)
        else:
            self._telemetry.gauge("scanstream_destination_up", 1, destination="gateway")
        self._announcer.settle()
        self._answered.put((job, answer))

    def _steps(self, job: Job) -> Callable[[TaskState], None]:
        announced: set[TaskState] = set()

        def on_step(state: TaskState) -> None:
            if job.abandoned.is_set():
                raise Abandoned
            self._let_emergencies_in(job)
            if state not in announced:
                announced.add(state)
                self._announcer(job, state)

        return on_step

    def _let_emergencies_in(self, job: Job) -> None:
        if job.task.priority is Priority.P1_EMERGENCY:
            return
        while (urgent := self._backlog.take_emergency()) is not None:
            if urgent.probes == 0:
                log.info(
                    "emergency goes first",
                    extra=fields(task_id=urgent.task.task_id, suspended=job.task.task_id),
                )
            self._run(urgent)

    def _wait_for_gateway(self, job: Job, error: DestinationUnavailable) -> None:
        wait_s = min(PROBE_FIRST_S * 2**job.probes, PROBE_LONGEST_S)
        wait_s = max(wait_s, min(error.retry_after_s or 0, PROBE_LONGEST_S))
        if job.probes == 0:
            log.warning("gateway is away", extra=fields(task_id=job.task.task_id, reason=str(error)))
        job.probes += 1
        self._telemetry.gauge("scanstream_destination_up", 0, destination="gateway")
        self._backlog.park(job, wait_s)
