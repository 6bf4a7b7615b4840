"""Modality Performed Procedure Step as SCP (PS3.4 F.7): N-CREATE and N-SET → durable steps, and hints.

Guarantee: success is answered only after the step is durable, and after the hint that a completed one gives.
"""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from pydicom.dataset import Dataset

from producers.dimse import procedure_step as rules
from producers.dimse.command import CommandField
from producers.dimse.data_sets import Refusal, read, refused
from producers.dimse.promises import Promises
from producers.dimse.service import Exchange, Response, Session
from producers.dimse.spools import BoundedSpool
from producers.store import procedure_steps
from producers.store.headers import is_uid
from producers.store.lookup import Lookup
from producers.store.outcome import Status
from producers.store.procedure_steps import COMPLETED, DISCONTINUED, ProcedureStep
from producers.store.service_database import ServiceDatabase
from producers.store.spool import Spool
from schemas.events import HintKind
from schemas.ids import dicom_uid
from schemas.logs import fields

log = logging.getLogger(__name__)

NO_SUCH_OBJECT_INSTANCE: Final = 0x0112
INVALID_OBJECT_INSTANCE: Final = 0x0117
CLASS_INSTANCE_CONFLICT: Final = 0x0119

_MAX_ATTRIBUTES_BYTES: Final = 8 * 1024 * 1024
#: A step that nobody changed for so long is forgotten, in seconds.
_REMEMBER_S: Final = 30 * 86_400.0


class ProcedureSteps:
    """N-CREATE and N-SET of performed procedure steps.

    Parameters
    ----------
    database
        Keeps steps.
    lookup
        Knows which study an instance belongs to.
    promises
        Tells how many instances a completed study has.
    clock
        Unix time in seconds.
    """

    def __init__(
        self, database: ServiceDatabase, lookup: Lookup, promises: Promises, clock: Callable[[], float]
    ) -> None:
        self._database = database
        self._lookup = lookup
        self._promises = promises
        self._clock = clock

    def new_spool(self) -> Spool:
        """Place for the attributes of a step."""
        return BoundedSpool(_MAX_ATTRIBUTES_BYTES)

    async def perform(self, exchange: Exchange) -> Response:
        """Create or change a step."""
        command = exchange.message.command
        creates = command.field == CommandField.N_CREATE_RQ
        try:
            step = await (self._create(exchange) if creates else self._set(exchange))
        except Refusal as refusal:
            return refused(exchange, refusal, "performed procedure step refused")
        log.info(
            "performed procedure step",
            extra=fields(
                association_id=exchange.session.association_id,
                sop_instance_uid=step.uid,
                status=step.status,
                instances=len(step.instances),
            ),
        )
        # The peer may leave it to us to name the instance (PS3.7 10.1.5.1.4).
        return Response(replace(command.response(Status.SUCCESS), sop_instance_uid=step.uid))

    async def released(self, session: Session) -> None:
        """Nothing to do at the end."""

    async def _create(self, exchange: Exchange) -> ProcedureStep:
        command = exchange.message.command
        _check_class(command.sop_class_uid)
        uid = command.sop_instance_uid or dicom_uid(
            "procedure-step", exchange.session.association_id, command.message_id or 0
        )
        if not is_uid(uid):
            raise Refusal(INVALID_OBJECT_INSTANCE, "Affected SOP Instance UID is no UID")
        step = await read(exchange, partial(rules.created, uid))
        await self._database.run(partial(self._insert, step=step))
        return step

    async def _set(self, exchange: Exchange) -> ProcedureStep:
        command = exchange.message.command
        _check_class(command.requested_sop_class_uid)
        before = await self._database.run(
            partial(procedure_steps.find, uid=command.requested_sop_instance_uid or "")
        )
        if before is None:
            raise Refusal(NO_SUCH_OBJECT_INSTANCE, "there is no procedure step of this UID")

        def change(attributes: Dataset) -> ProcedureStep:
            return rules.changed(before, attributes)

        step = await read(exchange, change)
        if step.status == COMPLETED:
            # Before the step is final: should the process end in between, the peer sets it again.
            await self._tell(step)
        await self._database.run(partial(self._replace, step=step, before=before))
        if step.status == DISCONTINUED:
            log.warning("performed procedure step discontinued", extra=fields(sop_instance_uid=step.uid))
        return step

    def _insert(self, connection: sqlite3.Connection, step: ProcedureStep) -> None:
        if procedure_steps.find(connection, step.uid) is not None:
            raise Refusal(Status.DUPLICATE_SOP_INSTANCE, "a procedure step of this UID was created already")
        now = self._clock()
        procedure_steps.forget(connection, now - _REMEMBER_S)
        procedure_steps.save(connection, step, now)

    def _replace(self, connection: sqlite3.Connection, step: ProcedureStep, before: ProcedureStep) -> None:
        if procedure_steps.find(connection, step.uid) != before:
            raise Refusal(rules.PROCESSING_FAILURE, "the procedure step was changed at the same time: set again")
        procedure_steps.save(connection, step, self._clock())

    async def _tell(self, step: ProcedureStep) -> None:
        """Tell how many instances the completed steps of each study name, once none of its steps is in progress.

        The attributes of a step for several studies do not say which instance is of which: that is known once all
        of them are stored, and else nothing is told.
        """
        if len(step.studies) == 1:
            (study,) = step.studies
            others = await self._database.run(
                partial(procedure_steps.completed_instances, study=study, besides=step.uid)
            )
            counts = {study: len(others | set(step.instances))}
        else:
            located = await self._lookup.located(step.instances)
            if len(located) < len(step.instances):
                return
            of_study = [instance.study_instance_uid for instance in located.values()]
            counts = {study: of_study.count(study) for study in step.studies}
        unfinished = await self._database.run(
            partial(procedure_steps.unfinished, studies=step.studies, besides=step.uid)
        )
        whole = {study: count for study, count in counts.items() if study not in unfinished}
        await self._promises.tell(HintKind.MPPS_COMPLETED, whole, step.uid)


def _check_class(sop_class_uid: str | None) -> None:
    if sop_class_uid != rules.SOP_CLASS:
        raise Refusal(CLASS_INSTANCE_CONFLICT, "not the SOP class of the presentation context")
