"""DICOM files → C-STORE requests on one association after another, byte for byte as they are on disk.

The data set is streamed from the file without being decoded, so nothing is repaired or lost on the way. An
answer with status success or warning (PS3.7 annex C) means that the far side has the instance durably.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from dashboards.terminal.dicom_files import DicomFile
from schemas.errors import DestinationUnavailable, PermanentRejection

#: Presentation contexts have odd ids up to 255 (PS3.8 9.3.2.2).
MAX_CONTEXTS: Final = 128
DIMSE_TIMEOUT_S: Final = 60


@dataclass(frozen=True)
class Target:
    """A storage SCP and the name by which we call ourselves."""

    host: str
    port: int
    called_ae_title: str
    calling_ae_title: str

    def __str__(self) -> str:
        return f"{self.called_ae_title} at {self.host}:{self.port}"


@dataclass(frozen=True)
class Answer:
    """What became of one file: status 0x0000 is success; ``reason`` is a sentence when it was not stored."""

    file: DicomFile
    stored: bool
    status: int | None
    seconds: float
    reason: str | None = None


def send(
    files: Sequence[DicomFile], target: Target, clock: Callable[[], float] = time.perf_counter
) -> Iterator[Answer]:
    """Send files and yield an answer for each.

    Raises
    ------
    DestinationUnavailable
        Nobody listens there, or the association broke.
    PermanentRejection
        The far side refuses to talk to us.
    """
    for batch in batches(files):
        with association(batch, target) as established:
            for file in batch:
                yield _store(established, file, target, clock)


def batches(files: Sequence[DicomFile]) -> Iterator[list[DicomFile]]:
    """Files in groups whose SOP classes and transfer syntaxes fit into one association. Pure."""
    batch: list[DicomFile] = []
    contexts: set[tuple[str, str]] = set()
    for file in files:
        context = (file.sop_class_uid, file.transfer_syntax_uid)
        if context not in contexts and len(contexts) == MAX_CONTEXTS:
            yield batch
            batch, contexts = [], set()
        batch.append(file)
        contexts.add(context)
    if batch:
        yield batch


@contextmanager
def association(files: Sequence[DicomFile], target: Target) -> Iterator[Any]:
    """Association that offers what the files need; released at the end of the block."""
    from pynetdicom import _config

    from producers.dimse.connection import Requestor
    from producers.dimse.receiving import receive_all

    # the file's own bytes, not pydicom's idea of them
    _config.STORE_SEND_CHUNKED_DATASET = True
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    entity = Requestor(target.calling_ae_title, DIMSE_TIMEOUT_S)
    entity.acse_timeout = entity.network_timeout = DIMSE_TIMEOUT_S
    entity.connection_timeout = 5
    entity.dimse_timeout = DIMSE_TIMEOUT_S
    for sop_class, syntax in sorted({(file.sop_class_uid, file.transfer_syntax_uid) for file in files}):
        entity.add_requested_context(sop_class, syntax)
    established = entity.associate(target.host, target.port, ae_title=target.called_ae_title)
    try:
        if not established.is_established:
            raise _refusal(established, target)
        receive_all(established)
        yield established
    finally:
        if established.is_established:
            established.release()


def _refusal(attempt: Any, target: Target) -> DestinationUnavailable | PermanentRejection:
    if attempt.is_rejected:
        primitive = attempt.acceptor.primitive
        return PermanentRejection(
            f"{target} rejects the association ({primitive.reason_str}): check the AE titles (--called, --calling)"
        )
    if attempt.acceptor.primitive is not None:
        return PermanentRejection(f"{target} takes none of the SOP classes and transfer syntaxes of these files")
    return DestinationUnavailable(
        f"nothing answers for {target}: start the stack (scanstream up), or name --host and --port"
    )


def _store(established: Any, file: DicomFile, target: Target, clock: Callable[[], float]) -> Answer:
    if not established.is_established:
        raise DestinationUnavailable(f"{target} broke the association: see the gateway's log and send again")
    started = clock()
    try:
        response = established.send_c_store(file.path)
    except ValueError:
        from pydicom.uid import UID

        names = f"{UID(file.sop_class_uid).name} in {UID(file.transfer_syntax_uid).name}"
        reason = f"{target} does not take {names}: convert the file to a transfer syntax that it takes"
        return Answer(file, False, None, clock() - started, reason)
    except RuntimeError as error:
        raise DestinationUnavailable(f"{target} broke the association ({error}): send again") from error
    status = response.get("Status")
    if status is None:
        raise DestinationUnavailable(
            f"{target} did not answer, or aborted, at {file.path.name}: see the gateway's log and send again"
        )
    code = int(status)
    # 0xB000, 0xB006, 0xB007: stored with a warning (PS3.4 B.2.3)
    stored = code == 0x0000 or code >> 12 == 0xB
    comment = str(response.get("ErrorComment", ""))
    return Answer(file, stored, code, clock() - started, None if stored else _why(code, comment))


def _why(status: int, comment: str) -> str:
    """Sentence for a C-STORE failure status (PS3.4 B.2.3)."""
    said = f": {comment}" if comment else ""
    if status >> 8 == 0xA7:
        return f"the gateway is out of resources (0x{status:04X}){said}; free disk space and send again"
    if status >> 8 == 0xA9:
        return f"the data set does not match its SOP class (0x{status:04X}){said}; export it again"
    if status >> 12 == 0xC:
        return f"the gateway cannot understand the data set (0x{status:04X}){said}; export it again"
    return f"the gateway refused it (0x{status:04X}){said}; see the gateway's log"
