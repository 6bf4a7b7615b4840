"""A modality, for tests and benchmarks: C-STORE of whole studies over pynetdicom, as often as it takes."""

from __future__ import annotations

import time

from pydicom.dataset import Dataset

from producers.dimse.connection import Requestor
from producers.dimse.receiving import receive_all


def send(study: list[Dataset], host: str, port: int, calling: str = "TEST_MR") -> float | None:
    """Send one study over one association.

    Returns
    -------
    float or None
        Wall clock (seconds since the epoch) of the last successful C-STORE response, before the release;
        ``None`` when anything was not answered with success.
    """
    # pynetdicom's own entity leaves a socket open for each connection that is refused
    modality = Requestor(calling, stall_s=15)
    modality.acse_timeout = modality.dimse_timeout = modality.network_timeout = 15
    modality.add_requested_context(study[0].SOPClassUID, study[0].file_meta.TransferSyntaxUID)
    association = modality.associate(host, port, ae_title="SCANSTREAM")
    if not association.is_established:
        return None
    receive_all(association)
    answered: float | None = None
    try:
        for image in study:
            status = association.send_c_store(image)
            answered = time.time()
            if getattr(status, "Status", None) != 0x0000:
                return None
    except (RuntimeError, ValueError):
        return None
    finally:
        if association.is_established:
            association.release()
    return answered


def send_until_stored(
    study: list[Dataset], host: str, port: int, timeout_s: float = 120, calling: str = "TEST_MR"
) -> float:
    """Send a study again until every image is acknowledged, as a modality does.

    Raises
    ------
    TimeoutError
        The gateway did not take it in time.
    """
    deadline = time.monotonic() + timeout_s
    while True:
        answered = send(study, host, port, calling)
        if answered is not None:
            return answered
        if time.monotonic() > deadline:
            raise TimeoutError("the gateway did not take the study")
        time.sleep(0.2)
