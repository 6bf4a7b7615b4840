from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from consumers.oru.destination import listener_of
from consumers.oru.link import Link
from schemas.destinations import OruSettings
from schemas.errors import ConfigurationError, DestinationUnavailable
from tests.consumers.oru.listener import scripted
from tests.consumers.oru.test_link import send
from tests.producers.certificates import Certificate, authority, signed


class Site:
    """Two authorities, a listener's certificate, an expired one, one of another address, ours."""

    def __init__(self, root: Path) -> None:
        self.ca, self.other_ca = authority(root), authority(root, "other")
        self.good = signed(root, "good", self.ca, address="127.0.0.1")
        self.expired = signed(root, "expired", self.ca, address="127.0.0.1", days=-1)
        self.elsewhere = signed(root, "elsewhere", self.ca, address="192.0.2.1")
        self.ours = signed(root, "ours", self.ca)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("certificates"))


def server(shows: Certificate, asks_for: Certificate | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(shows.certificate, shows.key)
    if asks_for is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(asks_for.certificate)
    return context


def link(port: int, ca: Certificate, ours: Certificate | None = None, timeout_s: float = 30.0) -> Link:
    settings = OruSettings(
        port=port,
        tls=True,
        tls_ca=ca.certificate,
        tls_certificate=ours.certificate if ours else None,
        tls_key=ours.key if ours else None,
    )
    return Link(listener_of(settings), timeout_s)


def test_a_message_goes_over_tls(site: Site) -> None:
    with scripted(server(site.good)) as listener:
        way = link(listener.port, site.ca)
        way.probe()
        assert send(way) == "AA"
        assert listener.connections == 1
        way.close()


def test_we_show_a_certificate_to_who_asks_for_one(site: Site) -> None:
    with scripted(server(site.good, asks_for=site.ca)) as listener:
        way = link(listener.port, site.ca, site.ours)
        assert send(way) == "AA"
        way.close()
        with pytest.raises(DestinationUnavailable, match="SCANSTREAM_ORU_TLS_CERTIFICATE"):
            send(link(listener.port, site.ca))


@pytest.mark.parametrize(
    ("shown", "trusted", "said"),
    [
        ("expired", "ca", "expired"),
        ("good", "other_ca", "unable to get local issuer certificate"),
        ("elsewhere", "ca", "IP address mismatch"),
    ],
)
def test_a_certificate_that_is_not_right_is_a_destination_that_is_away(
    site: Site, shown: str, trusted: str, said: str
) -> None:
    with scripted(server(getattr(site, shown))) as listener:
        way = link(listener.port, getattr(site, trusted))
        with pytest.raises(DestinationUnavailable, match=said) as caught:
            send(way)
        assert "SCANSTREAM_ORU_TLS_CA" in str(caught.value)
        with pytest.raises(DestinationUnavailable, match=said):
            way.probe()
        assert listener.received == []


def test_a_listener_without_tls_gets_no_message(site: Site) -> None:
    with scripted() as listener:
        with pytest.raises(DestinationUnavailable, match="no TLS with"):
            link(listener.port, site.ca, timeout_s=1.0).probe()
        assert listener.received == []


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"tls_ca": Path("ca.pem")}, "SCANSTREAM_ORU_TLS=true"),
        ({"tls": True, "tls_ca": Path("/nowhere.pem")}, "SCANSTREAM_ORU_TLS_CA"),
        ({"tls": True, "tls_certificate": Path("/nowhere.pem")}, "SCANSTREAM_ORU_TLS_CERTIFICATE"),
        ({"tls": True, "tls_key": Path("/nowhere.pem")}, "SCANSTREAM_ORU_TLS_KEY"),
    ],
)
def test_files_that_cannot_be_used_refuse_the_start(settings: dict[str, object], named: str) -> None:
    with pytest.raises(ConfigurationError, match=named):
        listener_of(OruSettings(**settings))  # type: ignore[arg-type] # checked by pydantic
