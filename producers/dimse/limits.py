"""What one association may take of time and space."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Times in seconds, lengths in bytes.

    Attributes
    ----------
    max_pdu_bytes
        Longest P-DATA-TF that we take (Maximum Length Received, PS3.8 D.1).
    artim_timeout_s
        Until an association is requested, and until the peer closes after the last PDU (PS3.8 9.1.5).
    idle_timeout_s
        Longest time without a whole PDU, an answer to a request of ours, or the taking of our answers.
    message_timeout_s
        Longest time for one message, however steadily its fragments come.
    """

    max_pdu_bytes: int
    artim_timeout_s: float
    idle_timeout_s: float
    message_timeout_s: float = 900.0
