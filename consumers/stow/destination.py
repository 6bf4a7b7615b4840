"""Result → the DICOM objects that a PACS wants of it, stored there: gather material, render, send.

Guarantee: idempotent. UIDs follow from the result, so a result that is delivered again is the same objects again,
and what the PACS has already is not doubled.
"""

from __future__ import annotations

from consumers.dicom.material import Material
from consumers.dicom.plan import ObjectKind, Plan, plan_for
from consumers.dicom.prior import Prior
from consumers.dicom.render import render, tolerate_source_values
from consumers.dicom.warmup import warm_up
from consumers.stow.configuration import name_of, plan_from, transport_from
from consumers.stow.gather import Source, gather
from consumers.stow.prior import REPORTS, has_predecessor, predecessor
from consumers.stow.transport import Transport
from producers.claim_check import ClaimCheck
from producers.process import Process
from schemas.destinations import StowSettings, WriterSettings
from schemas.events import InferenceResult, ObjectOutcome


class StowDestination:
    """The PACS as a destination; see :class:`consumers.destination.Destination`.

    Parameters
    ----------
    transport
        The way into the PACS.
    source
        Where headers, images and arrays come from.
    plan
        What is made for this PACS, where the requester of a result asks for nothing else.
    name
        Of the destination.
    """

    wants_failures = False

    def __init__(self, transport: Transport, source: Source, plan: Plan, name: str = "stow") -> None:
        self.name = name
        self._transport = transport
        self._source = source
        self._plan = plan

    def deliver(self, result: InferenceResult) -> tuple[ObjectOutcome, ...]:
        """Store the objects of a result.

        Raises
        ------
        InvalidMessage
            The result, its arrays and its source images contradict each other, or some of them are gone.
        SourceUnavailable
            The gateway that holds them is away.
        DestinationUnavailable, TransientFailure
            As :meth:`consumers.stow.transport.Transport.store`.
        """
        plan = plan_for(self._plan, result.output_formats)
        material = gather(result, self._source, plan)
        prior = None
        if has_predecessor(result, plan):
            prior = predecessor(
                result,
                self._transport.reports(result.study_instance_uid),
                lambda named: report_uids(result, material, plan, named),
            )
        objects = render(result, material, plan, prior)
        return self._transport.store(objects) if objects else ()

    def probe(self) -> None:
        """Ask the PACS for as little as possible."""
        self._transport.probe()


def report_uids(result: InferenceResult, material: Material, plan: Plan, prior: Prior | None) -> frozenset[str]:
    """SOP Instance UIDs of a result's reports when they name a predecessor.

    They follow from the segmentation that a report refers to, too, so that is made with them.
    """
    kinds = plan.kinds & {ObjectKind.SEG, *REPORTS}
    made = render(result, material, Plan(kinds, plan.language), prior)
    return frozenset(item.sop_instance_uid for item in made)


def build(process: Process) -> StowDestination:
    """Destination from the settings of the environment; loads everything that the first result needs.

    Parameters
    ----------
    process
        The writer's process; its name is told to the PACS.

    Raises
    ------
    ConfigurationError
        A setting is wrong, or contradicts another.
    """
    settings, writer = StowSettings(), WriterSettings()
    plan = plan_from(settings, writer)
    transport = transport_from(settings, process)
    tolerate_source_values()
    warm_up(plan)
    return StowDestination(transport, ClaimCheck(settings.timeout_s), plan, name_of(writer))
