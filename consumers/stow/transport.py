"""What the writer needs of a way into a PACS, whether it speaks DICOMweb or DIMSE."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from pydicom import Dataset

from consumers.dicom.render import RenderedObject
from schemas.events import ObjectOutcome


class Transport(Protocol):
    """One PACS. Called from several threads at once."""

    def store(self, objects: Sequence[RenderedObject]) -> tuple[ObjectOutcome, ...]:
        """Store objects of one study.

        Parameters
        ----------
        objects
            At least one, in the order in which they are to be stored.

        Returns
        -------
        tuple of ObjectOutcome
            One for each, in their order: ``STORED`` for what the PACS has with our content, else ``FAILED``.

        Raises
        ------
        DestinationUnavailable
            The PACS is away, asks for time, or would refuse every instance alike.
        TransientFailure
            It failed on these instances in a way that may pass.
        """
        ...

    def reports(self, study_instance_uid: str) -> list[Dataset]:
        """Structured reports that the PACS has of a study; none where it cannot be asked.

        Raises
        ------
        DestinationUnavailable, TransientFailure
            It cannot answer now.
        """
        ...

    def probe(self) -> None:
        """Ask for as little as possible.

        Raises
        ------
        DestinationUnavailable
            The PACS is away.
        """
        ...

    def close(self) -> None:
        """Close what is held open."""
        ...
