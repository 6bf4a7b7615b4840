"""A source's entry → a client for it; the gateway's address → a client for it. Secrets are read here."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Callable
from pathlib import Path

from producers.poller.archive import Archive
from producers.poller.gateway import Gateway
from producers.poller.sources import GetSource, MoveSource, Tls, WebSource
from producers.poller.sources_file import secret
from producers.poller.wado import WebArchive
from producers.poller.web import DicomWeb, GatewayUnavailable, tls_context
from schemas.settings import GatewaySettings, PollerSettings


def archive_of(source: WebSource | MoveSource | GetSource) -> Archive:
    """Client of a source.

    Raises
    ------
    ConfigurationError
        A secret or a file for TLS is not there.
    """
    if not isinstance(source, WebSource):
        from producers.poller.dimse import DimseArchive

        return DimseArchive(source, None if source.tls is None else _context(source.tls))
    web = DicomWeb(
        source.url,
        "the source",
        source.timeout_s,
        authorization=_authorization(source),
        tls=None if source.tls is None else _context(source.tls),
    )
    modalities = source.filters.modalities
    # several values of one key are no matter of the standard: then we choose ourselves
    return WebArchive(web, {"ModalitiesInStudy": next(iter(modalities))} if len(modalities) == 1 else {})


def _authorization(source: WebSource) -> Callable[[], str | None]:
    """Value of ``Authorization``, from the secret as it is at each request: tokens are short-lived."""

    def value() -> str | None:
        password = secret(source.password_env, source.password_file)
        token = secret(source.token_env, source.token_file)
        if token is not None:
            return f"Bearer {token.get_secret_value()}"
        if password is None:
            return None
        pair = f"{source.username}:{password.get_secret_value()}"
        return f"Basic {b64encode(pair.encode()).decode()}"

    value()  # a secret that is not there is said at the start
    return value


def _context(tls: Tls) -> ssl.SSLContext:
    return tls_context(
        *(None if path is None else str(path) for path in (tls.ca_file, tls.certificate_file, tls.key_file))
    )


def gateway_of(settings: PollerSettings, default_url: str | None = None) -> Gateway:
    """Client of the gateway.

    Parameters
    ----------
    settings
        Names the gateway, if it is not the one of this machine.
    default_url
        DICOMweb root if the settings name none; ``None`` for the gateway's own settings.
    """
    root = settings.gateway_url or default_url or GatewaySettings().base_url()
    return Gateway(DicomWeb(root, "the gateway", settings.gateway_timeout_s, away=GatewayUnavailable))


def directory_of(data_dir: Path, name: str) -> Path:
    """Where the ledger of a source is."""
    return data_dir / "poller" / name
