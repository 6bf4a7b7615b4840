"""The least that tells people of critical findings: a Kafka consumer that decodes, looks and posts. A peer.

Commits by itself, keeps nothing, sends once and in line, and knows no second contact.

    python -m benchmarks.bare_alarm BOOTSTRAP URL
"""

from __future__ import annotations

import signal
import sys
import threading

import httpx
from confluent_kafka import Consumer

from schemas.codec import Codec
from schemas.events import Category, InferenceResult
from schemas.topics import Topic


def main(bootstrap: str, url: str) -> None:
    """Consume until told to end; prints a line when it has its partitions."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    codec, http = Codec(), httpx.Client(timeout=10)
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "bare-alarm",
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
        }
    )
    consumer.subscribe([Topic.RESULTS.value], on_assign=lambda *_: print("assigned", flush=True))
    while not stop.is_set():
        message = consumer.poll(0.2)
        if message is None or message.error() is not None:
            continue
        result = codec.decode(bytes(message.value() or b""))
        if not isinstance(result, InferenceResult):
            continue
        for finding in result.findings:
            if finding.category is Category.CRITICAL:
                told = {"study_instance_uid": result.study_instance_uid, "finding": finding.code.meaning}
                http.post(url, json=told)
    consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:])
