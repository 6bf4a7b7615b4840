"""DICOM objects → a PACS by STOW-RS (PS3.18 10.5), and back what became of each of them.

The body is streamed object by object with a known length. Guarantee: an instance is reported as stored only when
the answer names it, or when QIDO-RS finds it and, unless the request was taken, WADO-RS shows that it is ours.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from typing import Final

import httpx
from pydicom import Dataset

from consumers.dicom.render import RenderedObject
from consumers.stow import verdict
from consumers.stow.answer import SERIES_INSTANCE_UID, SOP_INSTANCE_UID, store_answer, uids_of
from consumers.stow.batches import batches, halves
from consumers.stow.retrieved import instance
from consumers.stow.sameness import differs_at
from consumers.stow.standing import ABSENT, OURS, Standing
from consumers.stow.web import Answer, DicomWeb, NoAnswer
from producers.claim_check import header_of
from producers.dicomweb.multipart import closing, part_head
from producers.retrieved import TooLarge, Unreadable
from schemas.errors import TransientFailure
from schemas.events import ObjectOutcome

_AS_STORED: Final = 'multipart/related; type="application/dicom"; transfer-syntax=*'
#: Other programs write reports too, dose for example; more series than this no study has.
_MOST_SERIES: Final = 200


class StowClient:
    """See :class:`consumers.stow.transport.Transport`.

    Parameters
    ----------
    web
        Connection to the PACS.
    batch_bytes
        Most bytes of the objects in one request.
    """

    def __init__(self, web: DicomWeb, batch_bytes: int) -> None:
        self._web = web
        self._batch_bytes = batch_bytes

    def store(self, objects: Sequence[RenderedObject]) -> tuple[ObjectOutcome, ...]:
        """Store objects of one study, in as many requests as their sizes need.

        Raises
        ------
        DestinationUnavailable
            The PACS is away, asks for time, or would refuse every instance alike.
        TransientFailure
            It failed on these instances in a way that may pass.
        """
        return tuple(
            outcome for batch in batches(objects, self._batch_bytes) for outcome in self._store_batch(batch)
        )

    def reports(self, study_instance_uid: str) -> list[Dataset]:
        """Headers of the structured reports of a study; none from a PACS without QIDO-RS."""
        study = f"/studies/{study_instance_uid}"
        series = self._web.search(f"{study}/series", {"Modality": "SR"})
        uids = sorted(uids_of(series, SERIES_INSTANCE_UID))[:_MOST_SERIES]
        return [
            header_of(document) for uid in uids for document in self._web.search(f"{study}/series/{uid}/metadata")
        ]

    def probe(self) -> None:
        """Search for a study that does not exist; raises as :meth:`DicomWeb.probe`."""
        self._web.probe()

    def close(self) -> None:
        """Close the connections."""
        self._web.close()

    def instance_url(self, item: RenderedObject) -> str:
        """WADO-RS URL of an instance at the PACS."""
        return self._web.root + _path(item)

    def _store_batch(self, objects: Sequence[RenderedObject]) -> Iterator[ObjectOutcome]:
        response = self._post(objects)
        if response.status_code == verdict.TOO_LARGE and len(objects) > 1:
            for half in halves(objects):
                yield from self._store_batch(half)
            return
        self._web.require(response)
        answer, status = store_answer(response.content), response.status_code
        for item in objects:
            uid = item.sop_instance_uid
            if verdict.is_clear(status, answer, uid):
                standing = OURS
            else:
                standing = self._standing(item, compare=not verdict.is_believed(status, answer, uid))
            yield verdict.outcome(status, answer, item, self.instance_url(item), standing)

    def _post(self, objects: Sequence[RenderedObject]) -> Answer:
        try:
            return self._posted(objects)
        except NoAnswer as error:
            # A PACS that answers nobody is waited for; one that hangs on these instances must not hold up others.
            self._web.probe()
            raise TransientFailure(
                f"{error}; it answers other requests, so what it was doing with these instances is in its log"
            ) from error

    def _posted(self, objects: Sequence[RenderedObject]) -> Answer:
        boundary = uuid.uuid4().hex
        head = part_head(boundary, {"Content-Type": "application/dicom"})
        end = closing(boundary)
        length = sum(len(head) + len(item.data) for item in objects) + len(end)
        headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Content-Length": str(length),
        }
        path = f"/studies/{objects[0].study_instance_uid}"
        return self._web.send("POST", path, headers=headers, content=lambda: _body(head, objects, end))

    def _standing(self, item: RenderedObject, *, compare: bool) -> Standing:
        """What the PACS has of an instance, by QIDO-RS and, to compare it, by WADO-RS."""
        series = f"/studies/{item.study_instance_uid}/series/{item.series_instance_uid}"
        found = self._web.search(f"{series}/instances", {"SOPInstanceUID": item.sop_instance_uid})
        if item.sop_instance_uid not in uids_of(found, SOP_INSTANCE_UID):
            return ABSENT
        return self._compared(item) if compare else OURS

    def _compared(self, item: RenderedObject) -> Standing:
        with self._web.streamed(_path(item), {"Accept": _AS_STORED}) as response:
            if response.status_code == httpx.codes.NOT_FOUND:
                return ABSENT
            if response.status_code != httpx.codes.OK:
                self._web.require(response)
                raise TransientFailure(
                    f"the PACS has an instance of this UID and answers {response.status_code} when asked for it, "
                    "so it cannot be compared with ours: give this writer the right to retrieve"
                )
            try:
                # in another transfer syntax it is somewhat larger at most: ours are not compressed
                theirs = instance(
                    response.headers.get("Content-Type", ""),
                    self._web.pieces(response),
                    2 * len(item.data) + (1 << 20),
                )
            except TooLarge:
                return Standing(is_there=True, differs_at="its size")
            except Unreadable as error:
                raise TransientFailure(
                    f"the PACS has an instance of this UID, and {error}, so it cannot be compared with ours: "
                    "check for a proxy at SCANSTREAM_STOW_PACS_URL, and the log of the PACS"
                ) from error
        return Standing(is_there=True, differs_at=differs_at(item.data, theirs))


def _path(item: RenderedObject) -> str:
    return (
        f"/studies/{item.study_instance_uid}/series/{item.series_instance_uid}/instances/{item.sop_instance_uid}"
    )


def _body(head: bytes, objects: Sequence[RenderedObject], end: bytes) -> Iterator[bytes]:
    for item in objects:
        yield head
        yield item.data
    yield end
