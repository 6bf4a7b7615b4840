"""Message → mail (RFC 5322) over SMTP (RFC 5321), in UTF-8, with a Message-ID that follows from the notice."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Final

from consumers.escalation.channels.message import Message
from consumers.escalation.routes import MailChannel
from schemas.errors import DestinationUnavailable, PermanentRejection, TransientFailure

#: Replies that may be different next time (RFC 5321 4.2.1).
_TRANSIENT: Final = range(400, 500)


class Mail:
    """One configured mail server; a connection for each message.

    Parameters
    ----------
    settings
        Of the channel.
    password
        Of ``username``, where there is one.
    now
        Clock, for the Date header.
    """

    def __init__(
        self,
        settings: MailChannel,
        password: str | None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._settings = settings
        self._password = password
        self._now = now
        self._tls = ssl.create_default_context(cafile=None if settings.ca_file is None else str(settings.ca_file))

    def send(self, message: Message) -> None:
        """See :class:`~consumers.escalation.channels.message.Channel`."""
        mail = mail_of(message, self._settings.sender, self._now())
        host = f"{self._settings.host}:{self._settings.port}"
        try:
            server = self._connected()
            try:
                server.send_message(mail, self._settings.sender, [message.address])
                with suppress(OSError, smtplib.SMTPException):
                    server.quit()  # the mail is taken, however the server says good-bye
            finally:
                server.close()
        except (smtplib.SMTPRecipientsRefused, smtplib.SMTPResponseException) as error:
            raise _judged(host, error) from error
        except ssl.SSLCertVerificationError as error:
            raise PermanentRejection(
                f"the certificate of {host} is not trusted ({error.verify_message}): set ca_file, or correct the "
                "server's"
            ) from error
        except smtplib.SMTPNotSupportedError as error:
            raise PermanentRejection(
                f"{host} does not offer what the channel needs ({error}): check security and username"
            ) from error
        except (OSError, smtplib.SMTPException) as error:
            raise DestinationUnavailable(
                f"{host} did not take the mail ({type(error).__name__}): check that it is up and reachable"
            ) from error

    def _connected(self) -> smtplib.SMTP:
        settings = self._settings
        # a name of our own instead of getfqdn(), which may wait for a name server
        name = socket.gethostname()
        if settings.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                settings.host, settings.port, name, timeout=settings.timeout_s, context=self._tls
            )
        else:
            server = smtplib.SMTP(settings.host, settings.port, name, timeout=settings.timeout_s)
        try:
            if settings.security == "starttls":
                server.starttls(context=self._tls)
            if settings.username is not None:
                server.login(settings.username, self._password or "")
        except BaseException:
            with suppress(OSError):
                server.close()
            raise
        return server


def mail_of(message: Message, sender: str, now: datetime) -> EmailMessage:
    """Mail of a message: plain text, which every reader shows, with the link on a line of its own."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = Address("scanstream", addr_spec=sender)
    mail["To"] = Address(addr_spec=message.address)
    mail["Subject"] = " ".join(message.subject.split())
    mail["Date"] = format_datetime(now)
    mail["Message-ID"] = f"<{message.notice_id}@{sender.rpartition('@')[2]}>"
    mail["Importance"] = "high"
    mail["Auto-Submitted"] = "auto-generated"  # RFC 3834: no vacation notes back
    mail["Content-Language"] = message.language.value
    mail.set_content("\n".join((message.subject, "", *message.lines, "", message.link, "")), charset="utf-8")
    return mail


def _judged(
    host: str, error: smtplib.SMTPRecipientsRefused | smtplib.SMTPResponseException
) -> TransientFailure | PermanentRejection:
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        code = next(iter(error.recipients.values()))[0]
    else:
        code = error.smtp_code
    # the text of the reply may repeat the address, so only its code is told
    if code in _TRANSIENT:
        return TransientFailure(f"{host} cannot take the mail now (reply {code}): it will be tried again")
    return PermanentRejection(f"{host} refused the mail (reply {code}): check sender, address and password", code)
