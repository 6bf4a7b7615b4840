"""DICOM objects → a PACS in one STOW-RS request, and back what became of each of them.

The body is streamed part by part with a known length. Connections are reused; safe to use from several threads.
Guarantee: an instance is reported as stored only when the answer names it or QIDO-RS finds it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

import httpx

from consumers.destination import is_http_url
from consumers.dicom.render import RenderedObject
from consumers.stow import verdict
from consumers.stow.answer import found_instances, store_answer
from producers.dicomweb.multipart import closing, part_head
from schemas.errors import ConfigurationError, DestinationUnavailable, TransientFailure
from schemas.events import ObjectOutcome

_JSON: Final = "application/dicom+json"
_CONNECT_TIMEOUT_S: Final = 5.0
#: A study that no PACS has: a search for it is cheap and returns nobody's data.
_NO_STUDY: Final = "2.25.0"


class StowClient:
    """Client of one DICOMweb service.

    Parameters
    ----------
    root
        DICOMweb root, such as ``http://pacs/dicom-web``.
    auth
        User name and password (RFC 7617), or ``None``.
    timeout_s
        Longest wait for one answer, in seconds.
    agent
        ``User-Agent``, so that the log of the PACS says who wrote.
    now
        Clock, for ``Retry-After`` dates.

    Raises
    ------
    ConfigurationError
        ``root`` is not an HTTP URL.
    """

    def __init__(
        self,
        root: str,
        auth: tuple[str, str] | None,
        timeout_s: float,
        agent: str = "scanstream",
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        if not is_http_url(root):
            raise ConfigurationError(f"SCANSTREAM_STOW_PACS_URL is {root!r}: set it to an http or https URL")
        self._root = root.rstrip("/")
        self._now = now
        timeout = httpx.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_TIMEOUT_S))
        headers = {"Accept": _JSON, "User-Agent": agent}
        self._http = httpx.Client(auth=auth, timeout=timeout, headers=headers, follow_redirects=False)

    def store(self, objects: Sequence[RenderedObject]) -> tuple[ObjectOutcome, ...]:
        """Store objects of one study.

        A connection that breaks while the request is under way is tried once more at once, as the PACS may have
        closed an idle one; the second write is the same write.

        Raises
        ------
        DestinationUnavailable
            The PACS is away, asks for time, or would refuse every instance alike.
        TransientFailure
            It failed on these instances in a way that may pass.
        """
        study = objects[0].study_instance_uid
        try:
            response = self._post(study, objects)
        except TransientFailure:
            response = self._post(study, objects)
        refused = verdict.refusal(response.status_code, response.headers.get("Retry-After"), self._now())
        if refused is not None:
            raise refused
        answer = store_answer(response.content)
        status = response.status_code
        return tuple(
            verdict.outcome(
                status,
                answer,
                item,
                self.instance_url(item),
                present=verdict.is_clear(status, answer, item.sop_instance_uid) or self.has(item),
            )
            for item in objects
        )

    def has(self, item: RenderedObject) -> bool:
        """Whether QIDO-RS finds an instance; a PACS that cannot be asked counts as not having it.

        Raises
        ------
        DestinationUnavailable
            The PACS is away.
        """
        path = f"/studies/{item.study_instance_uid}/series/{item.series_instance_uid}/instances"
        response = self._send("GET", path, params={"SOPInstanceUID": item.sop_instance_uid})
        return response.status_code == httpx.codes.OK and item.sop_instance_uid in found_instances(
            response.content
        )

    def probe(self) -> None:
        """Search for a study that does not exist.

        Raises
        ------
        DestinationUnavailable
            The PACS does not answer, or not as a DICOMweb service.
        """
        params = {"StudyInstanceUID": _NO_STUDY, "limit": "1"}
        response = self._send("GET", "/studies", params=params)
        refused = verdict.refusal(response.status_code, response.headers.get("Retry-After"), self._now())
        if refused is not None:
            raise refused
        if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise DestinationUnavailable(f"the PACS answers {response.status_code} to a search: check its log")

    def instance_url(self, item: RenderedObject) -> str:
        """WADO-RS URL of an instance at the PACS."""
        return (
            f"{self._root}/studies/{item.study_instance_uid}/series/{item.series_instance_uid}"
            f"/instances/{item.sop_instance_uid}"
        )

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _post(self, study: str, objects: Sequence[RenderedObject]) -> httpx.Response:
        boundary = uuid.uuid4().hex
        head = part_head(boundary, {"Content-Type": "application/dicom"})
        end = closing(boundary)
        length = sum(len(head) + len(item.data) for item in objects) + len(end)
        headers = {
            "Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}',
            "Content-Length": str(length),
        }
        return self._send("POST", f"/studies/{study}", headers=headers, content=_body(head, objects, end))

    def _send(
        self,
        method: str,
        path: str,
        *,
        headers: dict[str, str] | None = None,
        params: dict[str, str] | None = None,
        content: Iterator[bytes] | None = None,
    ) -> httpx.Response:
        try:
            return self._http.request(method, self._root + path, headers=headers, params=params, content=content)
        except (httpx.ReadError, httpx.WriteError, httpx.RemoteProtocolError) as error:
            raise TransientFailure(
                f"the PACS broke the connection during the request ({type(error).__name__}): check its log"
            ) from error
        except httpx.HTTPError as error:
            raise DestinationUnavailable(
                f"the PACS does not answer ({type(error).__name__}): start it or correct SCANSTREAM_STOW_PACS_URL"
            ) from error


def _body(head: bytes, objects: Sequence[RenderedObject], end: bytes) -> Iterator[bytes]:
    for item in objects:
        yield head
        yield item.data
    yield end
