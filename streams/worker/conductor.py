"""The loop of a worker: Kafka, the computing process and the desk between them, turn by turn in one thread.

Nothing in it waits for a computation, so the worker stays in its group whatever is computed. Guarantee: an answer
and the offset of its task are one transaction, and after a request to stop the process ends in bounded time with
everything that is not answered left to the next owner.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Final

from producers.process import Process
from schemas.errors import DestinationUnavailable, InvalidMessage, ScanstreamError
from schemas.events import Event, NodeState, TaskCommand
from schemas.logs import fields
from streams.clock import Clock, Instant
from streams.worker.announce import Announcer
from streams.worker.commits import Commits, Written
from streams.worker.desk import Desk
from streams.worker.heartbeat import Heart
from streams.worker.intake import Intake
from streams.worker.job import Job, Received
from streams.worker.ledger import unreadable
from streams.worker.partitions import Partitions
from streams.worker.protocol import Aside, Ended, FromChild, Moved, Unreachable
from streams.worker.supervisor import Died, Supervisor

log = logging.getLogger(__name__)

#: Seconds that a turn waits for a message, while something is under way and while nothing is.
BUSY_POLL_S: Final = 0.005
IDLE_POLL_S: Final = 0.05

#: What the loop may take after a request to stop, in seconds: five less than the promise, for what it leaves open.
STOP_S: Final = 25.0

#: What is kept of that for writing, in seconds.
WRITE_S: Final = 4.0

#: Seconds between two looks at tasks whose gateway is away.
_LOOK_S: Final = 5.0


class CommandQueue:
    """Commands on their way from the thread that follows them."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[TaskCommand] = SimpleQueue()

    def hear(self, _: str, event: Event | None) -> None:
        """Take in a message of the topic of commands."""
        if isinstance(event, TaskCommand):
            self._queue.put(event)

    def get(self) -> TaskCommand | None:
        """Next command, if there is one."""
        try:
            return self._queue.get_nowait()
        except Empty:
            return None


