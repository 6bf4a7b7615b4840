"""Every input that was ever of interest keeps its target's promise, without the fuzzer."""

from __future__ import annotations

import logging
import random
import time
import tracemalloc
from collections.abc import Iterator

import pytest

from producers.dimse.silence import silence
from tests.fuzz.targets import CORPUS, TARGETS

#: Far above what is seen (10 ms, 3 MB), far below what a reader without bounds would take.
ONE_INPUT_S = 10.0
MEMORY_BYTES = 48 * 1024 * 1024
MAX_CORPUS_BYTES = 2 * 1024 * 1024


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Refusals are what is asked for here; they need not be logged."""
    silence()
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", TARGETS)
def test_the_corpus_breaks_no_promise(name: str) -> None:
    inputs = sorted((CORPUS / name).iterdir())
    assert inputs, f"no seed for {name}: run python -m tests.fuzz.record"
    for path in inputs:
        data = path.read_bytes()
        begun = time.monotonic()
        try:
            TARGETS[name](data)
        except Exception as error:
            raise AssertionError(f"{path.relative_to(CORPUS)}: {type(error).__name__}: {error}") from error
        assert time.monotonic() - begun < ONE_INPUT_S, path.name


@pytest.mark.parametrize("name", TARGETS)
def test_a_reader_holds_no_more_than_its_bound(name: str) -> None:
    largest = max((path.read_bytes() for path in (CORPUS / name).iterdir()), key=len)
    tracemalloc.start()
    try:
        TARGETS[name](largest)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < MEMORY_BYTES


@pytest.mark.parametrize("name", TARGETS)
def test_seeds_with_a_few_wrong_bytes_break_no_promise(name: str) -> None:
    chance = random.Random(name)
    for path in sorted((CORPUS / name).iterdir())[:20]:
        data = bytearray(path.read_bytes())
        for _ in range(20):
            wrong = bytearray(data)
            for _ in range(chance.randrange(1, 4)):
                wrong[chance.randrange(len(wrong))] = chance.choice(
                    (0, 1, 0x7F, 0x80, 0xFF, chance.randrange(256))
                )
            TARGETS[name](bytes(wrong[: chance.choice((len(wrong), chance.randrange(len(wrong) + 1)))]))


def test_the_corpus_stays_small_and_every_folder_has_its_target() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS)
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < MAX_CORPUS_BYTES
