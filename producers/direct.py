"""HTTP clients that go to whom they are sent: no proxy and no password file of the environment is used.

What they carry is about patients, and its addresses are those of the site's own machines. Guarantee: both clients
trust the same authorities, those of ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` where one is set.
"""

from __future__ import annotations

from typing import Any

import httpx
import requests
from requests.adapters import HTTPAdapter


class _Trusting(HTTPAdapter):
    """Adapter with the TLS context of httpx beside the authorities of requests."""

    def init_poolmanager(self, *args: Any, **options: Any) -> None:
        super().init_poolmanager(*args, ssl_context=httpx.create_ssl_context(), **options)


def direct_client(timeout: httpx.Timeout) -> httpx.Client:
    """Client for many threads.

    Parameters
    ----------
    timeout
        In seconds, for connections and for each piece of an answer.
    """
    return httpx.Client(timeout=timeout, verify=httpx.create_ssl_context(), trust_env=False)


def direct_session() -> requests.Session:
    """Session for one thread."""
    session = requests.Session()
    session.trust_env = False
    session.mount("https://", _Trusting())
    return session
