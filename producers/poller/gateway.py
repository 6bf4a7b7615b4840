"""The gateway as the poller needs it: what it has by QIDO-RS, and STOW-RS of what it lacks.

What QIDO-RS finds there is the truth about what is stored; an answer to STOW-RS is only a faster word for it.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Collection
from http import HTTPStatus
from typing import Any, Final

from producers.dicomweb.multipart import closing, part_head
from producers.poller import qido
from producers.poller.archive import Object
from producers.poller.web import DicomWeb
from schemas.errors import TransientFailure

#: A request of so many bytes or objects ends, so that what is stored so far has its answer.
BATCH_BYTES: Final = 64 * 1024**2
BATCH_OBJECTS: Final = 500
_UIDS_AT_ONCE: Final = 40
_FAILED_SOP_SEQUENCE: Final = "00081198"
_OTHER_FAILURES_SEQUENCE: Final = "0008119A"
_FAILURE_REASON: Final = "00081197"


class Gateway:
    """Client of the gateway's DICOMweb service.

    Parameters
    ----------
    web
        Connection; its ``away`` is :class:`GatewayUnavailable`.
    """

    def __init__(self, web: DicomWeb) -> None:
        self._web = web

    async def probe(self) -> None:
        """Search for nothing.

        Raises
        ------
        GatewayUnavailable
            The gateway is away.
        """
        await self._web.json("/studies", {"StudyInstanceUID": "2.25.0", "limit": "1"})

    async def counts(self, studies: Collection[str]) -> dict[str, int]:
        """Instances of each of these studies that the gateway has."""
        found: dict[str, int] = {}
        asked = list(studies)
        for start in range(0, len(asked), _UIDS_AT_ONCE):
            part = asked[start : start + _UIDS_AT_ONCE]
            rows = await self._web.json("/studies", {"StudyInstanceUID": ",".join(part), "limit": str(len(part))})
            found |= {qido.text(row, "0020000D"): qido.number(row, "00201208") or 0 for row in rows}
        return found

    async def instances(self, study: str) -> frozenset[str]:
        """SOP Instance UIDs of a study that the gateway has."""
        return frozenset(one.sop_instance_uid for one in await qido.instances_in(self._web, study))

    async def store(self, study: str, objects: AsyncIterator[Object]) -> list[int]:
        """Pass objects on as they come, in requests of a bounded size; nothing is held in memory.

        Parameters
        ----------
        study
            Study Instance UID; the gateway refuses objects of another one.
        objects
            The objects.

        Returns
        -------
        list of int
            Failure Reason (PS3.18 annex I.2) of each object that was refused.

        Raises
        ------
        GatewayUnavailable
            The gateway is away or out of space.
        TransientFailure
            It failed on this request.
        """
        refused: list[int] = []
        batches = _Batches(objects)
        while await batches.more():
            boundary = uuid.uuid4().hex
            kind = f'multipart/related; type="application/dicom"; boundary={boundary}'
            response = await self._web.post(f"/studies/{study}", kind, batches.body(boundary))
            if response.status_code == HTTPStatus.OK:
                continue
            if response.status_code not in (HTTPStatus.ACCEPTED, HTTPStatus.CONFLICT):
                raise self._web.failure(response)
            try:
                refused += failure_reasons(response.json())
            except ValueError as error:
                raise TransientFailure("the gateway's answer to STOW-RS is not DICOM JSON: see its log") from error
        return refused

    async def aclose(self) -> None:
        """Close the connections."""
        await self._web.aclose()


class _Batches:
    """Cuts a stream of objects into bodies of requests."""

    def __init__(self, objects: AsyncIterator[Object]) -> None:
        self._objects = objects
        self._next: Object | None = None

    async def more(self) -> bool:
        """Whether there is another object; waits for it."""
        if self._next is None:
            self._next = await anext(self._objects, None)
        return self._next is not None

    async def body(self, boundary: str) -> AsyncIterator[bytes]:
        """Multipart body of the next objects, at least one."""
        head = part_head(boundary, {"Content-Type": "application/dicom"})
        size = count = 0
        while size < BATCH_BYTES and count < BATCH_OBJECTS and await self.more():
            current, self._next = self._next, None
            yield head
            if current is not None:
                async for chunk in current:
                    size += len(chunk)
                    yield chunk
            count += 1
        yield closing(boundary)


def failure_reasons(body: Any) -> list[int]:
    """Failure Reasons of a Store Instances Response that is not all success."""
    items = [
        item
        for sequence in (_FAILED_SOP_SEQUENCE, _OTHER_FAILURES_SEQUENCE)
        for item in (body.get(sequence, {}).get("Value") or [] if isinstance(body, dict) else [])
    ]
    return [qido.number(item, _FAILURE_REASON) or 0 for item in items]
