"""Environment and files → frozen, typed settings, one block per concern.

Built once in a process's ``main()`` and passed down; nothing reads the environment at import. Names are those of
the environment variables: ``KAFKA_BOOTSTRAP_SERVERS``, ``SCANSTREAM_GATEWAY_AE_TITLE`` and so on. Secrets are
``SecretStr``; that of Kafka may come from a file through ``KAFKA_SASL_PASSWORD_FILE``.
"""

from __future__ import annotations

import socket
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from schemas.errors import ConfigurationError
from schemas.topics import DEFAULT_WRITERS, STREAMS_GROUP, WORKER_GROUP

Protocol = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]


class Block(BaseSettings):
    """Base of every block: frozen, and blind to other variables."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore")


def secret_of(value: SecretStr | None, file: Path | None, variable: str) -> str | None:
    """A secret from its variable or from the file that ``<variable>_FILE`` names; ``None`` where neither is set.

    Raises
    ------
    ConfigurationError
        Both are set, or the file cannot be read.
    """
    if value is not None and file is not None:
        raise ConfigurationError(f"set {variable} or {variable}_FILE, not both")
    if file is None:
        return None if value is None else value.get_secret_value()
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{variable}_FILE {file} cannot be read ({type(error).__name__}): "
            "name a text file that this user may read"
        ) from error


class KafkaSettings(Block):
    """Where the log is and how to speak to it; the only place that names librdkafka's keys."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="KAFKA_")

    bootstrap_servers: str = "127.0.0.1:9092"
    security_protocol: Protocol = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: SecretStr | None = None
    sasl_password_file: Path | None = None
    ssl_ca_location: Path | None = None
    replication_factor: int = Field(default=1, ge=1, description="of the topics that we create")

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if self.sasl_password is not None and self.sasl_password_file is not None:
            raise ValueError("set KAFKA_SASL_PASSWORD or KAFKA_SASL_PASSWORD_FILE, not both")
        return self

    def librdkafka(self) -> dict[str, str | int | float | bool]:
        """Connection part of a librdkafka configuration.

        Raises
        ------
        ConfigurationError
            The file with the password cannot be read.
        """
        config: dict[str, str | int | float | bool] = {
            "bootstrap.servers": self.bootstrap_servers,
            "security.protocol": self.security_protocol,
            "socket.keepalive.enable": True,
            "reconnect.backoff.ms": 50,
            "reconnect.backoff.max.ms": 2000,
        }
        if self.sasl_mechanism:
            config["sasl.mechanism"] = self.sasl_mechanism
        if self.sasl_username:
            config["sasl.username"] = self.sasl_username
        password = secret_of(self.sasl_password, self.sasl_password_file, "KAFKA_SASL_PASSWORD")
        if password is not None:
            config["sasl.password"] = password
        if self.ssl_ca_location is not None:
            config["ssl.ca.location"] = str(self.ssl_ca_location)
        return config


class RegistrySettings(Block):
    """Confluent-compatible schema registry; unset means Avro single-object encoding."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="SCHEMA_REGISTRY_")

    url: str | None = None
    timeout_s: float = 10.0


class ProcessSettings(Block):
    """What every process has: identity, state directory, logs, metrics."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="SCANSTREAM_")

    site: str = "site-1"
    node: str = Field(default_factory=socket.gethostname, description="stable name of this process's place")
    data_dir: Path = Path(".scanstream")
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = "INFO"
    metrics_host: str = "127.0.0.1"
    metrics_port: int | None = Field(default=None, ge=0, le=65535, description="unset: no metrics endpoint")


