"""docker/compose.yml beside the settings that the code reads. No container engine runs it here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from schemas.settings_document import blocks

ROOT = Path(__file__).parent.parent
COMPOSE = yaml.safe_load((ROOT / "docker" / "compose.yml").read_text())
#: Services that are programs of others.
FOREIGN = {"kafka", "clickhouse"}


def environment(service: str) -> dict[str, Any]:
    found: dict[str, Any] = COMPOSE["services"][service]["environment"]
    return found


def _known() -> set[str]:
    names = {f"{b.model_config.get('env_prefix', '')}{name}".upper() for b in blocks() for name in b.model_fields}
    # aliases that stand beside the prefix
    return names | {"CLICKHOUSE_DSN", "SCANSTREAM_DATA_DIR"}


@pytest.mark.parametrize("service", sorted(set(COMPOSE["services"]) - FOREIGN))
def test_every_variable_is_a_setting(service: str) -> None:
    assert set(environment(service)) <= _known()


def test_the_api_has_the_rules_and_the_callbacks_of_the_processes_that_go_by_them() -> None:
    api, streams, callback, alarms = map(environment, ("api", "streams", "writer-callback", "writer-escalation"))
    for name, other in (
        ("SCANSTREAM_STREAMS_RULES_FILE", streams),
        ("SCANSTREAM_CALLBACK_ALLOWED_HOSTS", callback),
        ("SCANSTREAM_CALLBACK_ALLOW_PRIVATE", callback),
        ("SCANSTREAM_CALLBACK_ALLOW_HTTP", callback),
        ("SCANSTREAM_ESCALATION_LINK_SECRET", alarms),
    ):
        # both pass it on from whoever starts them: an empty value would be a value
        assert {name: None}.items() <= api.items() & other.items()
    mounts = [set(COMPOSE["services"][name]["volumes"]) for name in ("api", "streams")]
    (rules,) = mounts[0] & mounts[1]
    assert rules.startswith("${SCANSTREAM_STREAMS_RULES_FILE:-/dev/null}:${SCANSTREAM_STREAMS_RULES_FILE:-/")
