"""What a v2 server answered → what the runtime must do about it."""

from __future__ import annotations

from typing import Final

from engines.memory import says_out_of_memory
from schemas.errors import (
    ConfigurationError,
    DestinationUnavailable,
    InvalidInput,
    OutOfMemory,
    ScanstreamError,
    TransientFailure,
)

#: HTTP statuses of a server, or of the proxy before it, that is not there now (RFC 9110 15.6).
_AWAY: Final = {502, 503, 504}
_DENIED: Final = {401, 403}


def of_http(server: str, status: int, said: str, retry_after_s: float | None = None) -> ScanstreamError:
    """Error of an HTTP status that is no success.

    Parameters
    ----------
    server
        Address, for the message.
    status
        HTTP status.
    said
        What the server said in its body.
    retry_after_s
        Seconds it asked us to wait (RFC 9110 10.2.3), if it did.
    """
    what = f"{server} answered {status}: {said}"
    if says_out_of_memory(said):
        return OutOfMemory(f"{what}; a smaller batch is tried, then another node")
    if status in _AWAY:
        return DestinationUnavailable(f"{what}; check the server", retry_after_s)
    if status in _DENIED:
        return ConfigurationError(f"{what}; allow this worker on the server")
    if status == 400:
        return InvalidInput(f"{what}; the model does not take this input")
    return TransientFailure(f"{what}; it is tried again")


def of_grpc(server: str, code: str, said: str) -> ScanstreamError:
    """Error of a gRPC status that is not OK.

    Parameters
    ----------
    server
        Address, for the message.
    code
        Name of the status (https://grpc.io/docs/guides/status-codes/), such as ``UNAVAILABLE``.
    said
        Message of the status.
    """
    what = f"{server} answered {code}: {said}"
    if says_out_of_memory(said):
        return OutOfMemory(f"{what}; a smaller batch is tried, then another node")
    match code:
        case "UNAVAILABLE":
            return DestinationUnavailable(f"{what}; check the server")
        case "UNAUTHENTICATED" | "PERMISSION_DENIED":
            return ConfigurationError(f"{what}; allow this worker on the server")
        case "INVALID_ARGUMENT" | "OUT_OF_RANGE":
            return InvalidInput(f"{what}; the model does not take this input")
        case _:
            return TransientFailure(f"{what}; it is tried again")
