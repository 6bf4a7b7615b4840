"""A stack whose alarms go to a web server of ours, for tests and benchmarks."""

from __future__ import annotations

from pathlib import Path

import yaml

from tests.consumers.escalation.receiver import Receiver


def environment(folder: Path, ward: Receiver) -> dict[str, str]:
    """Settings of a stack that tells one contact by webhook; their files are in ``folder``."""
    routes = {
        "channels": {"phone": {"kind": "webhook", "url": f"{ward.url}phone"}},
        "contacts": {"neurosurgeon": {"language": "uk", "ways": [{"channel": "phone"}]}},
        "default": [{"contact": "neurosurgeon", "wait_s": 600}],
    }
    (folder / "routes.yaml").write_text(yaml.safe_dump(routes))
    (folder / "key").write_text("a key for signing links, of a test")
    return {
        "SCANSTREAM_ESCALATION_ROUTES_FILE": str(folder / "routes.yaml"),
        "SCANSTREAM_ESCALATION_LINK_SECRET_FILE": str(folder / "key"),
        "SCANSTREAM_ESCALATION_ACKNOWLEDGE_URL": "http://127.0.0.1:8080",
    }
