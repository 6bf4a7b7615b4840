"""Orthanc as the source, over the real wire, in all ways of reading it."""

from __future__ import annotations

import json
import signal
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from pydicom.uid import RLELossless

from producers.poller.check import check
from producers.poller.connect import directory_of
from producers.poller.ledger import read_standing
from producers.poller.sources_file import choose, parse
from tests.orthanc import OrthancServer, orthanc_server
from tests.producers.poller.site import (
    Gateway,
    data_sets,
    events,
    gateway,
    poller,
    put,
    todays_study,
    uid_of,
)
from tests.services import stop, wait_for
from tests.tools import free_port

pytestmark = [pytest.mark.integration, pytest.mark.orthanc]

WAYS = ["dicomweb", "c-move", "c-get"]


@contextmanager
def orthanc_for(tmp_path: Path, receiving: Gateway, **options: Any) -> Iterator[OrthancServer]:
    """Orthanc that knows the gateway and lets everybody ask."""
    (tmp_path / "orthanc").mkdir(exist_ok=True)
    allowed = {f"DicomAlwaysAllow{what}": True for what in ("Find", "Move", "Get")}
    known = {"DicomModalities": {"gateway": ["SCANSTREAM", "127.0.0.1", receiving.dimse_port]}}
    with orthanc_server(tmp_path / "orthanc", options={**allowed, **known, **options}) as server:
        yield server


def source_of(way: str, server: OrthancServer, **more: Any) -> dict[str, Any]:
    """Entry of the sources file."""
    if way == "dicomweb":
        return {"kind": way, "url": server.dicom_web, **more}
    return {"kind": way, "host": "127.0.0.1", "port": server.dicom_port, "ae_title": server.ae_title, **more}


@pytest.mark.parametrize("way", WAYS)
def test_studies_and_late_images_arrive_once_and_byte_for_byte(
    way: str, kafka: str, receiving: Gateway, tmp_path: Path, number: str
) -> None:
    """Cyrillic names, an uncompressed and an RLE study, then an image that comes after its study was brought."""
    plain, compressed = todays_study(f"{number}.1"), todays_study(f"{number}.2")
    for image in compressed:
        image.compress(RLELossless, generate_instance_uid=False)
    studies = [plain, compressed]
    with orthanc_for(tmp_path, receiving) as server:
        put(server.http, plain[:-1] + compressed)
        with poller(tmp_path, receiving.url, source_of(way, server, max_concurrent=2)) as running:
            wait_for(lambda: len(running.said("study brought")) == 2, "both studies")
            assert receiving.count(uid_of(plain)) == 5
            put(server.http, plain[-1:])
            wait_for(lambda: len(running.said("study brought")) == 3, "the late image")
            assert running.said("study brought")[-1]["fetched"] == 1
            assert stop(running.child) == 0
        for study in studies:
            assert receiving.data_sets(uid_of(study)) == sorted(
                data_sets(f"{server.dicom_web}/studies/{uid_of(study)}")
            )
        assert "Ґудзь" not in running.log.read_text(encoding="utf-8")
    assert events(kafka, studies) == sorted(image.SOPInstanceUID for image in plain + compressed)
    standing = read_standing(directory_of(tmp_path, "pacs"))
    assert standing is not None
    assert (standing.pending, standing.complete, standing.aside) == (0, 2, ())
    assert standing.watermark_s == standing.listed_s


@pytest.mark.parametrize("way", WAYS)
def test_a_poller_killed_in_the_middle_brings_the_rest_once(
    way: str, kafka: str, receiving: Gateway, tmp_path: Path, number: str
) -> None:
    """kill -9 while a part of a study is there: the next start reads only what is missing."""
    study = todays_study(number, slices=50)
    with orthanc_for(tmp_path, receiving) as server:
        put(server.http, study)
        slowly = source_of(way, server, rate={"instances_per_minute": 120})
        with poller(tmp_path, receiving.url, slowly) as running:
            wait_for(lambda: receiving.count(uid_of(study)) >= 5, "some images")
            running.child.send_signal(signal.SIGKILL)
            running.child.wait()
        standing = read_standing(directory_of(tmp_path, "pacs"))
        assert standing is not None
        assert (standing.pending, standing.watermark_s) == (1, None)
        with poller(tmp_path, receiving.url, source_of(way, server)) as running:
            wait_for(lambda: bool(running.said("study brought")), "the rest")
            (brought,) = running.said("study brought")
            assert brought["instances"] == 50
            assert brought["fetched"] < 50
        expected = sorted(data_sets(f"{server.dicom_web}/studies/{uid_of(study)}"))
    assert receiving.data_sets(uid_of(study)) == expected
    assert events(kafka, [study]) == sorted(image.SOPInstanceUID for image in study)


