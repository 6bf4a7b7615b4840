"""TLS to a PACS, by HTTPS and DIMSE: who is trusted, who is not, and certificates that have expired."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from consumers.stow.configuration import transport_from
from consumers.stow.transport import Transport
from producers.process import Process
from schemas.destinations import StowSettings
from schemas.errors import DestinationUnavailable
from schemas.events import DeliveryStatus
from schemas.settings import ProcessSettings
from tests.consumers.stow.acceptor import Pacs, accepting
from tests.consumers.stow.objects import SR
from tests.consumers.stow.pacs import Answer, scripted_pacs, stored
from tests.producers.certificates import Certificate, authority, signed
from tests.tools import need

pytestmark = pytest.mark.integration


class Site:
    """An authority, its PACS and writer, a PACS whose certificate has expired, and another authority."""

    def __init__(self, root: Path) -> None:
        self.ca, self.other_ca = authority(root), authority(root, "other")
        self.pacs = for_loopback(root, "pacs", self.ca, days=2)
        self.expired = for_loopback(root, "expired", self.ca, days=-1)
        self.writer = signed(root, "writer", self.ca)


def for_loopback(root: Path, name: str, by: Certificate, days: int) -> Certificate:
    made, request, names = Certificate(root / f"{name}.pem", root / f"{name}.key"), root / "r.csr", root / "names"
    names.write_text("subjectAltName=IP:127.0.0.1\n")
    openssl = need("openssl")
    for arguments in (
        ["req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", f"/CN={name}",
         "-keyout", made.key, "-out", request],
        ["x509", "-req", "-in", request, "-CA", by.certificate, "-CAkey", by.key, "-CAcreateserial",
         "-days", days, "-extfile", names, "-out", made.certificate],
    ):  # fmt: skip
        subprocess.run([openssl, *map(str, arguments)], check=True, capture_output=True, timeout=60)
    return made


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("tls"))


def server_side(shows: Certificate, asks: Certificate | None = None) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(shows.certificate, shows.key)
    if asks is not None:
        made.verify_mode = ssl.CERT_REQUIRED
        made.load_verify_locations(asks.certificate)
    return made


@contextmanager
def pacs(way: str, tls: ssl.SSLContext, ca: Certificate, ours: Certificate | None = None) -> Iterator[Transport]:
    """A way into a PACS with TLS, as its settings make it."""
    certificate, key = (None, None) if ours is None else (ours.certificate, ours.key)
    common: dict[str, Any] = {"tls_ca": ca.certificate, "tls_certificate": certificate, "tls_key": key}
    with ExitStack() as stack:
        if way == "c-store":
            acceptor = stack.enter_context(accepting(Pacs(), [SR.sop_class_uid], tls=tls))
            settings = StowSettings(transport="c-store", port=acceptor.port, **common)
        else:
            server = stack.enter_context(scripted_pacs(tls))
            server.script = lambda _: Answer(200, stored("1.5"))
            settings = StowSettings(pacs_url=server.url, **common)
        transport = transport_from(settings, Process("writer-stow", ProcessSettings()))
        stack.callback(transport.close)
        yield transport


WAYS = pytest.mark.parametrize("way", ["stow", "c-store"])


@WAYS
def test_a_pacs_of_the_named_authority_is_trusted(site: Site, way: str) -> None:
    with pacs(way, server_side(site.pacs), site.ca) as transport:
        assert [one.status for one in transport.store([SR])] == [DeliveryStatus.STORED]


@WAYS
def test_a_pacs_that_asks_for_our_certificate_is_shown_it(site: Site, way: str) -> None:
    with pacs(way, server_side(site.pacs, asks=site.ca), site.ca, site.writer) as transport:
        assert [one.status for one in transport.store([SR])] == [DeliveryStatus.STORED]
    with (
        pacs(way, server_side(site.pacs, asks=site.ca), site.ca) as transport,
        pytest.raises(DestinationUnavailable),
    ):
        transport.probe()


@WAYS
def test_an_expired_certificate_is_named_as_such(site: Site, way: str) -> None:
    with pacs(way, server_side(site.expired), site.ca) as transport:
        for attempt in (lambda: transport.store([SR]), transport.probe):
            with pytest.raises(DestinationUnavailable, match="certificate has expired"):
                attempt()


@WAYS
def test_a_pacs_of_another_authority_is_not_trusted(site: Site, way: str) -> None:
    with (
        pacs(way, server_side(site.pacs), site.other_ca) as transport,
        pytest.raises(DestinationUnavailable, match="certificate"),
    ):
        transport.store([SR])
