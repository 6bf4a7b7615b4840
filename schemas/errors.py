"""Errors that say what the runtime must do.

::

    ScanstreamError
    ├── ConfigurationError        refuse to start; the message names the setting and the remedy
    ├── InvalidMessage            dead-letter it, never retry: the message itself is wrong
    │   ├── UnknownSchema         written with a schema this process does not have
    │   └── InvalidInput          the images cannot be processed by this model
    ├── DestinationUnavailable    pause and probe until it is back, without limit
    ├── TransientFailure          retry this message with backoff, a bounded number of times
    │   └── OutOfMemory           the engine has no room: a smaller batch, then another node
    └── PermanentRejection        the destination refused for good: outcome ``failed``, alert

Every message ends with what a person can do next.
"""

from __future__ import annotations


class ScanstreamError(Exception):
    """Base of all errors that this system raises on purpose."""


class ConfigurationError(ScanstreamError):
    """A setting, file or port prevents the start; the message names it and the remedy."""


class InvalidMessage(ScanstreamError):
    """The message can never be processed: it goes to the dead-letter topic, without a retry."""


class UnknownSchema(InvalidMessage):
    """The message names a schema (id or fingerprint) that cannot be found."""


class InvalidInput(InvalidMessage):
    """The study or series cannot be processed by this model; said to whoever asked, never retried."""


class DestinationUnavailable(ScanstreamError):
    """The far side is away: pause the partition and probe; order is kept and nothing is given up.

    Parameters
    ----------
    message
        What happened and what to check.
    retry_after_s
        Seconds the far side asked us to wait (RFC 9110 10.2.3), if it did.
    """

    def __init__(self, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class TransientFailure(ScanstreamError):
    """This message failed in a way that may pass: retried with backoff, then dead-lettered."""


class OutOfMemory(TransientFailure):
    """The engine has no memory for this batch: try a smaller one, and another node when one row is too much."""


class PermanentRejection(ScanstreamError):
    """The destination refused for good.

    Parameters
    ----------
    message
        The refusal and the remedy.
    code
        The far side's own code (HTTP status, DICOM failure reason), if any.
    """

    def __init__(self, message: str, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code
