"""Orders of a message → contexts by accession number and who issued it, with what modalities ask for. Pure.

Two hospitals may give the same number: who issued it is what was agreed on with the source, else what the message
says of the number, else the sending facility (MSH-4). The last only keeps the orders of two hospitals apart and is
no reason to keep an order from images that name another issuer. Guarantee: an order stays under the key that it
has, also where its issuer was told, or agreed on, only later or only once; so a cancel finds what it is about.

What a message leaves out stays as it was, unless it begins the order anew; an order that is cancelled or completed
leaves the worklist.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from typing import Final, Protocol
from urllib.parse import quote

from producers.hl7.listener.order_group import ACTIVE, HELD, NEW, Group, groups_of
from producers.hl7.listener.patient import Patient, Visit, name_of, text
from producers.hl7.listener.sources import Source
from producers.hl7.listener.times import local_parts
from producers.hl7.read import Message
from producers.patient_key import plain_issuer
from producers.store.headers import is_uid
from schemas.events import ClinicalContext, Code, ScheduledProcedureStep, WorklistItem
from schemas.ids import dicom_uid

#: Requested Procedure Priority (PS3.3 C.4.11) of a priority of HL7.
_DICOM_PRIORITY: Final = {"S": "STAT", "A": "HIGH", "T": "HIGH", "P": "MEDIUM", "R": "ROUTINE"}
#: Table 0074 where it is not DICOM's own.
_SECTIONS: Final = {"NMR": "MR", "RUS": "US", "VUS": "US", "NMS": "NM", "CUS": "US", "OUS": "US"}
#: Defined terms of (0008,0060) that are ordered.
_MODALITIES: Final = frozenset(
    (
        *("AR", "BI", "BMD", "CR", "CT", "DX", "ECG", "EPS", "ES", "GM", "HD", "IO", "IVOCT", "IVUS", "LS", "MG"),
        *("MR", "NM", "OCT", "OP", "OPT", "OT", "PT", "PX", "RF", "RG", "SM", "US", "XA", "XC"),
    )
)
_LONGEST_REASON: Final = 256
_LONGEST_TEXT: Final = 64


class Known(Protocol):
    """What the log says now."""

    def get(self, key: str) -> ClinicalContext | None:
        """Newest context of a key."""
        ...

    def orders_of(self, patient_key: str, accession: str | None = None) -> Iterable[tuple[str, ClinicalContext]]:
        """Orders of a patient, all or those with an accession number, by key."""
        ...


def contexts_of(
    message: Message, source: Source, patient: Patient, visit: Visit, said: ClinicalContext, known: Known
) -> dict[str, ClinicalContext]:
    """Contexts by their key.

    Parameters
    ----------
    message
        ORM^O01 or OMI^O23.
    source
        Who sent it.
    patient, visit
        Of whom.
    said
        What the message says of every order: patient, class, consent, time.
    known
        What was said before.

    Raises
    ------
    Rejected
        A field that must be there is not.
    """
    grouped: dict[str, list[Group]] = {}
    numbers: dict[str, tuple[str, str | None]] = {}
    for group in groups_of(message):
        accession, issuer = group.accession(source), group.accession_issuer(source)
        new = order_key(accession, issuer or text(message.header, 4))
        key = _standing_key(new, accession, issuer, said.patient_key, known)
        grouped.setdefault(key, []).append(group)
        numbers[key] = accession, issuer or numbers.get(key, (accession, None))[1]
    contexts = {}
    for key, groups in grouped.items():
        accession, issuer = numbers[key]
        before = _of_same(said, known.get(key))
        contexts[key] = _context(accession, groups, source, patient, visit, said, before, issuer)
    return contexts


def order_key(accession: str, issuer: str) -> str:
    """Key of an order in ``clinical.context``: the accession number, after who issued it where that is known."""
    apart = quote(plain_issuer(issuer), safe="")
    return f"{apart}/{accession}" if apart else accession


def _standing_key(new: str, accession: str, issuer: str | None, patient_key: str, known: Known) -> str:
    """Key that an order of this patient has already, if only one of the two names its issuer; else the new one.

    Keys of before there were issuers are the number alone.
    """
    if known.get(new) is not None:
        return new
    standing = [
        key
        for key, order in known.orders_of(patient_key, accession)
        if key == accession or (order.accession_issuer is None) != (issuer is None)
    ]
    return standing[0] if len(standing) == 1 else new


def _of_same(said: ClinicalContext, before: ClinicalContext | None) -> ClinicalContext | None:
    """What was known of the order if it was of this patient; another's study and identity never go over."""
    if before is None or said.patient_key in (before.patient_key, *before.merged_keys):
        return before
    return None


