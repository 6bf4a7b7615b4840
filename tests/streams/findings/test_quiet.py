"""A library that reports each attempt is heard once a minute for each kind of trouble."""

from __future__ import annotations

import logging

from producers.once_per_minute import OncePerMinute
from streams.findings.quiet import quieten


def record(name: str, text: str, at_s: float, *arguments: object) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.ERROR, __file__, 1, text, arguments, None)
    made.created = at_s
    return made


def test_one_record_of_a_kind_is_written_each_minute() -> None:
    once = OncePerMinute()
    moments = [0.0, 1.0, 59.0, 60.0, 61.0, 130.0]
    assert [at for at in moments if once.filter(record("client", "node %s is away", at, at))] == [0.0, 60.0, 130.0]


def test_other_troubles_and_other_loggers_are_heard() -> None:
    once = OncePerMinute()
    assert once.filter(record("client", "node %s is away", 0))
    assert once.filter(record("client", "no coordinator", 0))
    assert once.filter(record("client.fetcher", "node %s is away", 0))


def test_every_logger_of_the_library_is_filtered_and_no_other() -> None:
    names = ("talkative", "talkative.inner", "talkative_not")
    loggers = [logging.getLogger(name) for name in names]
    quieten("talkative")
    assert [len(logger.filters) for logger in loggers] == [1, 1, 0]
