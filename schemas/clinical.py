"""Settings of the HL7 listener and of what both it and the gateway do with a patient's identity.

As in :mod:`schemas.settings`: built once in a process's ``main()``, frozen, named by environment variables.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from schemas.settings import Block


class PatientSettings(Block):
    """Patient keys: what the gateway and the HL7 listener must have in common."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="SCANSTREAM_PATIENT_")

    key_secret: SecretStr | None = Field(
        default=None, description="the same on every machine; unset: made once, in SCANSTREAM_DATA_DIR"
    )
    key_secret_file: Path | None = None
    default_issuer: str = Field(
        default="", max_length=64, description="assigning authority of identifiers that name none"
    )
    one_issuer: bool = Field(
        default=False, description="every identifier is of the default issuer, whatever a message or image says"
    )


class QualityControlSettings(Block):
    """Images of phantoms and calibrations, beyond those that say so in (0028,0300)."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="SCANSTREAM_GATEWAY_")

    quality_control_patterns: tuple[str, ...] = Field(
        default=(), description='of patient ID, name or a description, such as ["*phantom*"]; case is ignored'
    )


class Hl7Settings(Block):
    """HL7 v2 listener over MLLP: orders and admissions."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="SCANSTREAM_HL7_")

    host: str = "127.0.0.1"
    port: int = Field(default=2575, ge=0, le=65535, description="set: `scanstream up` runs the listener too")
    sources_file: Path | None = Field(default=None, description="YAML; unset: every sender that reaches the port")
    tls_certificate: Path | None = Field(default=None, description="PEM, ours first; unset: no TLS")
    tls_key: Path | None = Field(default=None, description="PEM; default: in the certificate's file")
    tls_key_password_file: Path | None = None
    tls_ca: Path | None = Field(default=None, description="PEM, what signs the certificates of senders")
    tls_mutual: bool = Field(default=True, description="only senders with a certificate of the CA")
    max_message_bytes: int = Field(default=1024 * 1024, ge=1024)
    max_connections: int = Field(default=256, ge=1)
    max_waiting: int = Field(default=5000, ge=1, description="messages in hand; more are answered AR")
    max_waiting_bytes: int = Field(default=64 * 1024 * 1024, ge=1024)
    message_timeout_s: float = Field(default=60.0, gt=0, description="longest time for one message to come in")
    kafka_timeout_s: float = Field(
        default=5.0, ge=1, description="longest time that Kafka may take for a message; then it is answered AR"
    )
    idle_timeout_s: float = Field(default=14_400.0, gt=0, description="longest time between two messages")
    batch: int = Field(default=256, ge=1, le=2000, description="messages of one Kafka transaction")
    keep_rejected: int = Field(
        default=1000, ge=0, description="messages answered AE that are kept on disk, for the newest of them"
    )