class Conductor:
    """See the module.

    Parameters
    ----------
    process
        Identity, metrics, request to stop.
    desk, supervisor, partitions, commits, announcer, heart, commands
        The parts.
    intake
        Built with :meth:`on_job` and :meth:`on_unreadable`.
    heard_all
        Whether commands, nodes and priors were read to their end once.
    drain_s
        How long what runs may go on after a request to stop.
    left
        Seconds that are left then for everything together.
    clock
        Time.
    """

    def __init__(
        self,
        process: Process,
        desk: Desk,
        supervisor: Supervisor,
        partitions: Partitions,
        commits: Commits,
        announcer: Announcer,
        heart: Heart,
        commands: CommandQueue,
        heard_all: Callable[[], bool],
        drain_s: float,
        left: Callable[[], float],
        clock: Clock,
    ) -> None:
        self._process = process
        self._desk = desk
        self._supervisor = supervisor
        self._partitions = partitions
        self._commits = commits
        self._announcer = announcer
        self._heart = heart
        self._commands = commands
        self._heard_all = heard_all
        self._drain_s = drain_s
        self._left = left
        self._clock = clock
        self._told = self._draining = False
        self._look_at = 0.0
        self._intake: Intake | None = None

    def run(self, intake: Intake) -> None:
        """Work until told to stop, and then until what runs has ended or its time is over.

        Raises
        ------
        ConfigurationError
            The models or settings are wrong.
        PermanentRejection
            Another process took this one's place.
        DestinationUnavailable
            Kafka left this consumer without a place in its group: begin anew.
        """
        self._intake = intake
        self._partitions.subscribe()
        try:
            while not self._process.stop.is_set():
                self.turn(intake)
                if not self._told and self._supervisor.ready and self._partitions.joined and self._heard_all():
                    self._told = True
                    self._process.ready()
            self._drain(intake)
        except ScanstreamError:
            self._leave()
            raise

    @property
    def _works(self) -> bool:
        return self._supervisor.ready and self._partitions.serving and self._heard_all()

    def turn(self, intake: Intake) -> None:
        """Hear, begin, write, read."""
        now, heard_all = self._clock(), self._heard_all()
        # also what was read until all was: asked the other way round, a last command could be late
        self._hear(now)
        if heard_all and self._works and not self._draining:
            self._desk.dispatch(now)
        if now.monotonic >= self._look_at:
            self._look_at = now.monotonic + _LOOK_S
            self._desk.look_at_gateways(now)
        self._write()
        self._partitions.steer(hold=self._draining or intake.waits)
        self._beat(now)
        self._partitions.check()
        intake.read(BUSY_POLL_S if self._desk.begun or len(self._commits) else IDLE_POLL_S)

    def on_job(self, job: Job) -> None:
        """Take a task that was read."""
        self._desk.take(job, self._clock())

    def on_unreadable(self, received: Received, error: InvalidMessage) -> None:
        """Set a message aside that is no task."""
        self._commits.add(unreadable(received, error))

    def let_go(self, jobs: list[Job]) -> None:
        """Partitions came or went: these tasks are not ours any more, or were answered."""
        self._desk.let_go(jobs, self._clock())
        self._commits.drop(jobs)
        for job in jobs:
            self._partitions.gone(job.received)
        if self._intake is not None:
            self._intake.forget()

    def _hear(self, now: Instant) -> None:
        while (command := self._commands.get()) is not None:
            self._desk.hear(command, now)
        for message in self._supervisor.listen():
            self._child_said(message, now)

    def _child_said(self, message: FromChild | Died, now: Instant) -> None:
        match message:
            case Moved():
                self._desk.moved(message, now)
            case Ended():
                self._desk.ended(message, now)
            case Unreachable():
                self._desk.unreachable(message, now)
            case Aside():
                self._announcer.aside(message)
            case Died():
                self._desk.died(message, now)

    def _write(self, *, at_once: bool = False) -> list[Written]:
        written = self._commits.write(at_once=at_once)
        for entry in written:
            self._partitions.gone(entry.settlement.received)
            if entry.job is not None:
                self._desk.written(entry.job, self._clock())
                self._show(entry, entry.job)
        for partition in {entry.settlement.received.partition for entry in written}:
            only = self._partitions.books.only(partition)
            self._desk.schedule.restrict(partition, only, self._clock())
        return written

    def _show(self, entry: Written, job: Job) -> None:
        answer = entry.settlement.answer
        self._process.telemetry.count(
            "scanstream_tasks_finished_total", model=job.task.model_name, outcome=answer.outcome
        )
        log.info(
            "task answered",
            extra=fields(
                task_id=job.task.task_id,
                study_instance_uid=job.task.study_instance_uid,
                at=job.received.place,
                outcome=answer.outcome,
                reason=answer.error and str(answer.error),
            ),
        )

    def _beat(self, now: Instant) -> None:
        child, health = self._supervisor, self._supervisor.health
        problems = list(health.problems) if health else []
        if child.restarts and not child.ready:
            problems.append("the computing process is being started again")
        if self._told and not self._partitions.serving:
            problems.append("no partition of a task topic is assigned to this worker")
        problems += [f"gateway {name} does not answer" for name in self._desk.gateways.names()]
        if self._draining:
            state = NodeState.DRAINING
        elif self._works:
            state = NodeState.READY
        else:
            state = NodeState.UNHEALTHY if self._told else NodeState.STARTING
        loaded = child.loaded
        self._heart.beat(
            now,
            state,
            loaded.engine if loaded else "",
            loaded.models if loaded else (),
            tuple(problems),
            health.memory_bytes if health else None,
            self._desk.begun_tasks,
        )

    def _drain(self, intake: Intake) -> None:
        """Let what is computed end and be written, as long as there is time.

        Everything else is done by whoever gets its partition, also what was computed and could not be written: an
        answer and its offset are one transaction.
        """
        self._draining = True
        self._desk.stop_prefetching()
        end = self._clock().monotonic + self._drain_s
        try:
            while self._desk.begun and self._clock().monotonic < end and self._left() > WRITE_S:
                self.turn(intake)
            self._hear(self._clock())
            self._desk.hand_back(self._clock())
            self._beat(self._clock())  # before Kafka may use up the time that is left
            while self._commits.writable and self._left() > 0:
                if not self._write(at_once=True):
                    self._partitions.steer(hold=True)
                    intake.read(IDLE_POLL_S)
        except DestinationUnavailable as error:
            log.warning("stopped without Kafka", extra=fields(reason=str(error)))
        self._leave()

    def _leave(self) -> None:
        """Say that nothing is worked on any more: who ends without that word has vanished over its tasks."""
        self._draining = True
        self._desk.hand_back(self._clock())
        self._beat(self._clock())
        self._announcer.close()
