"""Result → SEG and SR in the PACS: fetch headers and masks by claim check, render, store in one request.

Guarantee: idempotent. UIDs follow from the result, so a result that is delivered again is the same objects again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol

from pydicom import Dataset

from consumers.destination import from_source
from consumers.dicom.material import Material
from consumers.dicom.plan import Plan
from consumers.dicom.render import render, tolerate_source_values
from consumers.dicom.source import prepare
from consumers.dicom.warmup import warm_up
from consumers.stow.client import StowClient
from producers.artifacts import MASK_MEDIA_TYPE, unpack_mask
from producers.claim_check import ClaimCheck
from producers.process import Process
from schemas.destinations import StowSettings
from schemas.errors import ConfigurationError, InvalidMessage
from schemas.events import Artifact, InferenceResult, ObjectOutcome

MASK: Final = "mask"


class Source(Protocol):
    """Where headers of source images and masks come from."""

    def fetch_headers(
        self, retrieve_url: str, series_instance_uid: str, sop_instance_uids: Sequence[str]
    ) -> list[Dataset]:
        """Headers, without pixels, of these instances."""
        ...

    def get_artifact(self, artifact: Artifact) -> bytes:
        """Verified bytes of an artifact."""
        ...


class StowDestination:
    """The PACS as a destination.

    Parameters
    ----------
    client
        Client of the PACS.
    source
        Where headers and masks come from.
    """

    name = "stow"
    wants_failures = False

    def __init__(self, client: StowClient, source: Source) -> None:
        self._client = client
        self._source = source

    def deliver(self, result: InferenceResult) -> tuple[ObjectOutcome, ...]:
        """Store SEG and SR of a result; see :class:`consumers.destination.Destination`.

        Raises
        ------
        InvalidMessage
            The result, its masks and its source images contradict each other.
        """
        artifacts = [artifact for artifact in result.artifacts if artifact.kind == MASK]
        for artifact in artifacts:
            if artifact.media_type != MASK_MEDIA_TYPE or len(artifact.shape) != 3:
                raise InvalidMessage(
                    f"a mask of media type {artifact.media_type} and shape {artifact.shape} cannot be read: "
                    "update this writer to the release of the worker"
                )
        with from_source():
            headers = self._source.fetch_headers(
                result.retrieve_url, result.series_instance_uid, result.sop_instance_uids
            )
            masks = [unpack_mask(self._source.get_artifact(artifact), artifact.shape) for artifact in artifacts]
        images = {str(header.SOPInstanceUID): header for header in headers}
        material = Material(prepare(result, headers), images.__getitem__, masks)
        return self._client.store(render(result, material, Plan()))

    def probe(self) -> None:
        """Ask the PACS for a study that it does not have."""
        self._client.probe()


def build(process: Process) -> StowDestination:
    """Destination from the settings of the environment; loads everything that the first result needs.

    Parameters
    ----------
    process
        The writer's process; its name is told to the PACS.

    Raises
    ------
    ConfigurationError
        The address is not an HTTP URL, or only one of user name and password is set.
    """
    settings = StowSettings()
    if (settings.username is None) != (settings.password is None):
        raise ConfigurationError("set SCANSTREAM_STOW_USERNAME and SCANSTREAM_STOW_PASSWORD together, or neither")
    auth = None
    if settings.username is not None and settings.password is not None:
        auth = (settings.username, settings.password.get_secret_value())
    client = StowClient(settings.pacs_url, auth, settings.timeout_s, agent=f"scanstream {process.name}")
    tolerate_source_values()
    warm_up(Plan())
    return StowDestination(client, ClaimCheck(settings.timeout_s))
