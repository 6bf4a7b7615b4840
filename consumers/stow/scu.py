"""DICOM objects → a PACS without DICOMweb, by C-STORE (PS3.4 B), and back what became of each of them. Blocking.

One association carries the objects of a result. Guarantee: an instance is reported as stored only when the PACS
answered so, or when C-GET shows that it has it with our content.
"""

from __future__ import annotations

import io
import ssl
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from pydicom import Dataset, dcmread, dcmwrite
from pydicom.uid import UID

from consumers.dicom.render import RenderedObject
from consumers.stow import status
from consumers.stow.held import ENTRY, Held, Wanted
from consumers.stow.sameness import differs_at
from consumers.stow.standing import ABSENT, Standing
from producers.dimse.outbound import Answer, Outbound
from producers.dimse.peers import Peer
from producers.dimse.proposals import FALLBACKS, Context
from producers.dimse.requestor import Proposal, Timeouts, associated
from producers.store.part10 import split
from schemas.errors import DestinationUnavailable, PermanentRejection, TransientFailure
from schemas.events import ObjectOutcome

_VERIFICATION: Final = Context("1.2.840.10008.1.1", FALLBACKS)


class StorageScu:
    """See :class:`consumers.stow.transport.Transport`.

    Parameters
    ----------
    peer
        The PACS.
    ae_title
        Ours.
    timeouts
        Limits of associations.
    tls
        For a peer whose entry has ``tls``.
    """

    def __init__(self, peer: Peer, ae_title: str, timeouts: Timeouts, tls: ssl.SSLContext | None = None) -> None:
        self._peer = peer
        self._ae_title = ae_title
        self._timeouts = timeouts
        self._tls = tls
        self._held = Held(peer, ae_title, timeouts, self.probe, tls)

    def store(self, objects: Sequence[RenderedObject]) -> tuple[ObjectOutcome, ...]:
        """Store objects of one study.

        Raises
        ------
        DestinationUnavailable
            The PACS is away, is busy, has no resources, or refuses our associations.
        TransientFailure
            It failed on one of these instances in a way that may pass, or broke off when it got it.
        """
        wanted = [_wanted(item) for item in objects]
        pairs = dict.fromkeys(
            (one.sop_class_uid, syntax) for one in wanted for syntax in (one.transfer_syntax_uid, *FALLBACKS)
        )
        contexts = [Context(sop_class, (syntax,)) for sop_class, syntax in pairs]
        try:
            # with Verification an association stands also where the PACS takes none of the objects
            with associated(
                self._peer,
                self._ae_title,
                Proposal([_VERIFICATION, *contexts]),
                timeouts=self._timeouts,
                tls=self._tls,
                entry=ENTRY,
            ) as outbound:
                answers = [
                    self._sent(outbound, item, one.transfer_syntax_uid)
                    for item, one in zip(objects, wanted, strict=True)
                ]
        except PermanentRejection as error:
            # of the association: every result would be refused alike, until somebody corrects a setting
            raise DestinationUnavailable(str(error)) from error
        # some PACS refuse what they have already
        refused = [
            one for one, answer in zip(wanted, answers, strict=True) if answer is not None and not answer.ok
        ]
        theirs = self._held.instances(refused) if refused else {}
        return tuple(
            self._outcome(item, answer, theirs.get(item.sop_instance_uid))
            for item, answer in zip(objects, answers, strict=True)
        )

    def reports(self, study_instance_uid: str) -> list[Dataset]:
        """Structured reports of a study, by C-FIND and C-GET; none from a PACS that does not offer both."""
        return self._held.reports(study_instance_uid)

    def probe(self) -> None:
        """C-ECHO.

        Raises
        ------
        DestinationUnavailable
            The PACS is away, or refuses our associations.
        """
        try:
            with associated(
                self._peer,
                self._ae_title,
                Proposal([_VERIFICATION]),
                timeouts=self._timeouts,
                tls=self._tls,
                entry=ENTRY,
            ) as outbound:
                outbound.echo()
        except PermanentRejection as error:
            raise DestinationUnavailable(str(error)) from error

    def close(self) -> None:
        """Nothing is held open between two results."""

    def _sent(self, outbound: Outbound, item: RenderedObject, stored_as: str) -> Answer | None:
        """Answer to one object, ``None`` when the PACS takes no transfer syntax of its SOP class."""
        wanted = next((uid for uid in (stored_as, *FALLBACKS) if outbound.accepts(item.sop_class_uid, uid)), None)
        if wanted is None:
            return None
        data = item.data if wanted == stored_as else _converted(item.data, wanted)
        with tempfile.NamedTemporaryFile(suffix=".dcm") as file:
            file.write(data)
            file.flush()
            try:
                return outbound.store(Path(file.name), len(data))
            except (DestinationUnavailable, PermanentRejection) as error:
                # A PACS that is away is waited for; one that breaks off at this instance must not hold up others.
                self.probe()
                raise TransientFailure(
                    f"{error}; it takes associations, and broke off at a {UID(item.sop_class_uid).name}"
                ) from error

    def _outcome(self, item: RenderedObject, answer: Answer | None, theirs: Dataset | None) -> ObjectOutcome:
        if answer is None:
            return status.not_negotiated(item, self._peer.ae_title)
        standing = ABSENT if theirs is None else Standing(is_there=True, differs_at=differs_at(item.data, theirs))
        return status.outcome(item, answer, standing, self._peer.ae_title)


def _wanted(item: RenderedObject) -> Wanted:
    return Wanted(
        item.study_instance_uid,
        item.series_instance_uid,
        item.sop_class_uid,
        item.sop_instance_uid,
        split(item.data)[0].transfer_syntax_uid,
    )


def _converted(data: bytes, transfer_syntax_uid: str) -> bytes:
    """The same object uncompressed, in another transfer syntax."""
    dataset = dcmread(io.BytesIO(data))
    if dataset.file_meta.TransferSyntaxUID.is_compressed:
        dataset.decompress(generate_instance_uid=False)
    dataset.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    buffer = io.BytesIO()
    dcmwrite(buffer, dataset, enforce_file_format=True)
    return buffer.getvalue()