class BrokerSettings(Block):
    """The local Apache Kafka; its data are under ``SCANSTREAM_DATA_DIR``."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="SCANSTREAM_BROKER_")

    port: int = Field(default=9092, ge=1, le=65535)
    controller_port: int = Field(default=9093, ge=1, le=65535)
    heap: str = Field(default="512m", pattern=r"^[1-9][0-9]*[kmg]$", description="largest Java heap, such as 512m")


class GatewaySettings(Block):
    """DIMSE and DICOMweb listener, and its store."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="SCANSTREAM_GATEWAY_")

    ae_title: str = Field(default="SCANSTREAM", min_length=1, max_length=16)
    dimse_host: str = "127.0.0.1"
    dimse_port: int = Field(default=11112, ge=0, le=65535)
    http_host: str = "127.0.0.1"
    http_port: int = Field(default=8042, ge=0, le=65535)
    public_url: str | None = Field(default=None, description="base of retrieve URLs; default http://HOST:PORT")
    require_called_ae_title: bool = Field(default=False, description="reject who calls us by another name")
    max_pdu_bytes: int = Field(default=128 * 1024, ge=4096)
    max_associations: int = Field(default=1200, ge=1)
    max_silent_connections: int = Field(default=2048, ge=1, description="TCP connections without an association")
    max_silent_of_one_address: int = Field(default=1280, ge=1)
    max_moves: int = Field(default=4, ge=1, description="C-MOVEs that send at the same time; more of them wait")
    artim_timeout_s: float = Field(default=30.0, gt=0)
    idle_timeout_s: float = Field(default=120.0, gt=0, description="longest time without a whole PDU")
    message_timeout_s: float = Field(default=900.0, gt=0, description="longest time for one DIMSE message")
    memory_bytes: int = Field(
        default=256 * 1024 * 1024, ge=0, description="data sets under way in memory; more of them grow on disk"
    )
    peers_file: Path | None = Field(default=None, description="YAML; unset: every AE title may do everything")
    dimse_tls_port: int | None = Field(default=None, ge=0, le=65535, description="unset: no listener with TLS")
    dimse_tls_certificate: Path | None = Field(default=None, description="PEM, ours first, then what signed it")
    dimse_tls_key: Path | None = Field(default=None, description="PEM; default: in the certificate's file")
    dimse_tls_key_password_file: Path | None = None
    dimse_tls_ca: Path | None = Field(default=None, description="PEM, what signs the certificates of peers")
    dimse_tls_mutual: bool = Field(default=True, description="only peers with a certificate of the CA")
    allow_delete: bool = Field(default=False, description="DELETE over DICOMweb, by everyone who reaches the port")
    disk_refuse_fraction: float = Field(default=0.90, gt=0, le=1, description="refuse with A700 above this use")
    disk_warn_fraction: float = Field(default=0.75, gt=0, le=1)
    conflict_policy: Literal["reject", "keep-first", "replace"] = Field(
        default="reject", description="other content under a SOP Instance UID that is stored"
    )
    commitment_grace_s: float = Field(
        default=10.0, ge=0, description="how long instances may still be on their way when asked to be committed"
    )
    commitment_report_hours: float = Field(default=24.0, gt=0, description="how long a report is tried")
    worklist_most: int = Field(default=50_000, ge=1, description="orders that are kept for modalities")
    worklist_keep_days: int = Field(default=7, ge=0, description="after the last scheduled step of an order")
    catch_up_per_s: float = Field(default=1000, gt=0, description="old events per second after an outage")
    catch_up_after_s: float = Field(default=30.0, gt=0, description="age from which an event is old, seconds")
    retention_days: float | None = Field(default=None, gt=0, description="unset: studies are kept for ever")
    retention_groups: tuple[str, ...] = Field(
        default=(STREAMS_GROUP, WORKER_GROUP, *DEFAULT_WRITERS),
        description="consumer groups without whose positions nothing is deleted",
    )

    def base_url(self) -> str:
        """Root of the DICOMweb service, without a trailing slash."""
        root = self.public_url or f"http://{self.http_host}:{self.http_port}"
        return f"{root.rstrip('/')}/dicom-web"


class PollerSettings(Block):
    """What all pollers share; each source is an entry of the file."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="SCANSTREAM_POLLER_")

    sources_file: Path | None = Field(default=None, description="YAML; required to poll")
    gateway_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^\s/?#]+[^\s?#]*$",
        description="DICOMweb root of the gateway; default: as the gateway's own settings say",
    )
    gateway_timeout_s: float = Field(default=60.0, gt=0)


class StreamsSettings(Block):
    """Assembler, priority and routing."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="SCANSTREAM_STREAMS_")

    rules_file: Path | None = Field(default=None, description="default: streams/rules.yaml of the release")
    commit_interval_s: float = Field(default=0.1, gt=0)
    context_most: int = Field(default=300_000, ge=1, description="orders and admissions that are kept")
    context_wait_s: float = Field(
        default=30.0, ge=0, description="longest wait for the first reading of clinical.context"
    )


class WorkerSettings(Block):
    """Inference worker."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="SCANSTREAM_WORKER_")

    model_repository: Path | None = Field(default=None, description="default: engines/models of the release")
    threads: int | None = Field(default=None, ge=1, description="ONNX Runtime intra-op threads")
    inter_threads: int | None = Field(default=None, ge=1, description="ONNX Runtime inter-op threads")
    device: Literal["cpu", "cuda"] = Field(default="cpu", description="where models run that do not say it")
    gpu_memory_mb: int | None = Field(default=None, ge=64, description="most GPU memory of one model, in MiB")
    plan_cache: Path | None = Field(default=None, description="TensorRT plans; default: the user's cache")
    triton_url: str | None = Field(
        default=None, description="Triton or KServe v2 server that runs the models: http(s):// or grpc(s)://"
    )
    triton_timeout_s: float = Field(default=60.0, gt=0, description="one inference there")
    fetch_timeout_s: float = Field(default=60.0, gt=0)
    mode: Literal["shared", "emergency-first", "emergency-only"] = Field(
        default="shared",
        description="emergency-first: one other task at a time; emergency-only: P1 and nothing else",
    )
    prefetch: int = Field(default=4, ge=1, description="tasks of a class under way at once; P1 is never kept back")
    start_timeout_s: float = Field(default=600.0, gt=0, description="longest time to load and validate the models")
    step_timeout_s: float = Field(default=600.0, gt=0, description="longest step of a computation")
    step_timeouts_s: dict[str, float] = Field(default={}, description="the same by name of the model, as JSON")
    drain_s: float = Field(default=10.0, ge=0, le=20, description="what runs gets this long to end at a stop")


class ClickHouseSettings(Block):
    """The audit store; without a DSN the audit writer opens the embedded engine and serves it over HTTP."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="CLICKHOUSE_")

    dsn: SecretStr | None = None
    embedded_http_host: str = "127.0.0.1"
    embedded_http_port: int = Field(default=8123, ge=0, le=65535)
    batch_rows: int = Field(default=10_000, ge=1)
    batch_interval_s: float = Field(default=0.5, gt=0)


class ApiSettings(Block):
    """REST and FHIR facade."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="SCANSTREAM_API_")

    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=0, le=65535)
    public_url: str | None = None

    def base_url(self) -> str:
        """Root of the service, without a trailing slash."""
        return (self.public_url or f"http://{self.host}:{self.port}").rstrip("/")
