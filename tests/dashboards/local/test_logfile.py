"""Output of a process becomes JSON lines in files of bounded size."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from dashboards.local.logfile import LONGEST_LINE, LogFile, sentence_of

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


def test_json_lines_pass_and_other_lines_are_wrapped(tmp_path):
    log = LogFile(tmp_path / "p.log", "p", now=lambda: NOW)
    log.feed(b'{"event": "re')
    log.feed(b'ady"}\nTraceback\n\nno end of line')
    log.close()
    lines = [json.loads(line) for line in (tmp_path / "p.log").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["ready", "Traceback", "no end of line"]
    assert (lines[1]["process"], lines[1]["time"]) == ("p", "2026-01-02T03:04:05.000+00:00")
    assert log.last_line == "no end of line"


def test_size_is_bounded_by_rotation(tmp_path):
    log = LogFile(tmp_path / "p.log", "p", limit_bytes=1000)
    for number in range(200):
        log.feed(b'{"number": %d, "filler": "xxxxxxxxxxxxxxxxxxxxxxxxx"}\n' % number)
    log.close()
    files = sorted(tmp_path.iterdir())
    assert [file.name for file in files] == ["p.log", "p.log.1", "p.log.2"]
    assert all(file.stat().st_size <= 1000 for file in files)
    assert '"number": 199' in files[0].read_text()


def test_a_line_without_end_does_not_fill_memory(tmp_path):
    log = LogFile(tmp_path / "p.log", "p")
    for _ in range(5):
        log.feed(b"x" * LONGEST_LINE)
    log.close()
    assert len((tmp_path / "p.log").read_text().splitlines()) >= 2


def test_the_last_line_becomes_a_sentence_for_people():
    assert sentence_of("scanstream api: port 1 is in use") == "scanstream api: port 1 is in use"
    assert sentence_of('{"event": "stopped", "reason": "Kafka is away"}') == "Kafka is away"
    assert sentence_of('{"event": "stopped by an error"}') == "stopped by an error"
    assert sentence_of("[1]") == "[1]"
