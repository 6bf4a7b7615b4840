"""A-ASSOCIATE-RJ of a peer → an error that says what to do at which side (PS3.8 9.3.4). Pure."""

from __future__ import annotations

from typing import Final

from schemas.errors import DestinationUnavailable, PermanentRejection, ScanstreamError

PEERS_ENTRY: Final = "its entry in the peers file"

_TRANSIENT: Final = 2
_USER: Final = 1
_CALLING_AE_TITLE: Final = 3
_CALLED_AE_TITLE: Final = 7


def rejection(
    peer: str, address: str, ours: str, result: int, source: int, reason: int, entry: str = PEERS_ENTRY
) -> ScanstreamError:
    """Error for a rejected association.

    Parameters
    ----------
    peer, address
        AE title of the peer, and where it listens.
    ours
        AE title that we called with.
    result, source, reason
        As in the rejection; source 1 is the peer's application, 2 and 3 its provider.
    entry
        Where the peer's title and address are configured.

    Returns
    -------
    ScanstreamError
        :class:`DestinationUnavailable` when it says that it may pass, else :class:`PermanentRejection` whose
        ``code`` is ``source * 256 + reason``.
    """
    if result == _TRANSIENT:
        return DestinationUnavailable(
            f"{peer} at {address} takes no association now (source {source}, reason {reason}): it is busy or at "
            "its limit of associations"
        )
    if source == _USER and reason == _CALLING_AE_TITLE:
        remedy = f"register our AE title {ours} in the list of known application entities of {peer}"
    elif source == _USER and reason == _CALLED_AE_TITLE:
        remedy = f"the application at {address} is not called {peer}: correct {entry}"
    else:
        remedy = f"look at the log of {peer} for the association of {ours}"
    return PermanentRejection(
        f"{peer} at {address} rejects associations for good (source {source}, reason {reason}): {remedy}",
        source << 8 | reason,
    )