def _context(
    accession: str,
    groups: list[Group],
    source: Source,
    patient: Patient,
    visit: Visit,
    said: ClinicalContext,
    before: ClinicalContext | None,
    issuer: str | None,
) -> ClinicalContext:
    """One order, which may have several procedures under its accession number."""
    # an answer or a report without a status does not bring a cancelled order back
    former = (before.order_status if before else None) or ACTIVE
    statuses = [group.status() or former for group in groups]
    status = next((one for one in (ACTIVE, HELD) if one in statuses), statuses[0])
    anew = all(group.control == NEW for group in groups)
    old = None if anew else before
    uid = next((uid for group in groups if (uid := group.study_instance_uid()) and is_uid(uid)), None)
    context = replace(
        said,
        accession_number=accession,
        accession_issuer=issuer or (before.accession_issuer if before else None),
        study_instance_uid=uid or (before.study_instance_uid if before else None),
        order_priority=next((found for group in groups if (found := group.priority())), None),
        reason=next((found for group in groups if (found := _reason(group))), None),
        order_status=status,
        merged_keys=before.merged_keys if before else (),
    )
    if old is not None:
        context = _with_old(context, old)
    if status not in (ACTIVE, HELD):
        return replace(context, worklist=None)
    standing = [group for group, one in zip(groups, statuses, strict=True) if one in (ACTIVE, HELD)]
    item = _worklist(context, standing, source, patient, visit, said.occurred_at)
    if item is None and old is not None and old.worklist is not None:
        item = with_identity(old.worklist, patient)
    if item is None:
        return context
    return replace(context, worklist=item, study_instance_uid=item.study_instance_uid)


def _with_old(context: ClinicalContext, old: ClinicalContext) -> ClinicalContext:
    age = context.patient_age_years
    return replace(
        context,
        order_priority=context.order_priority or old.order_priority,
        reason=context.reason or old.reason,
        patient_class=context.patient_class or old.patient_class,
        patient_location=context.patient_location or old.patient_location,
        consent=context.consent or old.consent,
        patient_age_years=old.patient_age_years if age is None else age,
    )


def with_identity(item: WorklistItem, patient: Patient) -> WorklistItem:
    """The same order with the patient as it is called and numbered now."""
    return replace(
        item,
        patient_name=patient.name or item.patient_name,
        patient_id=patient.identifier.value,
        issuer_of_patient_id=patient.identifier.issuer or None,
        patient_birth_date=patient.birth_date or item.patient_birth_date,
        patient_sex=patient.sex or item.patient_sex,
    )


def _worklist(
    context: ClinicalContext, groups: list[Group], source: Source, patient: Patient, visit: Visit, at: datetime
) -> WorklistItem | None:
    """What modalities ask for; ``None`` where no modality is named."""
    steps = tuple(step for group in groups for step in _steps(group, source, context, at))
    if not steps:
        return None
    first, accession = groups[0], context.accession_number or ""
    obr = first.obr
    requested = next((found for ipc in first.ipcs if (found := text(ipc, 2))), "") or text(obr, 19)
    # the same order has the same study, whichever listener it comes to
    digest = sha256(accession.encode("utf-8", "surrogatepass")).hexdigest()
    physician = name_of(obr, 16, 2) or name_of(first.orc, 12, 2) or None
    return WorklistItem(
        patient_name=patient.name,
        patient_id=patient.identifier.value,
        study_instance_uid=context.study_instance_uid or dicom_uid("hl7-order", context.patient_key, digest),
        requested_procedure_id=requested or accession,
        steps=steps,
        issuer_of_patient_id=patient.identifier.issuer or None,
        patient_birth_date=patient.birth_date,
        patient_sex=patient.sex,
        requested_procedure_description=_named(text(obr, 4, 2) or text(obr, 44, 2)),
        requested_procedure_priority=_DICOM_PRIORITY.get(context.order_priority or ""),
        referring_physician_name=visit.referring_physician or physician,
        requesting_physician_name=physician,
        admission_id=visit.number,
    )


def _steps(group: Group, source: Source, context: ClinicalContext, at: datetime) -> list[ScheduledProcedureStep]:
    date, time = local_parts(group.start(source) or at, source.zone)
    description = _named(text(group.obr, 4, 2) or text(group.obr, 4))
    section, procedure = text(group.obr, 24).upper(), text(group.obr, 4)
    found = []
    for number, ipc in enumerate(group.ipcs or [None], 1):
        said = (
            text(ipc, 5).upper() or source.modalities.get(section) or source.modalities.get(procedure) or section
        )
        modality = _SECTIONS.get(said, said)
        if modality not in _MODALITIES:
            continue
        protocol = (text(ipc, 6), text(ipc, 6, 3), text(ipc, 6, 2))
        found.append(
            ScheduledProcedureStep(
                step_id=text(ipc, 4) or text(group.obr, 20) or f"{context.accession_number}-{number}",
                modality=modality,
                station_ae_title=text(ipc, 9) or source.stations.get(modality, ""),
                start_date=date,
                start_time=time,
                station_name=_named(text(ipc, 7)),
                description=_named(text(ipc, 6, 2)) or description,
                protocol=Code(*protocol) if all(protocol) else None,
            )
        )
    return found


def _reason(group: Group) -> str | None:
    """OBR-31, reason for study, or OBR-13, relevant clinical information."""
    found = text(group.obr, 31, 2) or text(group.obr, 31) or text(group.obr, 13)
    return found[:_LONGEST_REASON] or None


def _named(value: str) -> str | None:
    """A text as an LO (PS3.5 6.2)."""
    return " ".join(value.replace("\\", " ").split())[:_LONGEST_TEXT] or None
