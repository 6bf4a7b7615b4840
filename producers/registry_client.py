"""Confluent-compatible schema registry: record → id when writing, id → writer's schema when reading.

Registers the current schema of a record under the subject ``scanstream.v1.<Record>`` when it is first written, and
asks for ``BACKWARD_TRANSITIVE`` compatibility, so that every reader of today can read all of yesterday. Answers
are kept for the life of the process: an id never changes its meaning. Every request has a timeout.
"""

from __future__ import annotations

import json
from typing import Any, Final

import httpx
from fastavro.schema import SchemaParseException, parse_schema

from schemas import registry
from schemas.errors import ConfigurationError, DestinationUnavailable, UnknownSchema
from schemas.settings import RegistrySettings

COMPATIBILITY: Final = "BACKWARD_TRANSITIVE"
_TRIES: Final = 3
_MEDIA_TYPE: Final = "application/vnd.schemaregistry.v1+json"


class SchemaRegistry:
    """Client of one registry; what :class:`schemas.codec.Codec` needs of it.

    Parameters
    ----------
    settings
        URL of the Confluent API (such as ``http://host/apis/ccompat/v7`` of Apicurio) and timeout.
    transport
        Of httpx, for tests; ``None`` is the network.
    """

    def __init__(self, settings: RegistrySettings, transport: httpx.BaseTransport | None = None) -> None:
        if not settings.url:
            raise ConfigurationError("no schema registry is configured: set SCHEMA_REGISTRY_URL")
        try:
            self._base = httpx.URL(settings.url.rstrip("/"))
        except httpx.InvalidURL as error:
            raise ConfigurationError(
                f"SCHEMA_REGISTRY_URL is not a URL ({error}): write http://host:port"
            ) from error
        if self._base.scheme not in {"http", "https"} or not self._base.host:
            raise ConfigurationError("SCHEMA_REGISTRY_URL is not a URL: write http://host:port")
        self._client = httpx.Client(
            timeout=settings.timeout_s,
            headers={"accept": f"{_MEDIA_TYPE}, application/json", "content-type": _MEDIA_TYPE},
            transport=transport,
            limits=httpx.Limits(max_keepalive_connections=0),  # asked once for each schema: nothing to keep open
        )
        self._ids: dict[str, int] = {}
        self._schemas: dict[int, registry.Schema] = {}

    def id_of(self, record: str) -> int:
        """Registry id of the current schema of a record, registered when it is new.

        Raises
        ------
        DestinationUnavailable
            The registry is away.
        ConfigurationError
            The registry refuses the schema, or refuses us.
        """
        known = self._ids.get(record)
        if known is None:
            known = self._ids[record] = self._register(record)
        return known

    def schema_of(self, schema_id: int) -> registry.Schema:
        """Writer's schema of a registry id.

        Raises
        ------
        UnknownSchema
            The registry does not know the id, or what it has is no Avro record.
        DestinationUnavailable
            The registry is away.
        ConfigurationError
            The registry refuses us.
        """
        known = self._schemas.get(schema_id)
        if known is None:
            known = self._schemas[schema_id] = self._fetch(schema_id)
        return known

    def _register(self, record: str) -> int:
        subject = f"{registry.NAMESPACE}.{record}"
        schema = json.dumps(registry.current(record))
        answer = self._put("POST", f"subjects/{subject}/versions", {"schema": schema, "schemaType": "AVRO"})
        if answer.status_code in {httpx.codes.CONFLICT, httpx.codes.UNPROCESSABLE_ENTITY}:
            raise ConfigurationError(
                f"the schema registry refuses {subject} ({_reason(answer)}): "
                "this release is older than what is registered, or the registry belongs to another system"
            )
        schema_id = _member(self._good(answer), "id")
        rule = self._put("PUT", f"config/{subject}", {"compatibility": COMPATIBILITY})
        if rule.status_code == httpx.codes.CONFLICT:
            raise DestinationUnavailable(
                f"the schema registry at {self._where} is busy with {subject} ({_reason(rule)}): look at its log"
            )
        self._good(rule)
        return int(schema_id)

    def _put(self, method: str, path: str, body: dict[str, str]) -> httpx.Response:
        """Write, and once more after a conflict: several processes of a new site register the same at once.

        Apicurio answers 409 to the one that comes second in such a race; a real incompatibility stays one.
        """
        for _ in range(_TRIES):
            answer = self._ask(method, path, body)
            if answer.status_code != httpx.codes.CONFLICT:
                break
        return answer

    def _fetch(self, schema_id: int) -> registry.Schema:
        answer = self._ask("GET", f"schemas/ids/{schema_id}")
        if answer.status_code == httpx.codes.NOT_FOUND:
            raise UnknownSchema(
                f"schema id {schema_id} is not in the registry at {self._where}: "
                "check that writer and reader use the same SCHEMA_REGISTRY_URL"
            )
        text = _member(self._good(answer), "schema")
        try:
            schema = parse_schema(json.loads(text))
        except (SchemaParseException, ValueError, TypeError, KeyError) as error:
            raise UnknownSchema(f"schema id {schema_id} of the registry is not Avro ({error})") from error
        if not isinstance(schema, dict) or schema.get("type") != "record":
            raise UnknownSchema(
                f"schema id {schema_id} of the registry is not an Avro record: it is no event of ours"
            )
        return schema

    def _ask(self, method: str, path: str, body: dict[str, str] | None = None) -> httpx.Response:
        try:
            return self._client.request(method, f"{self._base}/{path}", json=body)
        except httpx.TransportError as error:
            raise DestinationUnavailable(
                f"the schema registry at {self._where} does not answer ({type(error).__name__}): "
                "check SCHEMA_REGISTRY_URL and that the registry is up"
            ) from error

    def _good(self, answer: httpx.Response) -> httpx.Response:
        """Translate a refusal into what the runtime must do."""
        code = answer.status_code
        if answer.is_success:
            return answer
        if code in {httpx.codes.UNAUTHORIZED, httpx.codes.FORBIDDEN}:
            raise ConfigurationError(
                f"the schema registry at {self._where} refuses us (HTTP {code}): "
                "put user and password into SCHEMA_REGISTRY_URL"
            )
        if code >= httpx.codes.INTERNAL_SERVER_ERROR or code == httpx.codes.TOO_MANY_REQUESTS:
            raise DestinationUnavailable(
                f"the schema registry at {self._where} is in trouble (HTTP {code}, {_reason(answer)}): "
                "look at its log"
            )
        raise ConfigurationError(
            f"{self._where} does not speak the Confluent schema registry's API (HTTP {code}, {_reason(answer)}): "
            "check the path of SCHEMA_REGISTRY_URL"
        )

    @property
    def _where(self) -> str:
        """URL without credentials."""
        return str(self._base.copy_with(userinfo=b""))


def _member(answer: httpx.Response, name: str) -> Any:
    try:
        return answer.json()[name]
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(
            f"the schema registry's answer has no {name}: check the path of SCHEMA_REGISTRY_URL"
        ) from error


def _reason(answer: httpx.Response) -> str:
    """The registry's own words, or the HTTP phrase."""
    try:
        return str(answer.json()["message"]).splitlines()[0]
    except (ValueError, KeyError, TypeError, IndexError):
        return answer.reason_phrase
