"""Message → ORU^R01 over MLLP (HL7 2.5.1 7.3.1) to a paging, nurse call or results system; AA or CA takes it.

OBX-8 is AA, very abnormal (table 0078), OBX-11 and OBR-25 say preliminary. There is no PID: an alarm knows the
study, not the patient. MSH-10 follows from the notice, so a repetition is recognised; MSH-11 is T in a rehearsal.
"""

from __future__ import annotations

import base64
import time
import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

from consumers.escalation.channels.message import Message
from consumers.escalation.routes import Hl7Channel
from producers.hl7 import build, read
from producers.hl7.client import Listener, MllpConnection, client_tls
from producers.hl7.values import number, timestamp
from schemas.errors import DestinationUnavailable, InvalidMessage, PermanentRejection, TransientFailure
from schemas.events import Code, Laterality
from schemas.terminology import display

_LONGEST_ANSWER: Final = 64 * 1024
_TAKEN: Final = frozenset({"AA", "CA"})
_LATER: Final = frozenset({"AE", "CE"})

_FINDING: Final = ("121071", "Finding", "DCM")
_SITE: Final = ("363698007", "Finding Site", "SCT")
_LATERALITY: Final = ("272741003", "Laterality", "SCT")
_TEXT: Final = ("18782-3", "Radiology Study observation (narrative)", "LN")
_SIDES: Final = {
    Laterality.LEFT: Code("7771000", "SCT", "Left"),
    Laterality.RIGHT: Code("24028007", "SCT", "Right"),
    Laterality.BILATERAL: Code("51440002", "SCT", "Bilateral"),
}


class Hl7:
    """One configured listener; a connection for each message.

    Parameters
    ----------
    settings
        Of the channel.
    now
        Wall clock, for MSH-7.
    clock
        Monotonic time in seconds.

    Raises
    ------
    ConfigurationError
        The file of certificates cannot be used.
    """

    def __init__(
        self,
        settings: Hl7Channel,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._now = now
        self._clock = clock
        tls = client_tls("channels", settings.ca_file, None, None) if settings.tls else None
        self._listener = Listener(settings.host, settings.port, "channels", tls)

    def send(self, message: Message) -> None:
        """See :class:`~consumers.escalation.channels.message.Channel`."""
        settings = self._settings
        payload = oru(message, settings.receiving_application, settings.receiving_facility, self._now())
        deadline = self._clock() + settings.timeout_s
        try:
            connection = MllpConnection(self._listener, settings.timeout_s, _LONGEST_ANSWER)
        except DestinationUnavailable as error:
            raise DestinationUnavailable(
                f"{self._listener.address} did not answer: check host, port and TLS of the channel"
            ) from error
        try:
            connection.send(payload)
            judge(connection.receive(deadline), control_id(message.notice_id), self._listener.address)
        finally:
            connection.close()


def control_id(notice_id: str) -> str:
    """MSH-10 of a notice: 20 characters, which is all that ST of MSH-10 holds (2.14.9.10)."""
    return base64.b32encode(uuid.UUID(notice_id).bytes)[:20].decode()


def oru(message: Message, receiving_application: str, receiving_facility: str, now: datetime) -> bytes:
    """ORU^R01 of a notice: finding, site, side and probability coded, then the text and the link."""
    step = message.step
    header: dict[int, build.Field] = {
        3: "SCANSTREAM",
        5: receiving_application,
        6: receiving_facility,
        7: timestamp(now),
        9: ("ORU", "R01", "ORU_R01"),
        10: control_id(message.notice_id),
        11: "T" if step.rehearsal else "P",
        12: "2.5.1",
        18: "UNICODE UTF-8",
    }
    order: dict[int, build.Field] = {
        1: "1",
        3: step.accession_number or step.study_instance_uid,
        4: ("18748-4", "Diagnostic imaging report", "LN"),
        7: timestamp(step.result_at),
        22: timestamp(now),
        25: "P",
    }
    observations = [
        build.segment("OBX", {1: str(place), **value, 8: "AA", 11: "P", 14: timestamp(step.result_at)})
        for place, value in enumerate(_values(message), 1)
    ]
    return build.message([build.segment("MSH", header), build.segment("OBR", order), *observations])


def _values(message: Message) -> Iterator[dict[int, build.Field]]:
    """OBX-2 type, OBX-3 concept, OBX-5 value and OBX-6 unit of each observation."""
    step = message.step
    for concept, code in (
        (_FINDING, step.finding),
        (_SITE, step.site),
        (_LATERALITY, None if step.laterality is None else _SIDES[step.laterality]),
    ):
        if code is not None:
            shown = display(code, message.language)
            yield {2: "CE", 3: concept, 5: (code.value, shown, code.scheme)}
    if step.probability is not None and (percent := number(step.probability * 100)) is not None:
        yield {2: "NM", 3: ("111012", "Certainty of Finding", "DCM"), 5: percent, 6: ("%", "%", "UCUM")}
    yield {2: "FT", 3: _TEXT, 5: build.Formatted("\n".join((message.subject, *message.lines)))}
    yield {2: "ST", 3: ("ACK", "Acknowledge", "L"), 5: message.link}


def judge(answer: bytes, asked: str, where: str) -> None:
    """Read an acknowledgement (2.14.8 MSA).

    Raises
    ------
    TransientFailure
        An error that may pass (AE, CE), or an answer that is none.
    PermanentRejection
        The message was rejected (AR, CR).
    """
    try:
        told = read.Message.of(answer).first("MSA")
    except InvalidMessage as error:
        raise TransientFailure(f"{where} did not answer with HL7: check that it is an HL7 v2 listener") from error
    if told is None or told.value(2) != asked:
        raise TransientFailure(f"{where} acknowledged another message: look at its log")
    code = told.value(1)
    if code in _TAKEN:
        return
    if code in _LATER:
        raise TransientFailure(f"{where} answered {code}: look at its log")
    raise PermanentRejection(f"{where} rejected the message ({code}): look at its log")
