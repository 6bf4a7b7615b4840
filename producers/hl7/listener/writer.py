"""Messages in hand → one Kafka transaction for many of them → their answers. One thread.

Guarantee: AA is answered only for what is committed; a message that is sent again after any kind of end gives no
second event; of one key the messages stay in the order in which they came. While Kafka is away messages are
answered AR, the first ones after the time that Kafka may take, and nothing of them is written later.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from producers.hl7.listener import text as texts
from producers.hl7.listener.answers import TAKEN, Verdict, answers
from producers.hl7.listener.interpret import Write, first_event_id, interpret
from producers.hl7.listener.kept import Kept
from producers.hl7.listener.known import KnownContexts
from producers.hl7.listener.log_reader import LogReader
from producers.hl7.listener.patience import Patience
from producers.hl7.listener.patient import text
from producers.hl7.listener.problem import INTERNAL, SEQUENCE, TABLE_VALUE, Problem, Rejected
from producers.hl7.listener.sources import Source
from producers.hl7.read import Message
from producers.kafka import EventPublisher, Transaction
from producers.patient_key import PatientKeys
from producers.telemetry import Telemetry
from schemas.errors import DestinationUnavailable, InvalidMessage
from schemas.logs import fields
from schemas.topics import Topic

log = logging.getLogger(__name__)

_PROBE_S: Final = 2.0
#: So long after a probe in vain nobody asks again, and messages are turned away at once.
_AGAIN_S: Final = 1.0
_CATCH_UP_S: Final = 10.0
_IDLE_S: Final = 0.5
_AWAY: Final = Problem(INTERNAL, "MSH", None, "Kafka is away: send the message again later", may_pass=True)
_BUSY: Final = Problem(INTERNAL, "MSH", None, "too much is in hand: send the message again later", may_pass=True)
_UNFORESEEN: Final = Problem(INTERNAL, "MSH", None, "the message cannot be handled: tell who runs the listener")


@dataclass(frozen=True, repr=False)
class Work:
    """One payload: from one of these sources, with where its answers go."""

    payload: bytes
    sources: tuple[Source, ...]
    received_at: datetime
    began_s: float
    reply: Callable[[list[bytes]], None]


@dataclass
class _Handled:
    work: Work
    message: Message | None
    codec: str
    verdict: Verdict
    writes: Sequence[Write] = ()


class ContextWriter:
    """Thread that decides and writes.

    Parameters
    ----------
    publisher
        With transactions of its own.
    known, reader
        What the log says.
    keys
        Hashes patients' identifiers.
    kept
        Takes what is not understood.
    telemetry
        Counts.
    settled
        Is given the replies of a batch at once, as ``(reply, answers)``.
    clock, now
        Monotonic seconds; time of day.
    patience
        What the publisher asks for its time left; begins with each batch.
    batch, waiting, waiting_bytes
        Messages of one transaction; messages and bytes in hand.
    """

    def __init__(
        self,
        publisher: EventPublisher,
        known: KnownContexts,
        reader: LogReader,
        keys: PatientKeys,
        kept: Kept,
        telemetry: Telemetry,
        settled: Callable[[list[tuple[Work, list[bytes]]]], None],
        clock: Callable[[], float],
        now: Callable[[], datetime],
        patience: Patience,
        batch: int,
        waiting: int,
        waiting_bytes: int,
    ) -> None:
        self._publisher = publisher
        self._known = known
        self._reader = reader
        self._keys = keys
        self._kept = kept
        self._telemetry = telemetry
        self._settled = settled
        self._clock = clock
        self._now = now
        self._patience = patience
        self._batch = batch
        self._most = waiting
        self._most_bytes = waiting_bytes
        self._waiting: deque[Work] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._ending = False
        self._unsure = self._unregistered = True
        self._ask_at = float("-inf")
        self._answered = 0
        self._started = f"{int(now().timestamp()):X}"
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="hl7-writer", daemon=True)

    def open(self, timeout_s: float) -> None:
        """Take the place of a predecessor, and read what the log says.

        Raises
        ------
        DestinationUnavailable
            Kafka did not answer in time; try again.
        """
        self._publisher.start(timeout_s)
        self._unregistered = False
        self._reader.catch_up(max(timeout_s, 60.0))
        self._unsure = False

    def start(self) -> None:
        """Begin to work."""
        self._thread.start()

    def submit(self, work: Work) -> bool:
        """Hand over a payload; ``False`` when too much is in hand, and then nothing is answered."""
        with self._changed:
            full = len(self._waiting) >= self._most or self._bytes + len(work.payload) > self._most_bytes
            if full or self._ending:
                return False
            self._waiting.append(work)
            self._bytes += len(work.payload)
            self._changed.notify()
        return True

    def refusal(self, work: Work) -> list[bytes]:
        """Answers to a message that could not be handed over."""
        message, codec = _header_of(work)
        return self._answers(_Handled(work, message, codec, Verdict.of(_BUSY)))

    def close(self, timeout_s: float) -> None:
        """Answer what is in hand, and end."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        if self._thread.is_alive():
            self._thread.join(timeout_s)
        self._reader.close()

    def _run(self) -> None:
        try:
            while (batch := self._take()) is not None:
                if batch:
                    self._do(batch)
                else:
                    self._look()
        except BaseException as error:  # noqa: BLE001 - the process ends with it
            self.failure = error
            with self._changed:
                self._ending = True
            self._settled([])

    def _take(self) -> list[Work] | None:
        """What is to be done now; empty for a while without anything, ``None`` at the end."""
        with self._changed:
            if not self._waiting and not self._ending:
                self._changed.wait(_IDLE_S)
            count = min(self._batch, len(self._waiting))
            taken = [self._waiting.popleft() for _ in range(count)]
            self._bytes -= sum(len(work.payload) for work in taken)
            return None if self._ending and not taken else taken

    def _look(self) -> None:
        """Nothing is in hand: follow the log, or end what a failed transaction left open once Kafka is back."""
        with self._patience:
            self._is_there()

    def _do(self, batch: list[Work]) -> None:
        with self._patience:
            handled = self._handled(batch)
        self._settled([(one.work, self._answers(one)) for one in handled])
        ended = self._clock()
        for one in handled:
            self._telemetry.count("scanstream_hl7_messages_total", code=one.verdict.code)
            self._telemetry.observe("scanstream_hl7_acknowledgement_seconds", ended - one.work.began_s)

    def _handled(self, batch: list[Work]) -> list[_Handled]:
        if not self._is_there():
            return [self._turned_away(work) for work in batch]
        handled = [self._decide(work) for work in batch]
        try:
            self._write([write for one in handled for write in one.writes])
        except DestinationUnavailable as error:
            log.warning("Kafka is away: messages not taken", extra=fields(count=len(batch), reason=str(error)))
            self._known.failed()
            self._unsure = True
            for one in handled:
                if one.verdict.code == "AA":
                    one.verdict = Verdict.of(_AWAY)
        return handled

    def _is_there(self) -> bool:
        """Whether Kafka can be written to and we know what it has; what is uncertain is made certain first."""
        if self._unsure and self._clock() < self._ask_at:
            return False
        try:
            if self._unsure:
                if self._unregistered:
                    self._publisher.start(_PROBE_S)
                else:
                    self._unregistered = True
                    self._publisher.renew(_PROBE_S)
                self._unregistered = False
                self._reader.catch_up(min(_CATCH_UP_S, self._patience()))
                self._unsure = False
                log.info("Kafka takes messages again")
            else:
                self._reader.refresh()
        except DestinationUnavailable:
            self._unsure = True
            self._ask_at = self._clock() + _AGAIN_S
            return False
        return True

    def _turned_away(self, work: Work) -> _Handled:
        message, codec = _header_of(work)
        return _Handled(work, message, codec, Verdict.of(_AWAY))

    def _write(self, writes: list[Write]) -> None:
        if not writes:
            return
        with self._publisher.transaction() as transaction:
            for write in writes:
                _publish(transaction, write)
        self._known.written()

    def _decide(self, work: Work) -> _Handled:
        """What a message changes, staged; or why it is not taken."""
        message: Message | None = None
        codec, source = "utf-8", work.sources[0]
        try:
            message, codec, source = self._read(work)
            control_id = text(message.header, 10)
            if control_id and self._known.has_seen(first_event_id(source, control_id, work.payload)):
                log.info("a message came again: nothing is written", extra=fields(source=source.name))
                return _Handled(work, message, codec, TAKEN)
            writes = interpret(message, work.payload, source, self._keys, self._known, work.received_at)
            self._known.stage([(write.key, write.context) for write in writes])
        except Rejected as error:
            return self._rejected(work, message, codec, source, error.problem)
        except InvalidMessage as error:
            return self._rejected(work, message, codec, source, Problem(SEQUENCE, "MSH", None, str(error)))
        except Exception as error:  # noqa: BLE001 - one message must not stop the others
            # only its kind: what it says may hold a part of the message
            frame = error.__traceback__
            while frame is not None and frame.tb_next is not None:
                frame = frame.tb_next
            place = f"{frame.tb_frame.f_code.co_name}:{frame.tb_lineno}" if frame else ""
            log.error(  # noqa: TRY400
                "a message could not be handled", extra=fields(error=type(error).__name__, place=place)
            )
            return self._rejected(work, message, codec, source, _UNFORESEEN)
        return _Handled(work, message, codec, TAKEN, writes)

    def _read(self, work: Work) -> tuple[Message, str, Source]:
        found = texts.read(work.payload, work.sources[0].codec)
        application, facility = text(found.message.header, 3), text(found.message.header, 4)
        source = next((one for one in work.sources if one.is_from(application, facility)), None)
        if source is None:
            raise Rejected(TABLE_VALUE, "MSH-3", "MSH-3 and MSH-4 are of no source that was agreed on")
        if source.codec != work.sources[0].codec:
            found = texts.read(work.payload, source.codec)
        if found.guessed:
            log.warning(
                "the text of a message is not in the character set that it names or that was agreed on",
                extra=fields(source=source.name, taken_as=found.codec),
            )
        return found.message, found.codec, source

    def _rejected(
        self, work: Work, message: Message | None, codec: str, source: Source, problem: Problem
    ) -> _Handled:
        verdict = Verdict.of(problem)
        file = self._kept.keep(work.payload) if verdict.code == "AE" else None
        log.warning(
            "message rejected",
            extra=fields(
                source=source.name,
                answer=verdict.code,
                segment=problem.segment,
                field=problem.field,
                reason=problem.sentence,
                file=file,
            ),
        )
        if message is None:
            message, codec = _header_of(work)
        return _Handled(work, message, codec, verdict)

    def _answers(self, handled: _Handled) -> list[bytes]:
        self._answered += 1
        number = f"{self._started}{self._answered:X}"
        return answers(handled.message, handled.codec, handled.verdict, number, self._now())


def _publish(transaction: Transaction, write: Write) -> None:
    if write.context is None:
        transaction.publish_raw(Topic.CONTEXT.value, write.key.encode(), None, [])
    else:
        transaction.publish(Topic.CONTEXT, write.key, write.context)


def _header_of(work: Work) -> tuple[Message | None, str]:
    """As much of a message as an answer needs."""
    try:
        found = texts.read(work.payload, work.sources[0].codec)
    except InvalidMessage:
        return None, "utf-8"
    return found.message, found.codec
