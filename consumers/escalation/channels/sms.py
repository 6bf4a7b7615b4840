"""Message → text message through a gateway's HTTP interface, whose body the routes file describes."""

from __future__ import annotations

import json
import re
from typing import Any
from urllib.parse import urlencode

from consumers.escalation.channels.http import Poster
from consumers.escalation.channels.message import Message
from consumers.escalation.routes import SmsChannel
from consumers.escalation.wording import short
from schemas.errors import TransientFailure


class Sms:
    """One configured gateway.

    Parameters
    ----------
    settings
        Of the channel.
    password, token
        Secrets, where it has them.
    """

    def __init__(self, settings: SmsChannel, password: str | None, token: str | None) -> None:
        self._settings = settings
        self._accepted = None if settings.accept_pattern is None else re.compile(settings.accept_pattern)
        form = settings.encoding == "form"
        headers = {"Content-Type": "application/x-www-form-urlencoded" if form else "application/json"}
        if token:
            headers["Authorization"] = f"Bearer {token}"
        auth = None if settings.username is None else (settings.username, password or "")
        self._http = Poster(settings.timeout_s, headers, auth)

    def send(self, message: Message) -> None:
        """See :class:`~consumers.escalation.channels.message.Channel`.

        Raises
        ------
        TransientFailure
            Also where the gateway says 2xx but not what an acceptance looks like.
        """
        values = {
            "to": message.address,
            "text": short(message.step, message.language, message.link, self._settings.max_chars),
            "id": message.notice_id,
        }
        body = filled(self._settings.body, values)
        content = urlencode(body) if self._settings.encoding == "form" else json.dumps(body, ensure_ascii=False)
        headers = {"Idempotency-Key": f'"{message.notice_id}"'}
        answer = self._http.post(self._settings.url, content.encode(), headers)
        if self._accepted is not None and self._accepted.search(answer) is None:
            raise TransientFailure(
                "the gateway's answer does not match accept_pattern, so the message counts as not accepted: "
                "look at the gateway's own log"
            )


def filled(template: Any, values: dict[str, str]) -> Any:
    """Template with ``{to}``, ``{text}`` and ``{id}`` replaced in every text, once and literally."""
    if isinstance(template, str):
        return re.sub(r"\{(to|text|id)\}", lambda found: values[found[1]], template)
    if isinstance(template, dict):
        return {key: filled(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [filled(item, values) for item in template]
    return template
