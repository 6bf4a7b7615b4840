"""From a critical result to the button behind its link, with the real writer, the real API and a real Kafka."""

from __future__ import annotations

import re
import time
from html import unescape
from pathlib import Path
from urllib.parse import urljoin

import httpx
import pytest

from schemas.events import EscalationStage
from schemas.ids import dicom_uid
from schemas.settings import KafkaSettings
from tests.consumers.escalation.findings import critical, three_contacts
from tests.consumers.escalation.receiver import receiver
from tests.consumers.escalation.running import SECRET, Steps, publish, writer
from tests.services import module, wait_for
from tests.tools import free_port

pytestmark = pytest.mark.integration


def test_the_button_behind_a_link_ends_the_alarm(kafka_settings: KafkaSettings, tmp_path: Path) -> None:
    study, port = f"link-{time.time_ns()}", free_port()
    uid, root = dicom_uid("study", study), f"http://127.0.0.1:{port}"
    environment = {
        "KAFKA_BOOTSTRAP_SERVERS": kafka_settings.bootstrap_servers,
        "SCANSTREAM_API_PORT": str(port),
        "SCANSTREAM_DATA_DIR": str(tmp_path),
        "SCANSTREAM_ESCALATION_LINK_SECRET": SECRET,
    }
    routes = three_contacts()
    with (
        receiver() as people,
        module("dashboards.api", environment=environment, log=tmp_path / "api.txt"),
        writer(
            kafka_settings,
            three_contacts(people.url, wait_s=600),
            tmp_path,
            SCANSTREAM_ESCALATION_ACKNOWLEDGE_URL=root,
        ),
        httpx.Client(timeout=30) as client,
    ):
        steps = Steps(kafka_settings)
        publish(kafka_settings, critical(study))
        (told,) = people.wait(uid, 1)
        link = told.json["acknowledge_url"]
        assert link.startswith(root)

        def known() -> bool:
            try:
                return client.get(link).status_code == 200
            except httpx.TransportError:
                return False

        wait_for(known, "the page behind the link")
        page = client.get(link)
        assert "Критична знахідка" in page.text
        form = re.search(r'action="([^"]+)"', page.text)
        assert form is not None
        assert "Дякуємо" in client.post(urljoin(link, unescape(form[1]))).text
        done = steps.wait(uid, EscalationStage.ACKNOWLEDGED)
        assert done.actor == routes.default[0].contact
        wait_for(lambda: "Відповідальність уже взято" in client.get(link).text, "the page to say so")
        listed = client.get(f"{root}/escalations/{told.json['escalation_id']}").json()
        assert (listed["stage"], listed["actor"]) == ("acknowledged", "first")
        steps.close()
