"""The lock decides what runs: missing files are fetched, damaged ones are named, good ones are not read again."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import pytest

from dashboards.local import fetch, jars
from dashboards.local.java import Java, runtime
from dashboards.local.locked_file import LockedFile
from schemas.errors import ConfigurationError

JAVA = Java(Path("/nowhere"), Path("/nowhere/bin/java"), "0")
CONTENT = b"bytes of a jar"
FILE = LockedFile("org.example:thing:1.0", hashlib.sha256(CONTENT).hexdigest())


def test_a_coordinate_names_a_file():
    file = LockedFile("io.example:app:3.3.3:tar.gz:all", "00")
    assert (file.group, file.artifact, file.version) == ("io.example", "app", "3.3.3")
    assert file.filename == "app-3.3.3-all.tar.gz"
    assert FILE.filename == "thing-1.0.jar"


def test_the_lock_names_kafka_and_the_registry_and_no_host():
    kafka = jars.locked("kafka")
    assert kafka[0].coordinate == "org.apache.kafka:kafka_2.13:4.3.0"
    assert len({file.filename for file in kafka}) == len(kafka)
    assert len(jars.locked("apicurio")) == 1
    text = jars.LOCK_FILE.read_text()
    assert "//" not in text
    assert all(re.fullmatch("[0-9a-f]{64}", file.sha256) for file in kafka)


def test_the_cache_follows_xdg():
    assert jars.cache_directory({"XDG_CACHE_HOME": "/x"}) == Path("/x/scanstream/jars")
    assert jars.cache_directory({}) == Path.home() / ".cache" / "scanstream" / "jars"


def test_a_good_file_is_hashed_once(tmp_path, monkeypatch):
    (tmp_path / FILE.filename).write_bytes(CONTENT)
    assert jars.ensure([FILE], tmp_path, JAVA) == [tmp_path / FILE.filename]
    monkeypatch.setattr(fetch, "sha256", lambda _path: pytest.fail("read again"))
    assert jars.ensure([FILE], tmp_path, JAVA) == [tmp_path / FILE.filename]


def test_a_damaged_file_is_named_with_the_remedy(tmp_path):
    path = tmp_path / FILE.filename
    path.write_bytes(CONTENT)
    jars.ensure([FILE], tmp_path, JAVA)
    path.write_bytes(CONTENT[:-1] + b"?")
    with pytest.raises(ConfigurationError, match=rf"{re.escape(str(path))} is damaged.*delete that file"):
        jars.ensure([FILE], tmp_path, JAVA)


def test_another_lock_is_not_satisfied_by_what_was_verified_for_this_one(tmp_path):
    (tmp_path / FILE.filename).write_bytes(CONTENT)
    jars.ensure([FILE], tmp_path, JAVA)
    with pytest.raises(ConfigurationError, match="is damaged"):
        jars.ensure([LockedFile(FILE.coordinate, "0" * 64)], tmp_path, JAVA)


def test_a_damaged_memory_of_what_was_verified_is_forgotten(tmp_path):
    (tmp_path / FILE.filename).write_bytes(CONTENT)
    (tmp_path / jars.VERIFIED).write_text("[1")
    jars.ensure([FILE], tmp_path, JAVA)
    assert FILE.filename in json.loads((tmp_path / jars.VERIFIED).read_text())


@pytest.mark.integration
def test_no_network_is_said_in_one_sentence(tmp_path, monkeypatch):
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody answers there
    monkeypatch.setenv("no_proxy", "")
    with pytest.raises(ConfigurationError, match=r"cannot be fetched \(\w+\): connect this machine"):
        jars.ensure(jars.locked("kafka")[:1], tmp_path / "jars", runtime())
    assert list((tmp_path / "jars").iterdir()) == []
