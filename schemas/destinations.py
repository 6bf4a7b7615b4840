"""Environment → settings of the systems that receive results, one block per writer."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr
from pydantic_settings import SettingsConfigDict

from schemas.settings import Block
from schemas.terminology import Language


class WriterSettings(Block):
    """What all writers share."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="SCANSTREAM_WRITER_")

    name: str | None = Field(
        default=None,
        pattern=r"^[a-z0-9][a-z0-9-]{0,39}$",
        description="of the destination, such as archive for a second PACS; default: the kind of the writer",
    )
    language: Language = Field(default=Language.ENGLISH, description="of texts for people: en or uk")
    concurrency: int = Field(default=2, ge=1, le=64, description="deliveries under way at once")
    per_second: float | None = Field(default=None, gt=0, description="most results per second; unset: no limit")


class StowSettings(Block):
    """The PACS that receives results, by STOW-RS or by C-STORE."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="SCANSTREAM_STOW_")

    pacs_url: str = Field(default="http://127.0.0.1:8042/dicom-web", description="DICOMweb root")
    username: str | None = None
    password: SecretStr | None = None
    password_file: Path | None = None
    timeout_s: float = Field(default=60.0, gt=0)
    batch_bytes: int = Field(default=64 * 1024 * 1024, ge=1, description="most bytes of one request")
    objects: str = Field(
        default="ohif", description="preset (ohif, weasis, orthanc, no-sr, all) or kinds such as seg,sr,sc"
    )
    transport: Literal["stow", "c-store"] = "stow"
    ae_title: str = Field(default="PACS", min_length=1, max_length=16, description="of the PACS")
    host: str = "127.0.0.1"
    port: int = Field(default=104, ge=1, le=65535)
    calling_ae_title: str = Field(default="SCANSTREAM", min_length=1, max_length=16)
    tls_ca: Path | None = Field(default=None, description="PEM; DIMSE with TLS, the PACS's certificate is of it")
    tls_certificate: Path | None = Field(default=None, description="PEM, ours, where the PACS asks for one")
    tls_key: Path | None = None
    storage_commitment: bool = Field(default=False, description="wait for the PACS to take responsibility")
    commitment_timeout_s: float = Field(default=60.0, gt=0, description="longest wait for its report")
    commitment_host: str = Field(
        default="127.0.0.1", description="where reports of a PACS that calls us are taken"
    )
    commitment_port: int | None = Field(
        default=None, ge=0, le=65535, description="unset: the PACS reports on the association that asked"
    )


class FhirSettings(Block):
    """The FHIR R4 server that receives reports."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="SCANSTREAM_FHIR_")

    base_url: str = "http://127.0.0.1:8080/fhir"
    token: SecretStr | None = None
    token_file: Path | None = None
    patient_identifier_system: str = "urn:scanstream:patient-id"
    accession_identifier_system: str = "urn:scanstream:accession-number"
    timeout_s: float = Field(default=30.0, gt=0)


class OruSettings(Block):
    """The HL7 v2 listener (RIS, EHR) that receives ORU^R01 over MLLP."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="SCANSTREAM_ORU_")

    host: str = "127.0.0.1"
    port: int = Field(default=2575, ge=1, le=65535)
    timeout_s: float = Field(default=30.0, gt=0, description="longest wait for an acknowledgement")
    tls: bool = False
    tls_ca: Path | None = Field(default=None, description="PEM; default: what the system trusts")
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    sending_application: str = "SCANSTREAM"
    sending_facility: str = ""
    receiving_application: str = "RIS"
    receiving_facility: str = ""
    processing_id: Literal["P", "T", "D"] = Field(default="P", description="MSH-11, such as T for training")
    assigning_authority: str = Field(default="", description="PID-3.4 of patient identifiers")


class CallbackSettings(Block):
    """Requesters who gave a callback URL with their task."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="SCANSTREAM_CALLBACK_")

    secret: SecretStr | None = Field(default=None, description="key of the HMAC signature")
    secret_file: Path | None = None
    allowed_hosts: tuple[str, ...] = Field(
        default=(), description="host, host:port or *.domain of those who may be called; nobody else is"
    )
    allow_private: bool = Field(default=False, description="allowed hosts may have loopback and private addresses")
    allow_http: bool = Field(default=False, description="also without TLS")
    timeout_s: float = Field(default=10.0, gt=0)


class EscalationSettings(Block):
    """Who is told of critical findings."""

    model_config = SettingsConfigDict(frozen=True, extra="ignore", env_prefix="SCANSTREAM_ESCALATION_")

    routes_file: Path | None = Field(default=None, description="YAML: contacts, channels, routes; required to run")
    rehearsal: bool = Field(default=False, description="everything happens and is marked as a rehearsal")
    acknowledge_url: str = Field(default="http://127.0.0.1:8080", description="root of the API, for links")
    link_secret: SecretStr | None = Field(default=None, description="key that signs acknowledgement links")
    link_secret_file: Path | None = None
