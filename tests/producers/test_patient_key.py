from __future__ import annotations

import multiprocessing
import stat
from pathlib import Path

import pytest
from pydantic import SecretStr

from producers.patient_age import years_between, years_of
from producers.patient_key import FILE_NAME, PatientKeys, patient_keys, secret_of_site
from schemas.clinical import PatientSettings
from schemas.errors import ConfigurationError

KEYS = PatientKeys(b"a secret of the tests")


def test_a_key_says_nothing_and_is_always_the_same() -> None:
    key = KEYS.key("4711", "HOSP")
    assert key is not None
    assert len(key) == 32
    assert key == PatientKeys(b"a secret of the tests").key("4711", "HOSP")
    assert key != PatientKeys(b"another secret, longer").key("4711", "HOSP")
    assert "4711" not in key


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("4711", "HOSP"), (" 4711 ", "hosp")),
        (("4711", None), ("4711", "")),
        (("\uff14\uff17\uff11\uff11", "HOSP"), ("4711", "HOSP")),
        (("4711", "Лікарня"), ("4711\0", "ЛІКАРНЯ")),
    ],
)
def test_what_means_the_same_is_the_same(one: tuple[str, str | None], other: tuple[str, str | None]) -> None:
    assert KEYS.key(*one) == KEYS.key(*other)


def test_what_may_be_somebody_else_is_somebody_else() -> None:
    several = [
        ("4711", "HOSP"),
        ("4711", None),
        ("04711", "HOSP"),
        ("a1", "HOSP"),
        ("A1", "HOSP"),
        ("1", "HOSPA"),
        ("A1", "H"),
    ]
    assert len({KEYS.key(*one) for one in several}) == len(several)


@pytest.mark.parametrize("nobody", [None, "", "  ", "\0"])
def test_no_identifier_no_key(nobody: str | None) -> None:
    assert KEYS.key(nobody, "HOSP") is None


def test_who_names_no_issuer_has_the_default_one() -> None:
    keys = PatientKeys(b"a secret of the tests", "HOSP")
    assert keys.key("4711") == KEYS.key("4711", "HOSP")
    assert keys.key("4711", "OTHER") == KEYS.key("4711", "OTHER")
    one = PatientKeys(b"a secret of the tests", "HOSP", one_issuer=True)
    assert one.key("4711", "OTHER") == KEYS.key("4711", "HOSP")


def test_a_secret_comes_from_a_variable_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("0123456789abcdef\n")
    from_file = patient_keys(PatientSettings(key_secret_file=file), tmp_path)
    given = patient_keys(PatientSettings(key_secret=SecretStr("0123456789abcdef")), tmp_path)
    assert from_file.key("1") == given.key("1")
    assert not (tmp_path / FILE_NAME).exists()
    with pytest.raises(ConfigurationError, match="SCANSTREAM_PATIENT_KEY_SECRET is shorter"):
        secret_of_site(PatientSettings(key_secret=SecretStr("short")), tmp_path)


def _first(folder: Path, made: multiprocessing.Queue[bytes]) -> None:
    made.put(secret_of_site(PatientSettings(), folder))


def test_processes_that_start_together_share_one_secret(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    made: multiprocessing.Queue[bytes] = context.Queue()
    folder = tmp_path / "new" / "data"
    processes = [context.Process(target=_first, args=(folder, made)) for _ in range(8)]
    for process in processes:
        process.start()
    secrets = {made.get(timeout=30) for _ in processes}
    for process in processes:
        process.join(30)
    assert len(secrets) == 1
    assert len(next(iter(secrets))) == 64
    assert [file.name for file in folder.iterdir()] == [FILE_NAME]
    assert stat.S_IMODE((folder / FILE_NAME).stat().st_mode) == 0o600


def test_a_secret_that_is_cut_off_is_not_made_anew(tmp_path: Path) -> None:
    (tmp_path / FILE_NAME).write_text("abc")
    with pytest.raises(ConfigurationError, match="restore it"):
        secret_of_site(PatientSettings(), tmp_path)


@pytest.mark.parametrize(
    ("age", "years"),
    [
        ("045Y", 45),
        ("018M", 1.5),
        ("006M", 0.5),
        ("003W", 0),
        ("040W", 0.75),
        ("010D", 0),
        ("024M", 2),
        ("730D", 1.92),
        ("45", None),
        ("", None),
        (None, None),
        ("999Y", None),
        ("abcY", None),
    ],
)
def test_ages(age: str | None, years: float | None) -> None:
    assert years_of(age) == years


@pytest.mark.parametrize(
    ("birth", "day", "years"),
    [
        ("19610309", "20261122", 65),
        ("19611123", "20261122", 64),
        ("20250122", "20261122", 1.83),
        ("20261122", "20261122", 0),
        ("20240229", "20260228", 1.92),
        ("20240229", "20260301", 2),
        ("20270101", "20261122", None),
        ("19000231", "20261122", None),
        ("", "20261122", None),
        ("1961", None, None),
    ],
)
def test_ages_by_dates(birth: str, day: str | None, years: float | None) -> None:
    assert years_between(birth, day) == years