def test_a_source_that_goes_away_in_the_middle_is_waited_for(
    receiving: Gateway, tmp_path: Path, number: str
) -> None:
    study = todays_study(number, slices=50)
    port = free_port()
    (tmp_path / "orthanc").mkdir()
    away = "the source is away and will be tried until it is back"
    with ExitStack() as ends:
        with orthanc_server(tmp_path / "orthanc", http_port=port) as server:
            put(server.http, study)
            source = source_of("dicomweb", server, rate={"instances_per_minute": 200}, timeout_s=10)
            running = ends.enter_context(poller(tmp_path, receiving.url, source))
            wait_for(lambda: receiving.count(uid_of(study)) >= 5, "some images")
        wait_for(lambda: bool(running.said(away)), "the complaint")
        with orthanc_server(tmp_path / "orthanc", http_port=port):
            wait_for(lambda: bool(running.said("study brought")), "the rest")
        assert running.said("the source is back")
        assert not running.said("study set aside, it is tried again later")
        assert running.child.poll() is None
    assert receiving.count(uid_of(study)) == 50


def test_a_gateway_that_is_away_is_waited_for(kafka: str, tmp_path: Path, number: str) -> None:
    study = todays_study(number)
    ports = Gateway(free_port(), free_port())
    with orthanc_for(tmp_path, ports) as server:
        put(server.http, study)
        with poller(tmp_path, ports.url, source_of("c-get", server)) as running:
            away = "the gateway is away and will be tried until it is back"
            wait_for(lambda: bool(running.said(away)), "the complaint")
            with gateway(tmp_path / "gateway", kafka, ports):
                wait_for(lambda: bool(running.said("study brought")), "the study")
                assert ports.count(uid_of(study)) == 6
                assert len(running.said(away)) == 1


def test_only_wanted_studies_are_brought(receiving: Gateway, tmp_path: Path, number: str) -> None:
    """A filter that only series can answer: the station name."""
    wanted, other = todays_study(f"{number}.1"), todays_study(f"{number}.2")
    for image in wanted:
        image.StationName = "CT_ER_1"
    with orthanc_for(tmp_path, receiving) as server:
        put(server.http, wanted + other)
        source = source_of("dicomweb", server, filters={"modalities": ["MR"], "stations": ["ct_er*"]})
        with poller(tmp_path, receiving.url, source) as running:
            wait_for(lambda: bool(running.said("study brought")), "the wanted study")

            def all_looked_at() -> bool:
                standing = read_standing(directory_of(tmp_path, "pacs"))
                return standing is not None and standing.complete == 2

            wait_for(all_looked_at, "both studies")
            started = time.monotonic()
            assert stop(running.child) == 0
            assert time.monotonic() - started < 15
    assert receiving.count(uid_of(wanted)) == 6
    assert receiving.count(uid_of(other)) == 0


async def test_credentials_come_from_a_file_and_a_wrong_one_is_told(
    receiving: Gateway, tmp_path: Path, number: str
) -> None:
    secret = tmp_path / "password"
    users = {"AuthenticationEnabled": True, "RegisteredUsers": {"reader": "s3cret"}}
    with orthanc_for(tmp_path, receiving, **users) as server:
        entry = source_of("dicomweb", server, username="reader", password_file=str(secret))
        source = choose(parse(json.dumps({"sources": {"pacs": entry}}), "file"), "pacs")
        secret.write_text("s3cret", encoding="utf-8")
        assert (await check("pacs", source)).ok
        secret.write_text("wrong", encoding="utf-8")
        assert "refuses us (HTTP 401)" in (await check("pacs", source)).trouble
