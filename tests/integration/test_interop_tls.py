"""DCMTK over DICOM TLS: with the profiles of PS3.15, with a certificate that counts, and without."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from producers.dimse.tls import TlsContext, TlsFiles
from tests.integration.wire import stored
from tests.producers.certificates import Certificate, authority, signed
from tests.producers.listener import Listener
from tests.producers.listener import listener as running
from tests.producers.store.data import PYDICOM
from tests.tools import need

pytestmark = [pytest.mark.integration, pytest.mark.dcmtk]

IMAGES = (PYDICOM / "CT_small.dcm", PYDICOM / "MR_small.dcm")
#: Non-Downgrading BCP 195, BCP 195, Extended BCP 195; DCMTK 3.6.7 knows no TLS 1.3.
PROFILES = ("+py", "+px", "+pz")


class Site:
    """An authority with a gateway and a scanner; a stranger of another authority."""

    def __init__(self, root: Path) -> None:
        self.ca = authority(root)
        self.gateway, self.scanner = signed(root, "gateway", self.ca), signed(root, "scanner", self.ca)
        self.stranger = signed(root, "stranger", authority(root, "other"))
        self.files = TlsFiles(self.gateway.certificate, self.gateway.key, ca=self.ca.certificate)

    def shows(self, own: Certificate) -> tuple[object, ...]:
        """Options of DCMTK for a peer with this certificate."""
        return ("+tls", own.key, own.certificate, "+cf", self.ca.certificate)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Certificates for all tests here."""
    return Site(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    """A gateway's listener and store."""
    with running(tmp_path / "node", artim_timeout_s=3.0) as found:
        yield found


def run(program: str, port: int, *arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a program of DCMTK to its end."""
    command = [need(program), *map(str, arguments[:-1]), "127.0.0.1", str(port), *map(str, arguments[-1:])]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def secure(listener: Listener, files: TlsFiles) -> int:
    """Port of a further listener, with TLS."""
    return listener.run(listener.server.start("127.0.0.1", 0, TlsContext(files)))


@pytest.mark.parametrize("profile", PROFILES)
def test_storescu_stores_with_each_profile(listener: Listener, site: Site, profile: str) -> None:
    done = run("storescu", secure(listener, site.files), *site.shows(site.scanner), profile, IMAGES[0])
    assert done.returncode == 0, done.stderr
    assert len(stored(listener)) == 1


def test_what_comes_over_tls_is_what_comes_without(tmp_path: Path, site: Site) -> None:
    found = []
    for name, options in (("plain", ()), ("secure", site.shows(site.scanner))):
        with running(tmp_path / name) as listener:
            port = secure(listener, site.files) if options else listener.port
            for image in IMAGES:
                assert run("storescu", port, *options, "-xe", image).returncode == 0
            found.append(stored(listener))
    assert found[0] == found[1]
    assert len(found[0]) == len(IMAGES)


def test_echoscu_and_dcmsend_speak_tls_as_far_as_they_can(listener: Listener, site: Site) -> None:
    port = secure(listener, site.files)
    command = [need("echoscu"), *map(str, site.shows(site.scanner)), "127.0.0.1", str(port)]
    assert subprocess.run(command, timeout=60).returncode == 0
    # dcmsend 3.6.7 has no TLS: on that port it must end soon, and with an error.
    assert run("dcmsend", port, IMAGES[0]).returncode != 0
    assert stored(listener) == {}


def test_a_peer_without_a_certificate_or_with_a_strange_one_stores_nothing(listener: Listener, site: Site) -> None:
    port = secure(listener, site.files)
    anonymous = ("+tla", "+cf", site.ca.certificate)
    for options in (anonymous, site.shows(site.stranger)):
        assert run("storescu", port, *options, IMAGES[0]).returncode != 0
    assert stored(listener) == {}
    optional = secure(listener, TlsFiles(site.gateway.certificate, site.gateway.key, mutual=False))
    assert run("storescu", optional, *anonymous, IMAGES[0]).returncode == 0
    assert len(stored(listener)) == 1


def test_an_ae_title_goes_with_its_certificate(tmp_path: Path, site: Site) -> None:
    peers = tmp_path / "peers.yaml"
    peers.write_text(f"peers: [{{ae_title: CT1, certificate_sha256: [{site.scanner.sha256}]}}]\nothers: []\n")
    with running(tmp_path / "node", peers_file=peers) as listener:
        port = secure(listener, site.files)
        ours = site.shows(site.scanner)
        assert run("storescu", port, *ours, "-aet", "CT1", IMAGES[0]).returncode == 0
        assert run("storescu", port, *ours, "-aet", "CT2", IMAGES[1]).returncode != 0
        assert run("storescu", port, *site.shows(site.gateway), "-aet", "CT1", IMAGES[1]).returncode != 0
        assert run("storescu", listener.port, "-aet", "CT1", IMAGES[1]).returncode != 0
        assert len(stored(listener)) == 1
