"""Messages in the styles of several systems, all invented, and what reads them without any service."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from zlib import crc32

from producers.hl7.listener.interpret import Write, interpret
from producers.hl7.listener.sources import Source
from producers.hl7.listener.text import read
from producers.patient_key import PatientKeys
from schemas.events import ClinicalContext

KEYS = PatientKeys(b"a secret of the tests")
NOW = datetime(2026, 11, 22, 9, 30, tzinfo=UTC)
KYIV = Source(name="ris", time_zone="Europe/Kyiv")
MULTILINGUAL = "Ґудзь^Євгенія^Іллівна"


def key(patient_id: str = "4711", issuer: str = "HOSP") -> str:
    found = KEYS.key(patient_id, issuer)
    assert found is not None
    return found


def field(name: str, values: dict[int, str]) -> str:
    """A segment of these fields, as they are written."""
    return "|".join([name, *(values.get(number, "") for number in range(1, max(values) + 1))])


def lines(*segments: str) -> bytes:
    return "".join(f"{segment}\r" for segment in segments).encode()


def msh(
    kind: str, control_id: str, version: str = "2.5.1", charset: str = "UNICODE UTF-8", more: str = "||"
) -> str:
    """``more`` is MSH-15 and MSH-16."""
    accept, _, application = more.partition("|")
    return (
        f"MSH|^~\\&|RIS|HOSP|SCANSTREAM|AI|20261122113000||{kind}|{control_id}|P|{version}|||{accept}|{application}"
        f"||{charset}"
    )


def pid(patient_id: str = "4711", name: str = MULTILINGUAL, birth: str = "19610309") -> str:
    return f"PID|1||{patient_id}^^^HOSP^MR||{name}||{birth}|F"


def old_order(
    accession: str,
    control_id: str,
    priority: str = "S",
    control: str = "NW",
    status: str = "",
    patient: str | None = None,
) -> bytes:
    """ORM^O01 of 2.3.1, as IHE RAD-4 wants it: accession in OBR-18, study in ZDS."""
    return lines(
        msh("ORM^O01", control_id, "2.3.1"),
        patient or pid(),
        "PV1|1|E|ED^3^1^HOSP||||||||||||||||V-1",
        f"ORC|{control}|P-1|F-1||{status}||1^^^20261122120000^^{priority}|||||12^Коваль^Олег",
        f"OBR|1|P-1|F-1|CTHEAD^КТ голови^L|{priority}||||||||Біль||^^^|12^Коваль^Олег||{accession}|RP-1|SPS-1|||"
        f"|CT|||1^^^20261122120000^^{priority}||||Підозра на інсульт",
        f"ZDS|1.2.826.0.1.3680043.8.498.{crc32(accession.encode())}^RIS^Application^DICOM",
    )


def new_order(accession: str, control_id: str, priority: str = "A", control: str = "NW") -> bytes:
    """OMI^O23 of 2.5.1, with TQ1 and IPC."""
    return lines(
        msh("OMI^O23^OMI_O23", control_id),
        pid(),
        "PV1|1|I|NEURO^2^1",
        f"ORC|{control}|P-2|F-2|||||||||77^Мельник^Їжак",
        f"TQ1|1||||||20261123080000+0200||{priority}",
        "OBR|1|P-2|F-2|MRBRAIN^МРТ головного мозку^L|||||||||||||||||||||||||||^Епілепсія",
        f"IPC|{accession}|RP-2|1.2.826.0.1.3680043.8.498.77|SPS-2|MR|MRB1^Brain routine^99LOCAL|MR кабінет||MR1",
    )


def admission(event: str, control_id: str, visit: str = "PV1|1|E|ED^3^1", patient: str | None = None) -> bytes:
    return lines(msh(f"ADT^{event}", control_id, "2.4"), f"EVN|{event}|20261122113000", patient or pid(), visit)


def merge(survivor: str, gone: str, control_id: str) -> bytes:
    return lines(
        msh("ADT^A40^ADT_A39", control_id),
        "EVN|A40|20261122113000",
        pid(survivor, "Шевченко^Олена"),
        f"MRG|{gone}^^^HOSP^MR",
    )


class Table:
    """What is known, as a dictionary."""

    def __init__(self) -> None:
        self.contexts: dict[str, ClinicalContext] = {}

    def get(self, name: str) -> ClinicalContext | None:
        return self.contexts.get(name)

    def orders_of(self, patient_key: str, accession: str | None = None) -> Iterable[tuple[str, ClinicalContext]]:
        return [
            (name, context)
            for name, context in sorted(self.contexts.items())
            if context.patient_key == patient_key and context.accession_number is not None
            if accession in (None, context.accession_number)
        ]

    def take(self, payload: bytes, source: Source = KYIV) -> list[Write]:
        """Interpret a message and keep what it says."""
        writes = interpret(read(payload, source.codec).message, payload, source, KEYS, self, NOW)
        for write in writes:
            if write.context is None:
                self.contexts.pop(write.key, None)
            else:
                self.contexts[write.key] = write.context
        return writes

    def order(self, accession: str) -> ClinicalContext:
        return self.contexts[f"hosp/{accession}"]
