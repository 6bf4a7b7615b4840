"""A STOW client of a scripted PACS, and the scripts that most tests need."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from consumers.dicom.render import RenderedObject
from consumers.stow.client import StowClient
from consumers.stow.web import DicomWeb
from tests.consumers.stow.pacs import Answer, Request, ScriptedPacs, found, given


@contextmanager
def connected(
    pacs: ScriptedPacs, *, timeout_s: float = 30.0, batch_bytes: int = 1 << 30, auth: tuple[str, str] | None = None
) -> Iterator[StowClient]:
    web = DicomWeb(pacs.url, auth, timeout_s)
    yield StowClient(web, batch_bytes)
    web.close()


def answering(pacs: ScriptedPacs, post: Answer, *present: RenderedObject) -> None:
    """One answer to every POST; searches find the objects that are present, and they are given back."""

    def script(request: Request) -> Answer:
        if request.method == "POST":
            return post
        for item in present:
            if request.path.endswith(f"/instances/{item.sop_instance_uid}"):
                return given(item.data)
        uids = [item.sop_instance_uid for item in present]
        return found(*(uid for uid in uids if f"SOPInstanceUID={uid}" in request.path))

    pacs.script = script
