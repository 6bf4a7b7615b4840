"""Objects that a PACS holds, by C-FIND and C-GET in the Study Root model (PS3.4 C.6.2). Blocking.

C-GET needs no listener of ours: the objects come on the association that asks. A PACS that does not offer it to us
is not asked.
"""

from __future__ import annotations

import io
import logging
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from pydicom import Dataset, dcmread
from pydicom.errors import InvalidDicomError

from producers.dimse.outbound import Delivery, Outbound
from producers.dimse.peers import Peer
from producers.dimse.proposals import FALLBACKS, Context
from producers.dimse.requestor import Proposal, Take, Timeouts, associated
from producers.store.part10 import FileMeta, encode_header
from schemas.errors import DestinationUnavailable, PermanentRejection
from schemas.logs import fields

log = logging.getLogger(__name__)

#: Where the address of the PACS is configured.
ENTRY: Final = "SCANSTREAM_STOW_HOST, SCANSTREAM_STOW_PORT and SCANSTREAM_STOW_AE_TITLE"

_FIND: Final = "1.2.840.10008.5.1.4.1.2.2.1"
_GET: Final = "1.2.840.10008.5.1.4.1.2.2.3"
_COMPREHENSIVE_SR: Final = "1.2.840.10008.5.1.4.1.1.88.33"
_COMPREHENSIVE_3D_SR: Final = "1.2.840.10008.5.1.4.1.1.88.34"
_SUCCESS: Final = 0x0000
_CANNOT_UNDERSTAND: Final = 0xC000
_MOST_SERIES: Final = 200
#: Besides that of C-GET itself.
_MOST_CONTEXTS: Final = 127


@dataclass(frozen=True)
class Wanted:
    """UIDs of an instance that may be there; it may come in this transfer syntax, or uncompressed."""

    study_instance_uid: str
    series_instance_uid: str
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


@dataclass(frozen=True)
class Held:
    """What one PACS holds.

    Attributes
    ----------
    peer
        The PACS.
    ae_title
        Ours.
    timeouts
        Limits of associations.
    probe
        C-ECHO; raises when the PACS is away.
    tls
        For a peer whose entry has ``tls``.
    """

    peer: Peer
    ae_title: str
    timeouts: Timeouts
    probe: Callable[[], None]
    tls: ssl.SSLContext | None = None

    def instances(self, wanted: Sequence[Wanted]) -> dict[str, Dataset]:
        """Those of some instances that the PACS has and gives, by SOP Instance UID.

        Raises
        ------
        DestinationUnavailable
            The PACS is away.
        """
        keys = []
        for one in wanted:
            identifier = Dataset()
            identifier.QueryRetrieveLevel = "IMAGE"
            identifier.StudyInstanceUID = one.study_instance_uid
            identifier.SeriesInstanceUID = one.series_instance_uid
            identifier.SOPInstanceUID = one.sop_instance_uid
            keys.append(identifier)
        pairs = dict.fromkeys(
            (one.sop_class_uid, syntax) for one in wanted for syntax in (one.transfer_syntax_uid, *FALLBACKS)
        )
        contexts = [Context(sop_class, (syntax,), as_scp=True) for sop_class, syntax in pairs]
        return {str(found.get("SOPInstanceUID")): found for found in self._get(keys, contexts[:_MOST_CONTEXTS])}

    def reports(self, study: str) -> list[Dataset]:
        """Comprehensive structured reports of a study; none from a PACS without C-FIND or C-GET for us.

        Raises
        ------
        DestinationUnavailable
            The PACS is away.
        """
        keys = []
        for uid in self._series(study)[:_MOST_SERIES]:
            series = Dataset()
            series.QueryRetrieveLevel = "SERIES"
            series.StudyInstanceUID, series.SeriesInstanceUID = study, uid
            keys.append(series)
        classes = (_COMPREHENSIVE_3D_SR, _COMPREHENSIVE_SR)
        return self._get(keys, [Context(uid, FALLBACKS, as_scp=True) for uid in classes]) if keys else []

    def _series(self, study: str) -> list[str]:
        keys = Dataset()
        keys.QueryRetrieveLevel, keys.StudyInstanceUID, keys.Modality = "SERIES", study, "SR"
        keys.SeriesInstanceUID = ""
        found: list[str] = []

        def find(outbound: Outbound) -> None:
            found.extend(str(match.get("SeriesInstanceUID")) for match in outbound.find(keys, _FIND))

        self._ask([Context(_FIND, FALLBACKS)], find)
        return sorted(found)

    def _get(self, keys: Sequence[Dataset], contexts: Sequence[Context]) -> list[Dataset]:
        come: list[Dataset] = []

        def take(delivery: Delivery) -> int:
            meta = FileMeta(delivery.transfer_syntax_uid, delivery.sop_class_uid, delivery.sop_instance_uid)
            try:
                come.append(dcmread(io.BytesIO(encode_header(meta) + delivery.data_set)))
            except (InvalidDicomError, EOFError, ValueError, OSError):
                return _CANNOT_UNDERSTAND
            return _SUCCESS

        def get(outbound: Outbound) -> None:
            for identifier in keys:
                for _ in outbound.get(identifier, _GET):
                    pass

        self._ask([Context(_GET, FALLBACKS), *contexts], get, take)
        return come

    def _ask(self, contexts: Sequence[Context], ask: Callable[[Outbound], None], take: Take | None = None) -> None:
        """Ask on an association of its own; a PACS that is there and does not answer us has nothing to say."""
        try:
            with associated(
                self.peer,
                self.ae_title,
                Proposal(contexts),
                timeouts=self.timeouts,
                tls=self.tls,
                take=take,
                entry=ENTRY,
            ) as outbound:
                ask(outbound)
        except PermanentRejection as error:
            log.info("the PACS cannot be asked what it has", extra=fields(reason=str(error)))
        except DestinationUnavailable as error:
            # some break off when who asks is not on their list
            self.probe()
            log.info("the PACS cannot be asked what it has", extra=fields(reason=str(error)))
