"""Message → JSON to a URL, signed as the Standard Webhooks specification says (1.0.0).

``webhook-id`` is the identity of the notice, ``webhook-timestamp`` seconds since 1970 and ``webhook-signature`` is
``v1,`` and base64 of HMAC-SHA256 over ``id.timestamp.body``. ``Idempotency-Key`` is the same identity.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

from consumers.escalation.channels.http import Poster
from consumers.escalation.channels.message import Message
from schemas.codec import to_json
from schemas.errors import PermanentRejection


class Webhook:
    """One configured webhook.

    Parameters
    ----------
    url
        Where contacts without an address of their own are told.
    secret
        Signs; ``None``: not signed.
    token
        Bearer token, or ``None``.
    timeout_s
        Longest wait for each step of an answer, in seconds.
    now
        Seconds since 1970.
    """

    def __init__(
        self,
        url: str | None,
        secret: str | None,
        token: str | None,
        timeout_s: float,
        now: Callable[[], float],
    ) -> None:
        self._url = url
        self._secret = secret
        self._now = now
        headers = {"Content-Type": "application/json; charset=utf-8"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        self._http = Poster(timeout_s, headers)

    def send(self, message: Message) -> None:
        """See :class:`~consumers.escalation.channels.message.Channel`."""
        url = message.address or self._url
        if not url:
            raise PermanentRejection("neither the contact nor the channel has a URL: correct the routes file")
        body = json.dumps(payload(message), ensure_ascii=False).encode()
        headers = {"Idempotency-Key": message.notice_id, "webhook-id": message.notice_id}
        stamp = str(int(self._now()))
        headers["webhook-timestamp"] = stamp
        if self._secret is not None:
            headers["webhook-signature"] = signature(self._secret, message.notice_id, stamp, body)
        self._http.post(url, body, headers)


def signature(secret: str, notice_id: str, stamp: str, body: bytes) -> str:
    """Value of ``webhook-signature``."""
    signed = b".".join((notice_id.encode(), stamp.encode(), body))
    return "v1," + base64.b64encode(hmac.new(secret.encode(), signed, hashlib.sha256).digest()).decode()


def payload(message: Message) -> dict[str, Any]:
    """What is posted: codes for programs, texts for people; no patient name or identifier."""
    step = message.step
    return {
        "id": message.notice_id,
        "type": "scanstream.escalation.notice",
        "rehearsal": step.rehearsal,
        "escalation_id": step.escalation_id,
        "level": message.level,
        "contact": message.contact,
        "priority": step.priority.value,
        "study_instance_uid": step.study_instance_uid,
        "accession_number": step.accession_number,
        "finding_id": step.finding_id,
        "finding": to_json(step.finding),
        "site": to_json(step.site),
        "laterality": to_json(step.laterality),
        "probability": step.probability,
        "result_at": to_json(step.result_at),
        "language": message.language.value,
        "subject": message.subject,
        "text": "\n".join(message.lines),
        "acknowledge_url": message.link,
    }
