"""Alarm and pending notice → message → the crew; and the channels of the routes file, with their secrets."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import assert_never
from zoneinfo import ZoneInfo

from consumers.callback.signature import key_of
from consumers.escalation import wording
from consumers.escalation.alarm import notice_id
from consumers.escalation.channels.hl7 import Hl7
from consumers.escalation.channels.mail import Mail
from consumers.escalation.channels.message import Channel, Message
from consumers.escalation.channels.sms import Sms
from consumers.escalation.channels.webhook import Webhook
from consumers.escalation.link import AcknowledgementLink
from consumers.escalation.routes import Hl7Channel, MailChannel, Routes, SmsChannel, WebhookChannel
from consumers.escalation.routes_file import secret
from schemas.errors import ConfigurationError, PermanentRejection
from schemas.events import EscalationStep, PendingNotice


def channels_of(routes: Routes) -> dict[str, Channel]:
    """Channels of a file, ready to send.

    Raises
    ------
    ConfigurationError
        A secret or a certificate is not there.
    """
    return {name: _channel(name, settings) for name, settings in routes.channels.items()}


def _channel(name: str, settings: WebhookChannel | MailChannel | SmsChannel | Hl7Channel) -> Channel:
    try:
        match settings:
            case WebhookChannel():
                key = _key(name, secret(settings.secret_env, settings.secret_file))
                token = secret(settings.token_env, settings.token_file)
                return Webhook(settings.url, key, token, settings.timeout_s, lambda: datetime.now(UTC))
            case MailChannel():
                return Mail(settings, secret(settings.password_env, settings.password_file))
            case SmsChannel():
                password = secret(settings.password_env, settings.password_file)
                return Sms(settings, password, secret(settings.token_env, settings.token_file))
            case Hl7Channel():
                return Hl7(settings)
    except OSError as error:
        raise ConfigurationError(
            f"ca_file of channel {name} cannot be used ({type(error).__name__}): name a PEM file of certificates"
        ) from error
    assert_never(settings)


def _key(name: str, text: str | None) -> bytes | None:
    if text is None:
        return None
    try:
        return key_of(text)
    except ConfigurationError as error:
        raise ConfigurationError(
            f"the secret of channel {name} cannot sign: give 24 to 64 random bytes, as text or whsec_ and base64"
        ) from error


class Composer:
    """Writes messages.

    Parameters
    ----------
    routes
        Contacts, channels and routes.
    root
        Root of the API, for links.
    link_secret
        Signs links.
    """

    def __init__(self, routes: Routes, root: str, link_secret: str) -> None:
        self._routes = routes
        self._root = root
        self._secret = link_secret
        self._zone = ZoneInfo(routes.time_zone)

    def message(self, step: EscalationStep, notice: PendingNotice, now: datetime) -> Message:
        """Message of a notice that is due.

        Raises
        ------
        PermanentRejection
            The routes file changed, and the contact is no longer reached in this way.
        """
        contact = self._routes.contacts.get(notice.contact)
        ways = {} if contact is None else {way.channel: way for way in contact.ways}
        if contact is None or notice.channel not in ways:
            raise PermanentRejection(
                f"the routes file no longer tells how to reach {notice.contact} over {notice.channel}: "
                "the next contact is told"
            )
        language = contact.language
        chain = self._routes.chain(step.route)
        following = chain.level(notice.level + 1)
        level = chain.level(notice.level)
        due_at = None if following is None or level is None else now + timedelta(seconds=level.wait_s)
        expires = now + timedelta(hours=self._routes.link_valid_h)
        link = AcknowledgementLink(step.escalation_id, notice.contact, int(expires.timestamp()), language)
        return Message(
            notice_id=notice_id(step, notice),
            address=ways[notice.channel].address,
            contact=notice.contact,
            level=notice.level,
            language=language,
            subject=wording.subject(step, language),
            lines=wording.lines(
                step,
                language,
                self._zone,
                level=notice.level,
                levels=len(chain.levels) * chain.rounds,
                due_at=due_at,
            ),
            link=link.url(self._root, self._secret),
            step=step,
        )
