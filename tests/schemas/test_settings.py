"""Settings whose files are missing are said in one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from schemas.errors import ConfigurationError
from schemas.settings import KafkaSettings


def test_the_password_of_kafka_may_come_from_a_file(tmp_path: Path):
    file = tmp_path / "password"
    file.write_text("s3cret\n")
    assert KafkaSettings(sasl_password_file=file).librdkafka()["sasl.password"] == "s3cret"


def test_a_password_file_that_cannot_be_read_is_named(tmp_path: Path):
    (tmp_path / "binary").write_bytes(b"\xff\xfe")
    for name in ("nowhere", "binary"):
        with pytest.raises(ConfigurationError, match=f"KAFKA_SASL_PASSWORD_FILE .*{name} cannot be read"):
            KafkaSettings(sasl_password_file=tmp_path / name).librdkafka()
