"""Connection settings → what Faust calls a broker and credentials."""

from __future__ import annotations

import ssl

from faust.auth import SASLCredentials, SSLCredentials
from faust.types.auth import CredentialsT, SASLMechanism

from schemas.errors import ConfigurationError
from schemas.settings import KafkaSettings, secret_of


def brokers(settings: KafkaSettings) -> list[str]:
    """Addresses of the brokers as Faust writes them."""
    return [f"kafka://{server.strip()}" for server in settings.bootstrap_servers.split(",")]


def credentials(settings: KafkaSettings) -> CredentialsT | None:
    """Who we are to the brokers; ``None`` for a connection in clear and without a name.

    Raises
    ------
    ConfigurationError
        The mechanism is none of Kafka's, or a file cannot be read.
    """
    context = _tls(settings) if settings.security_protocol in ("SSL", "SASL_SSL") else None
    if not settings.security_protocol.startswith("SASL"):
        return SSLCredentials(context) if context is not None else None
    try:
        mechanism = SASLMechanism(settings.sasl_mechanism or "PLAIN")
    except ValueError:
        raise ConfigurationError(
            f"KAFKA_SASL_MECHANISM is {settings.sasl_mechanism!r}: set PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512"
        ) from None
    return SASLCredentials(
        username=settings.sasl_username,
        password=secret_of(settings.sasl_password, settings.sasl_password_file, "KAFKA_SASL_PASSWORD"),
        ssl_context=context,
        mechanism=mechanism,
    )


def _tls(settings: KafkaSettings) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=settings.ssl_ca_location)
    except OSError as error:
        raise ConfigurationError(
            f"KAFKA_SSL_CA_LOCATION {settings.ssl_ca_location} cannot be used ({type(error).__name__}): "
            "name a file of PEM certificates"
        ) from error
