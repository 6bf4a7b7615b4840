"""Connection settings in Faust's words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from faust.auth import SASLCredentials, SSLCredentials
from pydantic import SecretStr

from schemas.errors import ConfigurationError
from schemas.settings import KafkaSettings
from streams.findings.connection import brokers, credentials


def test_every_broker_is_named() -> None:
    assert brokers(KafkaSettings(bootstrap_servers="a:9092, b:9093")) == ["kafka://a:9092", "kafka://b:9093"]


def test_a_connection_in_clear_has_no_credentials() -> None:
    assert credentials(KafkaSettings()) is None


def test_tls_alone_has_a_context() -> None:
    assert isinstance(credentials(KafkaSettings(security_protocol="SSL")), SSLCredentials)


@pytest.mark.parametrize(("protocol", "encrypted"), [("SASL_PLAINTEXT", False), ("SASL_SSL", True)])
def test_a_name_and_password_are_passed_on(protocol: Any, encrypted: bool) -> None:
    settings = KafkaSettings(
        security_protocol=protocol,
        sasl_mechanism="SCRAM-SHA-512",
        sasl_username="findings",
        sasl_password=SecretStr("Ґ"),
    )
    made = credentials(settings)
    assert isinstance(made, SASLCredentials)
    assert (made.username, made.password, made.mechanism.value) == ("findings", "Ґ", "SCRAM-SHA-512")
    assert (made.ssl_context is not None) is encrypted


def test_an_unknown_mechanism_is_refused_with_a_remedy() -> None:
    with pytest.raises(ConfigurationError, match="KAFKA_SASL_MECHANISM"):
        credentials(KafkaSettings(security_protocol="SASL_PLAINTEXT", sasl_mechanism="ROT13"))


def test_a_missing_file_of_certificates_is_refused_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="KAFKA_SSL_CA_LOCATION"):
        credentials(KafkaSettings(security_protocol="SSL", ssl_ca_location=tmp_path / "none.pem"))
