"""Results, verdicts and answers on Kafka → steps on Kafka, and notices that are sent: the loop of the alarms.

One thread polls, decides and commits; the crew sends. Steps and the offsets that caused them are one transaction,
in the partition of the study. Guarantee: nobody is told before the opening of the alarm is committed. Afterwards
it goes on from memory while the broker is away, late by the time-out of a commit, and is noted when it is back.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from confluent_kafka import Consumer, Message, TopicPartition

from consumers.escalation import alarm
from consumers.escalation.book import Book
from consumers.escalation.crew import Crew, Ended, Errand
from consumers.escalation.intake import Intake
from consumers.escalation.journal import Journal
from consumers.escalation.places import Places
from consumers.escalation.routes import Routes
from consumers.escalation.sender import Composer
from producers.messages import bytes_of, headers_of
from producers.poll_errors import go_on_after
from producers.process import Process
from schemas.codec import Codec
from schemas.errors import DestinationUnavailable, InvalidMessage, PermanentRejection
from schemas.events import EscalationStage, EscalationStep, Event
from schemas.headers import require_room
from schemas.logs import fields

log = logging.getLogger(__name__)

_IDLE_POLL_S: Final = 0.2
_BUSY_POLL_S: Final = 0.01
#: Reading stops after so many messages, or so long after the first step, in seconds: steps are committed then.
_BATCH: Final = 500
_GATHER_S: Final = 0.02
#: An alarm whose opening Kafka has not taken yet is looked at again after this.
_LOOK_AGAIN: Final = timedelta(seconds=0.1)
_SWEEP_S: Final = 3600.0


class Runtime:
    """The loop.

    Parameters
    ----------
    process
        Metrics, request to stop.
    consumer
        Member of the group.
    places
        Partitions of the consumer.
    book
        Alarms of those partitions.
    journal
        Writes steps.
    codec
        Framing and Avro.
    routes, rehearsal
        Who is told, and whether it is a rehearsal.
    crew, composer
        Send notices.
    now, clock
        Wall clock and monotonic clock.
    """

    def __init__(
        self,
        process: Process,
        consumer: Consumer,
        places: Places,
        book: Book,
        journal: Journal,
        codec: Codec,
        routes: Routes,
        crew: Crew,
        composer: Composer,
        *,
        rehearsal: bool,
        now: Callable[[], datetime] = lambda: _to_the_millisecond(datetime.now(UTC)),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._process = process
        self._consumer = consumer
        self._places = places
        self._book = book
        self._journal = journal
        self._codec = codec
        self._routes = routes
        self._intake = Intake(routes, rehearsal=rehearsal)
        self._crew = crew
        self._composer = composer
        self._now = now
        self._clock = clock
        self._sweep_at = clock()

    def run(self) -> None:
        """Raise alarms until the process is told to stop.

        Raises
        ------
        PermanentRejection
            Another process took this one's place.
        ScanstreamError
            Too many messages in a row could not be understood.
        """
        self._places.subscribe()
        told = False
        while not self._process.stop.is_set():
            self._read()
            self._places.check()
            for ended in self._crew.ends():
                self._ended(ended)
            self._journal.write()
            self._move()
            if self._places.owned and not told:
                told = True
                self._process.ready()
        self._journal.write()

    def _read(self) -> None:
        timeout_s = self._longest_wait_s()
        end = float("inf")
        for _ in range(_BATCH):
            message = self._consumer.poll(timeout_s)
            if message is None:
                return
            timeout_s = 0.0
            self._accept(message)
            if self._journal.has_steps:
                end = min(end, self._clock() + _GATHER_S)
            if self._clock() >= end:
                return

    def _longest_wait_s(self) -> float:
        if self._crew.busy or self._journal.has_steps:
            return _BUSY_POLL_S
        due = self._book.next_due()
        if due is None:
            return _IDLE_POLL_S
        return min(max((due - self._now()).total_seconds(), 0.0), _IDLE_POLL_S)

    def _accept(self, message: Message) -> None:
        error = message.error()
        if error is not None:
            go_on_after(error)
            return
        place = TopicPartition(str(message.topic()), int(message.partition() or 0), int(message.offset() or 0))
        if not self._places.take(place):
            return
        self._process.telemetry.count("scanstream_messages_consumed_total", topic=place.topic)
        try:
            event = self._decoded(message)
        except InvalidMessage as problem:
            self._journal.put_aside(message, problem, self._now())
            return
        if event is None:
            return
        self._journal.understood()
        for step in self._intake.steps(event, self._book, self._now()):
            self._note(place.partition, step)

    def _decoded(self, message: Message) -> Event | None:
        """Event of a message, waiting for a schema registry that is away; ``None`` when told to stop."""
        while True:
            try:
                require_room(bytes_of(message.key()), bytes_of(message.value()), headers_of(message))
                return self._codec.decode(bytes_of(message.value()))
            except DestinationUnavailable as error:
                log.warning("schema registry is away", extra=fields(reason=str(error)))
                if self._process.stop.wait(1.0):
                    self._places.untake(message)
                    return None

    def _move(self) -> None:
        """Send what is due and end what is over."""
        now = self._now()
        for step in self._book.due(now):
            over = alarm.exhausted(step, now)
            if over is not None:
                self._note(self._book.partition_of(step.escalation_id), over)
            else:
                self._tell(step, now)
        if self._clock() >= self._sweep_at:
            self._sweep_at = self._clock() + _SWEEP_S
            for partition, identity in self._book.outlived(now):
                self._journal.forget(partition, identity)
        self._process.telemetry.gauge("scanstream_escalations_open", self._book.open)

    def _tell(self, step: EscalationStep, now: datetime) -> None:
        if self._journal.is_uncommitted_opening(step.escalation_id):
            self._book.wake(step.escalation_id, now + _LOOK_AGAIN)
            return
        for notice in step.pending:
            errand = Errand(step.escalation_id, step.revision, notice)
            if notice.due_at > now:
                self._book.wake(step.escalation_id, notice.due_at)
            elif not self._crew.is_under_way(errand):
                self._send(errand, step, now)

    def _send(self, errand: Errand, step: EscalationStep, now: datetime) -> None:
        try:
            message = self._composer.message(step, errand.notice, now)
        except PermanentRejection as error:
            self._crew.fail(errand, error)
        else:
            self._crew.send(errand, message)

    def _ended(self, ended: Ended) -> None:
        errand, now = ended.errand, self._now()
        step = self._book.find(errand.escalation_id)
        if step is None or step.revision != errand.revision or errand.notice not in step.pending:
            return  # answered meanwhile, or somebody else's alarm now
        chain = self._routes.chain(step.route)
        if ended.error is None:
            if step.notified_at is None:
                waited_s = max((now - step.result_at).total_seconds(), 0.0)
                self._process.telemetry.observe("scanstream_escalation_notice_seconds", waited_s)
            after = alarm.taken(step, errand.notice, chain, now)
        else:
            after = alarm.refused(step, errand.notice, ended.error, chain, now)
        self._note(self._book.partition_of(step.escalation_id), after)

    def _note(self, partition: int, step: EscalationStep) -> None:
        self._journal.add(partition, step, self._book.find(step.escalation_id))
        self._book.note(partition, step)
        self._process.telemetry.count("scanstream_escalations_total", stage=step.stage.value)
        told = fields(
            escalation_id=step.escalation_id,
            study_instance_uid=step.study_instance_uid,
            stage=step.stage.value,
            route=step.route,
            contact_level=step.level,
            contact=step.contact,
            channel=step.channel,
            rehearsal=step.rehearsal,
            reason=None if step.stage is EscalationStage.ACKNOWLEDGED else step.reason,
        )
        if step.stage is EscalationStage.EXHAUSTED:
            log.error("nobody answered an alarm", extra=told)
        elif step.stage is EscalationStage.NOTIFY_FAILED:
            log.warning("a notice was not taken", extra=told)
        else:
            log.info("alarm", extra=told)


def _to_the_millisecond(moment: datetime) -> datetime:
    """As events hold it: a restored notice equals the one that is under way."""
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)
