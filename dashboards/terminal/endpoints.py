"""Where everything is: an environment variable decides, else the local stack, else the default."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import SecretStr
from pydantic_settings import BaseSettings

from dashboards.local.stack import Stack, read
from schemas.settings import ApiSettings, ClickHouseSettings, GatewaySettings, KafkaSettings


@dataclass(frozen=True)
class Endpoints:
    """Addresses of the system.

    Attributes
    ----------
    kafka
        Connection settings.
    dimse_host, dimse_port, ae_title
        The gateway's storage SCP.
    dicomweb
        Root of the gateway's DICOMweb service, without a trailing slash.
    api
        Root of the REST API, without a trailing slash.
    clickhouse
        ClickHouse DSN or HTTP address.
    """

    kafka: KafkaSettings
    dimse_host: str
    dimse_port: int
    ae_title: str
    dicomweb: str
    api: str
    clickhouse: SecretStr


def resolve(data_dir: Path) -> Endpoints:
    """Addresses as seen from here.

    Parameters
    ----------
    data_dir
        Of the local stack, which may or may not be up.
    """
    return of_stack(read(data_dir))


def of_stack(stack: Stack | None) -> Endpoints:
    """Addresses of a stack, as far as the environment does not name others."""
    gateway, clickhouse = GatewaySettings(), ClickHouseSettings()
    dsn = clickhouse.dsn
    if stack is None:
        return Endpoints(
            kafka=KafkaSettings(),
            dimse_host=gateway.dimse_host,
            dimse_port=gateway.dimse_port,
            ae_title=gateway.ae_title,
            dicomweb=gateway.base_url(),
            api=ApiSettings().base_url(),
            clickhouse=dsn or SecretStr(f"http://{clickhouse.embedded_http_host}:{clickhouse.embedded_http_port}"),
        )
    there = stack.endpoints
    host, _, port = there.gateway_dimse.rpartition(":")
    kafka, api = KafkaSettings(), ApiSettings()
    return Endpoints(
        kafka=kafka if _given(kafka, "bootstrap_servers") else KafkaSettings(bootstrap_servers=there.kafka),
        dimse_host=gateway.dimse_host if _given(gateway, "dimse_host") else host,
        dimse_port=gateway.dimse_port if _given(gateway, "dimse_port") else int(port),
        ae_title=gateway.ae_title,
        dicomweb=gateway.base_url() if _given(gateway, "public_url") else f"{there.gateway_http}/dicom-web",
        api=api.base_url() if _given(api, "public_url", "port") else there.api.rstrip("/"),
        clickhouse=dsn or SecretStr(there.clickhouse),
    )


def _given(settings: BaseSettings, *names: str) -> bool:
    return any(name in settings.model_fields_set for name in names)
