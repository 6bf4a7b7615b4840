"""What was decided about a message → its acknowledgements (HL7 2.5.1 2.9.2, 2.9.3). Pure.

Original mode gives one AA, AE or AR. Where MSH-15 or MSH-16 ask for anything (enhanced mode), CA, CE or CR says
that the message is kept, and then AA, AE or AR what became of it, each only if it was asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final, Literal

from producers.hl7.build import Field, segment
from producers.hl7.listener.patient import text
from producers.hl7.listener.problem import MEANINGS, Problem
from producers.hl7.read import Message
from producers.hl7.values import timestamp

Code = Literal["AA", "AE", "AR"]
_ACCEPT: Final = {"AA": "CA", "AE": "CE", "AR": "CR"}
#: From here on ERR has its own fields for place and code.
_NEW_ERR: Final = (2, 5)
_DEFAULT_VERSION: Final = "2.5.1"
_LONGEST_SENTENCE: Final = 240


@dataclass(frozen=True)
class Verdict:
    """What is answered."""

    code: Code
    problem: Problem | None = None

    @classmethod
    def of(cls, problem: Problem) -> Verdict:
        """AR for what may pass, AE for anything else."""
        return cls("AR" if problem.may_pass else "AE", problem)


TAKEN: Final = Verdict("AA")


def answers(message: Message | None, codec: str, verdict: Verdict, number: str, now: datetime) -> list[bytes]:
    """Payloads to send back, in order.

    Parameters
    ----------
    message
        What is answered; ``None`` where its header could not be read.
    codec
        Of the message.
    verdict
        What became of it.
    number
        MSH-10 of the answer; unique at this listener.
    now
        MSH-7.
    """
    accept, application = (text(message.header, 15), text(message.header, 16)) if message else ("", "")
    if not accept and not application:
        return [_answer(message, codec, verdict.code, verdict.problem, number, now)]
    found = []
    if _asked(accept, verdict):
        found.append(_answer(message, codec, _ACCEPT[verdict.code], verdict.problem, f"{number}.1", now))
    if _asked(application, verdict):
        found.append(_answer(message, codec, verdict.code, verdict.problem, f"{number}.2", now))
    return found


def _asked(condition: str, verdict: Verdict) -> bool:
    """Table 0155; an unknown condition is as always."""
    match condition.upper():
        case "NE" | "":
            return False
        case "ER":
            return verdict.code != "AA"
        case "SU":
            return verdict.code == "AA"
    return True


def _answer(
    message: Message | None, codec: str, code: str, problem: Problem | None, number: str, now: datetime
) -> bytes:
    header = message.header if message else None
    version = text(header, 12) or _DEFAULT_VERSION
    trigger = text(header, 9, 2)
    msh: dict[int, Field] = {
        3: _designator(message, 5),
        4: _designator(message, 6),
        5: _designator(message, 3),
        6: _designator(message, 4),
        7: timestamp(now),
        9: ("ACK", trigger, "ACK") if trigger else "ACK",
        10: number,
        11: tuple(text(header, 11, part) for part in (1, 2)) if header else "P",
        12: version,
        18: text(header, 18) or None,
    }
    msa: dict[int, Field] = {1: code, 2: text(header, 10)}
    if problem is not None:
        msa[3] = problem.sentence[:80]
    lines = [segment("MSH", msh), segment("MSA", msa)]
    if problem is not None:
        lines.append(segment("ERR", _error(problem, version)))
    return "".join(f"{line}\r" for line in lines).encode(codec, "replace")


def _error(problem: Problem, version: str) -> dict[int, Field]:
    place = (problem.segment, "1", str(problem.field) if problem.field is not None else "")
    meaning = MEANINGS[problem.code]
    if _is_old(version):
        return {1: (*place, (problem.code, meaning, "HL70357"))}
    return {
        2: place,
        3: (problem.code, meaning, "HL70357"),
        4: "E",
        8: problem.sentence[:_LONGEST_SENTENCE],
    }


def _is_old(version: str) -> bool:
    try:
        numbers = tuple(int(part) for part in version.split(".")[:2])
    except ValueError:
        return False
    return numbers < _NEW_ERR


def _designator(message: Message | None, number: int) -> Field:
    return tuple(text(message.header, number, part) for part in (1, 2, 3)) if message else None
