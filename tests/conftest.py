"""Services shared by the whole test session; started when the first test asks for them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from schemas.settings import KafkaSettings

# how long an example takes says something about the machine, not about the code
settings.register_profile("scanstream", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("scanstream")


@pytest.fixture(scope="session")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Bootstrap servers of a real Kafka with every topic of the table.

    Our own local broker, or the cluster that KAFKA_BOOTSTRAP_SERVERS names. Shared by all tests: use fresh UIDs
    and consumer groups.
    """
    from producers.topic_admin import create_topics
    from tests.services import kafka_broker

    given = os.environ.get("KAFKA_BOOTSTRAP_SERVERS")
    if given:
        create_topics(KafkaSettings())
        yield given
        return
    with kafka_broker(tmp_path_factory.mktemp("kafka")) as servers:
        create_topics(KafkaSettings(bootstrap_servers=servers))
        yield servers


@pytest.fixture(scope="session")
def apicurio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of the Confluent API of a real schema registry, shared by all tests."""
    from tests.services import apicurio_registry

    with apicurio_registry(tmp_path_factory.mktemp("apicurio")) as url:
        yield url


@pytest.fixture
def kafka_settings(kafka: str) -> KafkaSettings:
    """Connection settings of the shared Kafka."""
    return KafkaSettings(bootstrap_servers=kafka)
