"""Both framings are read by one reader; a registry's refusals become what the runtime must do."""

from __future__ import annotations

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import httpx
import pytest

from producers.registry_client import SchemaRegistry
from producers.schema_registry import codec_from
from schemas import registry
from schemas.codec import CONFLUENT, SINGLE_OBJECT, Codec
from schemas.errors import ConfigurationError, DestinationUnavailable, UnknownSchema
from schemas.events import ArrivalHint
from schemas.settings import RegistrySettings
from schemas.values import HintKind
from tests.tools import free_port

URL = "http://registry.example:8081"


def hint(study: str = "1.2.3") -> ArrivalHint:
    return ArrivalHint("id-1", datetime(2026, 1, 2, tzinfo=UTC), study, "gateway", HintKind.ASSOCIATION_RELEASED)


def client(*answers: httpx.Response, url: str = URL) -> tuple[SchemaRegistry, list[httpx.Request]]:
    seen: list[httpx.Request] = []
    stream = iter(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return next(stream)

    return SchemaRegistry(RegistrySettings(url=url), httpx.MockTransport(answer)), seen


def test_without_a_url_messages_describe_themselves():
    codec = codec_from(RegistrySettings(url=None))
    assert codec.encode(hint()).startswith(SINGLE_OBJECT)


def test_an_id_is_asked_for_once():
    schema = json.dumps(registry.current("ArrivalHint"))
    schemas, seen = client(
        httpx.Response(200, json={"id": 7}), httpx.Response(200), httpx.Response(200, json={"schema": schema})
    )
    codec = Codec(schemas)
    payload = codec.encode(hint())
    assert payload[:5] == CONFLUENT + b"\0\0\0\7"
    assert codec.decode(payload) == codec.decode(codec.encode(hint())) == hint()
    assert [(request.method, request.url.path) for request in seen] == [
        ("POST", "/subjects/scanstream.v1.ArrivalHint/versions"),
        ("PUT", "/config/scanstream.v1.ArrivalHint"),
        ("GET", "/schemas/ids/7"),
    ]
    assert json.loads(seen[1].content) == {"compatibility": "BACKWARD_TRANSITIVE"}


@pytest.mark.parametrize(
    ("answer", "error", "words"),
    [
        (httpx.Response(401), ConfigurationError, "put user and password into SCHEMA_REGISTRY_URL"),
        (httpx.Response(409, json={"message": "field gone"}), ConfigurationError, "field gone"),
        (httpx.Response(503), DestinationUnavailable, "HTTP 503, Service Unavailable"),
        (httpx.Response(404, text="<html>"), ConfigurationError, "check the path of SCHEMA_REGISTRY_URL"),
        (httpx.Response(200, json=[]), ConfigurationError, "has no id"),
    ],
)
def test_a_refusal_says_what_to_do(answer, error, words):
    schemas, _ = client(*[answer] * 3, url="http://user:secret@registry.example:8081")
    with pytest.raises(error, match=words) as raised:
        schemas.id_of("ArrivalHint")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize("schema", ['"string"', "{", '{"type": "record"}', '["null", "int"]'])
def test_a_schema_of_somebody_else_is_unknown(schema):
    schemas, _ = client(httpx.Response(200, json={"schema": schema}))
    with pytest.raises(UnknownSchema, match="schema id 5 of the registry is not"):
        schemas.schema_of(5)


@pytest.mark.parametrize("url", ["registry:8081", "http://", "http://[::1", "ftp://registry"])
def test_a_url_that_is_none_is_refused(url):
    with pytest.raises(ConfigurationError, match="SCHEMA_REGISTRY_URL"):
        codec_from(RegistrySettings(url=url))


def test_a_registry_that_is_away_is_waited_for_not_for_ever():
    codec = codec_from(RegistrySettings(url=f"http://127.0.0.1:{free_port()}", timeout_s=2.0))
    with pytest.raises(DestinationUnavailable, match="does not answer"):
        codec.encode(hint())


@pytest.mark.integration
def test_both_framings_are_read_by_one_reader(apicurio):
    writer = codec_from(RegistrySettings(url=apicurio))
    reader = codec_from(RegistrySettings(url=apicurio))
    framed, described = writer.encode(hint()), Codec().encode(hint("1.2.4"))
    assert framed.startswith(CONFLUENT)
    assert described.startswith(SINGLE_OBJECT)
    assert reader.decode(framed) == hint()
    assert reader.decode(described) == hint("1.2.4")


@pytest.mark.integration
def test_every_record_is_registered_with_backward_transitive_compatibility(apicurio):
    schemas = SchemaRegistry(RegistrySettings(url=apicurio))
    for record in registry.record_names():
        assert schemas.schema_of(schemas.id_of(record))["name"] == f"scanstream.v1.{record}"
        config = httpx.get(f"{apicurio}/config/scanstream.v1.{record}").json()
        assert config["compatibilityLevel"] == "BACKWARD_TRANSITIVE"
    again = SchemaRegistry(RegistrySettings(url=apicurio))
    assert [again.id_of(record) for record in registry.record_names()] == [
        schemas.id_of(record) for record in registry.record_names()
    ]


@pytest.mark.integration
def test_a_schema_that_old_readers_cannot_read_is_refused(apicurio, monkeypatch):
    settings = RegistrySettings(url=apicurio)
    SchemaRegistry(settings).id_of("ArrivalHint")
    changed = {**registry.current("ArrivalHint")}
    changed["fields"] = [*changed["fields"], {"name": "without_default", "type": "string"}]
    monkeypatch.setattr(registry, "current", lambda _record: changed)
    with pytest.raises(ConfigurationError, match=r"refuses scanstream\.v1\.ArrivalHint"):
        SchemaRegistry(settings).id_of("ArrivalHint")


@pytest.mark.integration
def test_an_unknown_id_is_one_sentence(apicurio):
    payload = CONFLUENT + (999_999).to_bytes(4, "big") + b"\0"
    with pytest.raises(UnknownSchema) as raised:
        codec_from(RegistrySettings(url=apicurio)).decode(payload)
    assert str(raised.value) == (
        f"schema id 999999 is not in the registry at {apicurio}: "
        "check that writer and reader use the same SCHEMA_REGISTRY_URL"
    )


def test_a_conflict_of_a_race_is_no_refusal():
    busy = httpx.Response(409, json={"message": "A rule named 'COMPATIBILITY' already exists."})
    schemas, seen = client(
        busy, httpx.Response(200, json={"id": 7}), busy, httpx.Response(200, json={"compatibility": "x"})
    )
    assert schemas.id_of("ArrivalHint") == 7
    assert [request.method for request in seen] == ["POST", "POST", "PUT", "PUT"]


def test_a_registry_that_stays_busy_is_waited_for():
    busy = httpx.Response(409, json={"message": "busy"})
    schemas, _ = client(httpx.Response(200, json={"id": 7}), *[busy] * 3)
    with pytest.raises(DestinationUnavailable, match=r"busy with scanstream\.v1\.ArrivalHint"):
        schemas.id_of("ArrivalHint")


@pytest.mark.integration
def test_processes_of_a_new_site_register_at_the_same_time(apicurio):
    for record in registry.record_names():
        answer = httpx.delete(f"{apicurio}/subjects/scanstream.v1.{record}")
        assert answer.status_code in {200, 404}
    start = threading.Barrier(6, timeout=60.0)

    def register(_: int) -> list[int]:
        schemas = SchemaRegistry(RegistrySettings(url=apicurio, timeout_s=30.0))
        ids = []
        for record in registry.record_names():
            start.wait()
            ids.append(schemas.id_of(record))
        return ids

    with ThreadPoolExecutor(start.parties) as pool:
        answers = list(pool.map(register, range(start.parties)))
    assert answers == [answers[0]] * start.parties
