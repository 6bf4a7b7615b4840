from __future__ import annotations

from datetime import time
from pathlib import Path

import pytest

from producers.poller.sources import GetSource, MoveSource, WebSource
from producers.poller.sources_file import choose, load, parse, secret
from schemas.errors import ConfigurationError

WHOLE = """
sources:
  main:
    kind: dicomweb
    url: https://pacs.example/dicom-web
    username: reader
    password_env: PACS_PASSWORD
    time_zone: Europe/Kyiv
    filters: {modalities: [CT, MR], descriptions: ["*head*"]}
    rate: {instances_per_minute: 600, studies_per_minute: 10}
    off_peak: {begin: 20:00, end: "06:00", urgent_modalities: [CT]}
    start_days: 3
    overlap_hours: 36
    max_concurrent: 4
    tls: {ca_file: /etc/ca.pem}
  old-pacs: {kind: c-move, host: 10.0.0.5, port: 104, ae_title: OLDPACS, destination: AI_GATEWAY}
  far: {kind: c-get, host: pacs.far, port: 11112, ae_title: FAR, tls: {}}
"""


def test_a_whole_file_is_read() -> None:
    sources = parse(WHOLE, "file")
    main, old, far = (choose(sources, name) for name in ("main", "old-pacs", "far"))
    assert isinstance(main, WebSource)
    assert isinstance(old, MoveSource)
    assert isinstance(far, GetSource)
    assert main.off_peak is not None
    # YAML takes an unquoted 20:00 for a number in base 60
    assert (main.off_peak.begin, main.off_peak.end) == (time(20), time(6))
    assert (old.destination, old.calling_ae_title, old.max_concurrent) == ("AI_GATEWAY", "SCANSTREAM", 1)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "sources: the field is missing"),
        ("sources: {}", "sources: Dictionary should have at least 1 item"),
        ("sources: [", "is not YAML"),
        ("sources: {a: {kind: ftp}}", "sources.a: kind must be one of dicomweb, c-move, c-get"),
        ("sources: {a: {url: http://x}}", "sources.a: the field kind is missing"),
        ("sources: {a: {kind: dicomweb}}", "sources.a.url: the field is missing"),
        ("sources: {a: {kind: dicomweb, url: pacs}}", "sources.a.url: give an http or https URL"),
        (
            "sources: {a: {kind: dicomweb, url: http://x, interval: 5}}",
            "sources.a.interval: there is no such field",
        ),
        (
            "sources: {a: {kind: dicomweb, url: http://x, time_zone: Europe/Kiiv}}",
            "sources.a: time_zone 'Europe/Kiiv'",
        ),
        ("sources: {a: {kind: dicomweb, url: http://x, time_zone: ../../etc/passwd}}", "sources.a: time_zone"),
        ("sources: {a: {kind: dicomweb, url: http://x, username: u}}", "sources.a: username belongs together"),
        ("sources: {a: {kind: c-get, host: h, port: 0, ae_title: A}}", "sources.a.port: Input should be greater"),
        ("sources: {a: {kind: c-get, host: h, port: 1, ae_title: 'A\\B'}}", "sources.a.ae_title: "),
        (
            "sources: {a: {kind: dicomweb, url: http://x, off_peak: {begin: 25:00, end: 06:00}}}",
            'sources.a.off_peak.begin: give a time of day such as "20:00"',
        ),
        ("sources: {../a: {kind: dicomweb, url: http://x}}", "sources.../a.[key]: String should match pattern"),
        ("sources: {a: {kind: dicomweb, url: http://x}, a: {kind: dicomweb, url: http://y}}", "a is given twice"),
        (
            "sources: {a: {kind: c-get, host: h, port: 1, ae_title: A, tls: {key_file: k}}}",
            "sources.a.tls: certificate_file and key_file belong together",
        ),
    ],
)
def test_a_mistake_is_one_sentence_that_names_the_field(text: str, said: str) -> None:
    with pytest.raises(ConfigurationError) as caught:
        parse(text, "pollers.yaml")
    assert str(caught.value).startswith("pollers.yaml")
    assert said in str(caught.value)


def test_files_and_names_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="set SCANSTREAM_POLLER_SOURCES_FILE"):
        load(None)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(tmp_path / "none.yaml")
    with pytest.raises(ConfigurationError, match="name one of far, main, old-pacs"):
        choose(parse(WHOLE, "file"), "other")


def test_secrets_come_from_where_the_file_says(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("s3cret\n", encoding="utf-8")
    assert secret(None, None, {}) is None
    for found in (secret("NAME", None, {"NAME": "s3cret"}), secret(None, file, {})):
        assert found is not None
        assert found.get_secret_value() == "s3cret"
    with pytest.raises(ConfigurationError, match="environment variable NAME"):
        secret("NAME", None, {})
    with pytest.raises(ConfigurationError, match="cannot be read"):
        secret(None, tmp_path / "none", {})
