"""Message → JSON to a URL, signed as callbacks are (Standard Webhooks 1.0, scheme ``v1``).

``webhook-id`` and ``Idempotency-Key`` are the identity of the notice.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from datetime import datetime
from typing import Any

from consumers.callback import signature
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
    key
        Signs; ``None``: not signed.
    token
        Bearer token, or ``None``.
    timeout_s
        Longest wait for each step of an answer, in seconds.
    now
        Clock of the signature.
    """

    def __init__(
        self,
        url: str | None,
        key: bytes | None,
        token: str | None,
        timeout_s: float,
        now: Callable[[], datetime],
    ) -> None:
        self._url = url
        self._key = key
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
        body = json.dumps(payload(message), ensure_ascii=False, allow_nan=False).encode()
        if self._key is None:
            headers = {"Idempotency-Key": f'"{message.notice_id}"'}
        else:
            headers = signature.headers(self._key, message.notice_id, body, self._now())
        self._http.post(url, body, headers)


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
        # an alarm is told also where a number of it is none, which JSON has no word for
        "probability": step.probability if math.isfinite(step.probability or 0.0) else None,
        "result_at": to_json(step.result_at),
        "language": message.language.value,
        "subject": message.subject,
        "text": "\n".join(message.lines),
        "acknowledge_url": message.link,
    }
