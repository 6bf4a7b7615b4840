"""Tasks, commands and what the computing process says → what to begin, what to write, what to tell. Pure.

One desk per worker knows every task from reading to written answer. It does no IO: it speaks through the functions
that it is given, and time is an argument. Guarantee: a task leaves it once, with one answer, or not at all.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Iterator
from typing import Final

from producers.telemetry import Telemetry
from schemas.errors import DestinationUnavailable, ScanstreamError, TransientFailure
from schemas.events import BegunTask, CommandKind, TaskCommand, TaskState
from schemas.logs import fields
from streams.clock import Instant
from streams.worker import answers, schedule, verdicts
from streams.worker.answers import Answer
from streams.worker.commands import Commands, sentence, upgraded
from streams.worker.gateways import Gateways
from streams.worker.held import Held
from streams.worker.job import Job, Lane, Partition, Stage
from streams.worker.ledger import Forward, Settlement
from streams.worker.nodes import MOST_VANISHED
from streams.worker.priors import with_change
from streams.worker.protocol import Abandon, Begin, Ended, Moved, Name, Rerank, Unreachable
from streams.worker.schedule import Schedule, moved_up
from streams.worker.supervisor import Died
from streams.worker.surroundings import Surroundings

log = logging.getLogger(__name__)

#: Emergencies that the computing process knows at once; more of them wait here, in the same order.
MOST_EMERGENCIES: Final = 64

#: No task is lost more often; the number is anybody's.
_MOST_LOSSES: Final = 1000

#: Percent after which the progress of a state is told again.
_TELL_EVERY: Final = 10
_DECODING: Final = frozenset({None, TaskState.QUEUED, TaskState.PREPROCESSING})


class Desk:
    """Tasks of this worker.

    Parameters
    ----------
    node
        Name of this node.
    around
        What it may ask and do.
    telemetry
        Counts.
    prefetch
        Tasks of a class under way at once.
    one_at_a_time
        Whether a task that is no emergency has nothing beside it (``emergency-first``).
    """

    def __init__(
        self, node: str, around: Surroundings, telemetry: Telemetry, prefetch: int, *, one_at_a_time: bool = False
    ) -> None:
        self.schedule = Schedule()
        self.gateways = Gateways()
        self._node = node
        self._around = around
        self._telemetry = telemetry
        self._prefetch = prefetch
        self._one_at_a_time = one_at_a_time
        self._held = Held()
        self._commands = Commands()
        self._begun: dict[Name, Job] = {}
        self._clearing = False

    def __iter__(self) -> Iterator[Job]:
        return iter(self._held)

    @property
    def begun(self) -> int:
        """Tasks that the computing process has."""
        return len(self._begun)

    @property
    def begun_tasks(self) -> tuple[BegunTask, ...]:
        """The same, for the heartbeat."""
        return tuple(BegunTask(*job.name, job.vanished) for job in self._begun.values())

    def take(self, job: Job, now: Instant) -> None:
        """Take in a task that was read."""
        job.ready_at = schedule.ready_at(job, now)
        # what must not begin yet does not grow old
        job.waiting_since = max(now.monotonic, job.ready_at)
        job.alone = job.task.losses > 0
        if self._held.add(job):
            self._admit(job, now)

    def hear(self, command: TaskCommand, now: Instant) -> None:
        """Obey a command, now or when its task comes."""
        if not self._commands.hear(command):
            return
        for job in self._held.of_task(command.task_id):
            if job.stage is not Stage.ANSWERED:
                self._obey(job, command, now)

    def written(self, job: Job, now: Instant) -> None:
        """Let a task go whose answer is committed."""
        following = self._held.remove(job)
        if following is not None:
            self._admit(following, now)

    def let_go(self, jobs: Iterable[Job], now: Instant) -> None:
        """Forget tasks that are not ours any more; whoever has them answers them."""
        self.schedule.unrestrict(now)
        gone = list(jobs)
        for job in gone:
            self._take_back(job)
            following = self._held.remove(job)
            if following is not None and following not in gone:
                self._admit(following, now)

    def moved(self, message: Moved, now: Instant) -> None:
        """Tell how far a task is."""
        job = self._begun.get(message.name)
        if job is None:
            return
        if message.state not in _DECODING:
            self._gateway_answered(job.gateway)
        if message.state is job.entered and message.progress < job.progress + _TELL_EVERY:
            return
        progress = None if message.state is not job.entered else message.progress
        job.entered, job.progress = message.state, message.progress
        moved = answers.status(job.task, message.state, self._node, now.utc, progress=progress)
        self._around.announce(job, moved)

    def ended(self, message: Ended, now: Instant) -> None:
        """Take the answer of the computing process."""
        job = self._begun.pop(message.name, None)
        if job is None:
            return
        if job.entered in _DECODING:
            self.gateways.given_up(job.gateway, job.name)
        else:
            self._gateway_answered(job.gateway)
        for stage in message.answer.stages:
            self._telemetry.observe(
                "scanstream_inference_seconds",
                stage.duration_ms / 1000,
                model=job.task.model_name,
                stage=stage.name,
            )
        self._finish(job, with_change(message.answer, job.task, self._around.prior(job)), now)

    def unreachable(self, message: Unreachable, now: Instant) -> None:
        """Let a task wait until its gateway is back, without holding up anything else."""
        job = self._begun.pop(message.name, None)
        if job is None:
            return
        if self.gateways.went(job.gateway, now.monotonic, message.retry_after_s):
            self._telemetry.gauge("scanstream_destination_up", 0, destination="gateway")
            log.warning("gateway is away", extra=fields(task_id=job.task.task_id, reason=message.reason))
        if not self._out_of_patience(job, now, message.reason):
            self._back(job, f"waits for the gateway: {message.reason}", "gateway", now)

    def died(self, message: Died, now: Instant) -> None:
        """Begin again what the computing process had; what it was at gets a counted attempt."""
        self._telemetry.count("scanstream_worker_child_ends_total", cause=message.cause)
        begun, self._begun = list(self._begun.values()), {}
        for job in begun:
            job.deaths += 1
            self.gateways.given_up(job.gateway, job.name)
            if job.name in message.computing or job.alone:
                what = f"the computing process of {self._node} was lost over this task ({message.cause})"
                error = TransientFailure(f"{what}: look at the images and at the log of the worker")
                identity = self._around.identity(job.task.model_name)
                lost = dataclasses.replace(job.task, losses=min(max(job.task.losses, 0), _MOST_LOSSES) + 1)
                self._finish(job, answers.failed_for_now(lost, identity, error, self._node, now.utc), now)
            else:
                # whoever ends it while decoding is never computing: apart from the others it is found
                job.alone = job.deaths > 1
                self._back(job, "the computing process is started again", f"lost-{job.deaths}", now)

    def dispatch(self, now: Instant) -> None:
        """Begin what may begin; say of what nobody wants any more that it is over."""
        for job in self.schedule.over(now):
            self._finish(job, verdicts.not_useful(job.task, self._node, now.utc), now)
        for job in self.schedule.stalled(now):
            self._hand_on(job)
        for job in self._begun.values():
            if not job.is_emergency and moved_up(job, now):
                self._around.tell(Rerank(job.name, job.rank))
        while (next_one := self.schedule.next(now, self._room, lambda job: self._wait(job, now))) is not None:
            self._begin(next_one, now)

    def look_at_gateways(self, now: Instant) -> None:
        """Give up what has waited long enough for a gateway that is away."""
        away = set(self.gateways.names())
        if away:
            for job in [job for job in self.schedule if job.gateway in away]:
                self._out_of_patience(job, now, f"the gateway {job.gateway} does not answer")

    def stop_prefetching(self) -> None:
        """Take back what was begun and is not computed yet, but for emergencies: there is no time for it."""
        for job in list(self._begun.values()):
            if job.entered in _DECODING and not job.is_emergency:
                self._take_back(job)

    def hand_back(self, now: Instant) -> None:
        """Take back everything: the next owner of its partition begins it again."""
        for job in self._held:
            if job.stage is Stage.BEGUN:
                self._take_back(job)
                if job.entered is not None:
                    self._say(job, TaskState.QUEUED, f"{self._node} stops", now, "stops", now.utc.isoformat())
                    job.entered = None

    def _admit(self, job: Job, now: Instant) -> None:
        orders = self._commands.of(job.task.task_id)
        if orders.cancel is not None:
            self._cancel(job, orders.cancel, now)
            return
        self.schedule.add(job, now)
        for command in (orders.upgrade, orders.hold):
            if command is not None:
                self._obey(job, command, now)

    def _obey(self, job: Job, command: TaskCommand, now: Instant) -> None:
        match command.kind:
            case CommandKind.CANCEL if command.unless_begun and job.stage is Stage.BEGUN:
                pass  # what is superseded and nearly there is of more use than nothing
            case CommandKind.CANCEL:
                self._take_back(job)
                self._cancel(job, command, now)
            case CommandKind.UPGRADE:
                self._upgrade(job, command, now)
            case CommandKind.HOLD:
                job.held = True
                if job.stage is Stage.BEGUN:
                    self._take_back(job)
                    if self._superseded(job, now):
                        return
                    self.schedule.add(job, now)
                self.schedule.place(job, now)
                self._say(job, TaskState.QUEUED, sentence("held", command), now, command.event_id)
            case CommandKind.RELEASE if job.held:
                job.held = False
                self.schedule.place(job, now)
                self._say(job, TaskState.QUEUED, sentence("released", command), now, command.event_id)

    def _upgrade(self, job: Job, command: TaskCommand, now: Instant) -> None:
        task = upgraded(job.task, command)
        if task is None:
            return
        job.task = task
        if job.stage is Stage.BEGUN:
            if moved_up(job, now):
                self._around.tell(Rerank(job.name, job.rank))
        else:
            job.ready_at = 0.0
            # it waits from now on for no time of day, so it grows old
            job.waiting_since = min(job.waiting_since, now.monotonic)
            self.schedule.place(job, now)
        state = job.entered or TaskState.QUEUED
        self._say(job, state, sentence("upgraded", command), now, command.event_id)

    def _room(self, lane: Lane) -> bool:
        begun = self._begun.values()
        self._clearing = self._clearing and bool(begun)
        emergencies = sum(job.is_emergency for job in begun)
        if lane is Lane.EMERGENCY:
            last_try = any(job.is_emergency and job.vanished >= MOST_VANISHED - 1 for job in begun)
            return emergencies < MOST_EMERGENCIES and not (self._clearing or last_try)
        if emergencies or any(job.alone for job in begun):
            return False
        if self._one_at_a_time:
            return not begun
        return sum(job.lane is not None and job.lane <= lane for job in begun) < self._prefetch

    def _wait(self, job: Job, now: Instant) -> float:
        wait = self.gateways.ready_at(job.gateway, now.monotonic)
        if self._node in job.task.excluded_nodes:
            found = self._around.elsewhere(job, now)
            return max(wait, found) if isinstance(found, float) else wait
        return wait

    def _begin(self, job: Job, now: Instant) -> None:
        if self._node in job.task.excluded_nodes:
            found = self._around.elsewhere(job, now)
            if isinstance(found, Partition):
                self._forward(job, found, now)
                return
        job.vanished = self._around.vanished(job.name)
        if job.vanished >= MOST_VANISHED:
            what = f"{job.vanished} workers vanished while they worked on this task: look at the images, and"
            self._give_up(job, TransientFailure(f"{what} at the memory of the nodes"), now)
            return
        if job.vanished == MOST_VANISHED - 1:
            # its next loss is the last: nothing that vanishes with it may be taken for the cause
            job.alone = True
            for other in [other for other in self._begun.values() if not other.is_emergency]:
                self._back(other, "another task is tried alone", f"apart-{job.task.task_id}", now)
            self._clearing = bool(self._begun)
            if self._clearing:
                self.schedule.add(job, now)
                return
        if job.is_emergency:
            self._make_way(now)
        self._begun[job.name] = job
        job.entered, job.progress = None, 0
        self.gateways.trying(job.gateway, job.name)
        self._around.tell(Begin(job.task, job.rank, job.alone))

    def _make_way(self, now: Instant) -> None:
        """An emergency comes: what may have nothing beside it waits, and what computes is suspended."""
        for job in [job for job in self._begun.values() if job.alone and not job.is_emergency]:
            self._back(job, "an emergency goes first", f"emergency-{now.utc.isoformat()}", now)
        at_work = [self._begun[name] for name in self._around.computing() if name in self._begun]
        if at_work and not any(job.is_emergency for job in at_work):
            self._telemetry.count("scanstream_worker_preemptions_total")

    def _forward(self, job: Job, to: Partition, now: Instant) -> None:
        answer = verdicts.given_away(job.task, self._node, to, now.utc, job.received.given_away)
        job.stage = Stage.ANSWERED
        log.info("task given away", extra=fields(task_id=job.task.task_id, to=f"{to.topic}[{to.number}]"))
        settlement = Settlement(job.received, answer, job.task.attempt, Forward(job.task, to))
        self._around.settle(settlement, job)

    def _hand_on(self, job: Job) -> None:
        """Put a task that is kept back at the end of its own partition, where it is held as before.

        Its offset could not be committed, nor more answers behind it be noted: the partition would stand still.
        """
        self.schedule.remove(job)
        job.stage = Stage.ANSWERED
        forward = Forward(job.task, job.partition)
        self._around.settle(Settlement(job.received, Answer("handed_on", ()), job.task.attempt, forward), job)

    def _finish(self, job: Job, answer: Answer, now: Instant) -> None:
        answer = verdicts.as_upgraded(answer, job.task)
        late = verdicts.overdue(job.task, now.utc)
        if late is not None and verdicts.is_final(answer):
            answer = verdicts.with_reason(answer, late)
            self._telemetry.count("scanstream_worker_deadlines_missed_total", priority=job.task.priority.value)
        job.stage = Stage.ANSWERED
        self._around.settle(Settlement(job.received, answer, job.task.attempt), job)

    def _take_back(self, job: Job) -> None:
        """Take a task from the computing process or from the schedule."""
        if self._begun.get(job.name) is job:
            del self._begun[job.name]
            self.gateways.given_up(job.gateway, job.name)
            self._around.tell(Abandon(job.name))
        else:
            self.schedule.remove(job)

    def _back(self, job: Job, reason: str, about: str, now: Instant) -> None:
        """Let a task wait again that was begun."""
        self._take_back(job)
        if self._superseded(job, now):
            return
        if job.entered is not None:
            self._say(job, TaskState.QUEUED, reason, now, about)
        job.entered = None
        self.schedule.add(job, now)

    def _superseded(self, job: Job, now: Instant) -> bool:
        """End a task that went on only because it was begun: nobody tells it any more what its order says."""
        cancel = self._commands.of(job.task.task_id).cancel
        if cancel is not None:
            self._cancel(job, cancel, now)
        return cancel is not None

    def _cancel(self, job: Job, command: TaskCommand, now: Instant) -> None:
        reason = sentence("cancelled", command)
        self._finish(job, verdicts.cancelled(job.task, self._node, now.utc, reason), now)

    def _out_of_patience(self, job: Job, now: Instant, reason: str) -> bool:
        ends = verdicts.patience_ends(job.task)
        if now.utc < ends:
            return False
        self._take_back(job)
        given_up = f"given up after {ends.isoformat(timespec='seconds')}: {reason}"
        self._give_up(job, DestinationUnavailable(given_up), now)
        return True

    def _give_up(self, job: Job, error: ScanstreamError, now: Instant) -> None:
        identity = self._around.identity(job.task.model_name)
        self._finish(job, answers.could_not_run(job.task, identity, error, self._node, now.utc), now)

    def _gateway_answered(self, gateway: str) -> None:
        if self.gateways.answered(gateway):
            log.info("gateway is back")
        if not len(self.gateways):
            self._telemetry.gauge("scanstream_destination_up", 1, destination="gateway")

    def _say(self, job: Job, state: TaskState, reason: str, now: Instant, *about: str) -> None:
        self._around.announce(job, verdicts.said(job.task, state, self._node, now.utc, reason, *about))
