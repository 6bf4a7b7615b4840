from __future__ import annotations

import logging
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pynetdicom import AE

from producers.dimse.message import encode_command
from producers.dimse.pdu import PduType
from producers.dimse.peers import Peer
from producers.dimse.proposals import FALLBACKS, Context
from producers.dimse.receiving import receive_all
from producers.dimse.requestor import Proposal, Timeouts, associated
from producers.dimse.tls import TlsContext, TlsFiles, context
from schemas.errors import ConfigurationError, DestinationUnavailable
from tests.producers.certificates import Certificate, authority, client_context, signed
from tests.producers.dimse.peer import ECHO, RawPeer, request, response_of, store_request
from tests.producers.listener import Listener
from tests.producers.listener import listener as running
from tests.producers.store.data import encoded, image
from tests.services import wait_for

pytestmark = pytest.mark.integration


class Site:
    """An authority with a gateway and a scanner; a stranger of another authority."""

    def __init__(self, root: Path) -> None:
        self.ca = authority(root)
        self.gateway = signed(root, "gateway", self.ca)
        self.scanner = signed(root, "scanner", self.ca)
        self.other_ca = authority(root, "other")
        self.stranger = signed(root, "stranger", self.other_ca)
        self.files = TlsFiles(self.gateway.certificate, self.gateway.key, ca=self.ca.certificate)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return Site(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    with running(tmp_path, artim_timeout_s=2.0) as found:
        yield found


def secure_port(listener: Listener, files: TlsFiles) -> int:
    return listener.run(listener.server.start("127.0.0.1", 0, TlsContext(files)))


class SecurePeer(RawPeer):
    """A connection with TLS."""

    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        super().__init__(port)
        plain = self.socket
        try:
            self.socket = context.wrap_socket(plain)
        except OSError:
            plain.close()
            raise


def echoes(peer: RawPeer) -> None:
    peer.associate()
    peer.send(encode_command(1, ECHO, 0))
    assert response_of(peer).status == 0


def refused(port: int, shows: ssl.SSLContext) -> None:
    """With TLS 1.3 a client hears of its refusal only when it reads."""
    try:
        with SecurePeer(port, shows) as peer:
            peer.send(request())
            assert peer.receive() is None
    except OSError:
        pass


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_an_instance_is_stored_over_tls(listener: Listener, site: Site, version: ssl.TLSVersion) -> None:
    port = secure_port(listener, site.files)
    client = client_context(site.ca, site.scanner)
    client.minimum_version = client.maximum_version = version
    with SecurePeer(port, client) as peer:
        # The request may come in the same segment as the end of the handshake.
        echoes(peer)
        peer.send(store_request("1.2.3.4", encoded(image(PixelData=bytes(3_000_000))), fragment=60_000))
        assert response_of(peer).status == 0
        assert peer.socket.cipher()[0] in {"ECDHE-ECDSA-AES256-GCM-SHA384", "TLS_AES_256_GCM_SHA384"}  # type: ignore[attr-defined] # an SSLSocket
    assert len(listener.stored("1.2.3")) == 1
    with RawPeer(listener.port) as peer:
        echoes(peer)


def test_pynetdicom_associates_over_tls(listener: Listener, site: Site) -> None:
    port = secure_port(listener, site.files)
    entity = AE("SCANNER")
    entity.add_requested_context("1.2.840.10008.1.1")
    association = entity.associate("127.0.0.1", port, tls_args=(client_context(site.ca, site.scanner), "gateway"))
    assert association.is_established
    receive_all(association)
    assert association.send_c_echo().Status == 0
    association.release()


def test_we_call_only_the_peer_whose_certificate_is_in_its_entry(listener: Listener, site: Site) -> None:
    """Every device of the site has a certificate of the same authority."""
    port = secure_port(listener, site.files)
    shows = context(
        TlsFiles(site.scanner.certificate, site.scanner.key, ca=site.ca.certificate), server_side=False
    )
    echo = Proposal([Context("1.2.840.10008.1.1", FALLBACKS)])

    def entry(*fingerprints: str) -> Peer:
        return Peer(ae_title="SCANSTREAM", host="127.0.0.1", port=port, tls=True, certificate_sha256=fingerprints)

    for known in (entry(), entry(site.scanner.sha256, site.gateway.sha256.upper())):
        with associated(known, "SCANNER", echo, timeouts=Timeouts(), tls=shows) as opened:
            opened.echo()
    with (
        pytest.raises(DestinationUnavailable, match="certificate is none of"),
        associated(entry(site.scanner.sha256), "SCANNER", echo, timeouts=Timeouts(), tls=shows),
    ):
        pytest.fail("it cannot open")


def test_old_protocols_weak_ciphers_and_strangers_get_no_association(
    listener: Listener, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    port = secure_port(listener, site.files)
    weak = client_context(site.ca, site.scanner)
    weak.maximum_version = ssl.TLSVersion.TLSv1_2
    weak.set_ciphers("AES128-SHA:ECDHE-ECDSA-AES128-SHA256:@SECLEVEL=0")
    for shows in (client_context(site.ca, None), client_context(site.ca, site.stranger), weak):
        refused(port, shows)
    wait_for(lambda: len(caplog.records) >= 3, "a line for each")
    assert {record.getMessage() for record in caplog.records} == {"TLS handshake failed"}
    assert all(record.exc_info is None for record in caplog.records)
    with SecurePeer(port, client_context(site.ca, site.scanner)) as peer:
        echoes(peer)


def test_plain_text_on_the_tls_port_and_tls_on_the_plain_port_end_at_once(
    listener: Listener, site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    port = secure_port(listener, site.files)
    with RawPeer(port) as peer:
        peer.send(request())
        while peer.socket.recv(1000):
            pass
    with pytest.raises(OSError, match=r"WRONG_VERSION|reset|EOF|record"):
        SecurePeer(listener.port, client_context(site.ca, site.scanner))
    wait_for(lambda: len(caplog.records) >= 2, "a line for each")
    assert all(record.exc_info is None for record in caplog.records)


def test_without_mutual_authentication_a_certificate_may_be_missing_but_not_wrong(
    listener: Listener, site: Site
) -> None:
    port = secure_port(listener, replace(site.files, mutual=False))
    with SecurePeer(port, client_context(site.ca, None)) as peer:
        echoes(peer)
    refused(port, client_context(site.ca, site.stranger))


def test_a_title_belongs_to_its_certificate(tmp_path: Path, site: Site) -> None:
    other = signed(tmp_path, "viewer", site.ca)
    peers = tmp_path / "peers.yaml"
    peers.write_text(f"peers: [{{ae_title: PEER, certificate_sha256: ['{site.scanner.sha256}']}}]")
    with running(tmp_path, peers_file=peers) as listener:
        port = secure_port(listener, site.files)
        with SecurePeer(port, client_context(site.ca, site.scanner)) as peer:
            echoes(peer)
        with SecurePeer(port, client_context(site.ca, other)) as peer:
            peer.send(request())
            assert peer.receive() == (PduType.ASSOCIATE_RJ, b"\x00\x01\x01\x03")
        with RawPeer(listener.port) as peer:
            peer.send(request())
            assert peer.receive() == (PduType.ASSOCIATE_RJ, b"\x00\x01\x01\x03")


def replaced(path: Path, content: bytes) -> None:
    aside = path.with_suffix(".new")
    aside.write_bytes(content)
    aside.replace(path)


def shown(port: int, site: Site) -> bytes:
    with SecurePeer(port, client_context(site.ca, site.scanner)) as peer:
        certificate = peer.socket.getpeercert(binary_form=True)  # type: ignore[attr-defined] # an SSLSocket
        assert isinstance(certificate, bytes)
        return certificate


def der(certificate: Certificate) -> bytes:
    return ssl.PEM_cert_to_DER_cert(certificate.certificate.read_text())


def test_replaced_certificates_count_without_a_restart_and_bad_ones_do_not(
    listener: Listener, site: Site, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "producers.dimse.tls")
    live = TlsFiles(tmp_path / "live.pem", tmp_path / "live.key", ca=site.ca.certificate)
    assert live.key is not None
    replaced(live.certificate, site.gateway.certificate.read_bytes())
    replaced(live.key, site.gateway.key.read_bytes())
    port = secure_port(listener, live)
    with SecurePeer(port, client_context(site.ca, site.scanner)) as held:
        held.associate()
        assert shown(port, site) == der(site.gateway)
        renewed = signed(tmp_path, "renewed", site.ca)
        replaced(live.certificate, renewed.certificate.read_bytes())
        replaced(live.key, renewed.key.read_bytes())
        wait_for(lambda: shown(port, site) == der(renewed), "the new certificate")
        replaced(live.certificate, b"nonsense")
        time.sleep(1.1)
        for _ in range(3):
            assert shown(port, site) == der(renewed)
        errors = [record for record in caplog.records if record.levelno == logging.ERROR]
        assert len(errors) == 1
        held.send(encode_command(1, ECHO, 0))
        assert response_of(held).status == 0


def test_handshakes_that_never_end_are_few_and_are_closed(tmp_path: Path, site: Site) -> None:
    with running(tmp_path, artim_timeout_s=2.0, max_silent_of_one_address=20) as listener:
        port = secure_port(listener, site.files)
        held = [socket.create_connection(("127.0.0.1", port), timeout=30) for _ in range(60)]
        wait_for(lambda: silent(listener) > 0, "connections")
        with SecurePeer(port, client_context(site.ca, site.scanner)) as peer:
            echoes(peer)
        assert silent(listener) <= 20
        wait_for(lambda: silent(listener) == 0, "the end of all handshakes")
        for one in held:
            one.close()


def silent(listener: Listener) -> float:
    return listener.telemetry.registry.get_sample_value("scanstream_silent_connections") or 0.0


def test_a_peer_that_goes_during_or_right_after_the_handshake_leaves_nothing(
    listener: Listener, site: Site
) -> None:
    port = secure_port(listener, site.files)
    for _ in range(10):
        with RawPeer(port) as peer:
            peer.send(b"\x16\x03\x01\x02\x00\x01")
        with SecurePeer(port, client_context(site.ca, site.scanner)) as peer:
            peer.send(request())
    wait_for(lambda: silent(listener) == 0, "the end of all connections")
    wait_for(lambda: not listener.server._associations, "the end of all associations")


def test_the_key_may_have_a_password_from_a_file(site: Site, tmp_path: Path) -> None:
    locked = signed(tmp_path, "locked", site.ca, password="Ґанок 1")
    secret = tmp_path / "password"
    secret.write_text("Ґанок 1\n", encoding="utf-8")
    files = TlsFiles(locked.certificate, locked.key, secret, site.ca.certificate)
    assert context(files, server_side=True).verify_mode == ssl.CERT_REQUIRED
    assert context(files, server_side=False).verify_mode == ssl.CERT_REQUIRED
    for wrong in (
        replace(files, password_file=None),
        replace(files, password_file=tmp_path / "missing"),
        replace(files, key=site.scanner.key, password_file=None),
        replace(files, certificate=tmp_path / "missing"),
        replace(files, ca=None),
        replace(files, ca=secret),
    ):
        with pytest.raises(ConfigurationError) as said:
            context(wrong, server_side=True)
        assert "Ґанок" not in str(said.value)
        assert "\n" not in str(said.value)


def test_a_stop_ends_handshakes_silent_connections_and_idle_associations(tmp_path: Path, site: Site) -> None:
    with running(tmp_path) as stopping:
        port = secure_port(stopping, site.files)
        client = client_context(site.ca, site.scanner)
        with RawPeer(port) as shaking, RawPeer(stopping.port) as mute, SecurePeer(port, client) as idle:
            idle.associate()
            wait_for(lambda: silent(stopping) == 2, "two connections without an association")
            stopping.run(stopping.server.stop(20.0))
            answer = idle.receive()
            assert answer is not None
            assert answer[0] == PduType.ABORT
            assert shaking.receive() is None
            assert mute.receive() is None
            wait_for(lambda: silent(stopping) == 0, "the end of all connections")
        for closed in (port, stopping.port):
            with pytest.raises(OSError, match="refused"):
                RawPeer(closed)
