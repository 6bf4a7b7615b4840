"""The least that does the same over HTTP: one bare FastAPI process. A peer.

POST validates the same body and waits until Kafka has acknowledged one message (acks=all); it knows no study, no
key that is sent twice, no transaction. GET answers from memory with bytes that are there already. Events: each
message of ``inference.status`` as soon as it is read.

    python -m benchmarks.bare_api BOOTSTRAP PORT FOLDER
"""

from __future__ import annotations

import asyncio
import sys
import threading
from collections.abc import AsyncIterator
from pathlib import Path

import orjson
import uvicorn
from confluent_kafka import Consumer, Producer, TopicPartition
from fastapi import FastAPI, Response
from fastapi.responses import StreamingResponse

from dashboards.orders.request import InferenceRequest
from schemas.codec import Codec
from schemas.events import TaskStatus
from schemas.topics import Topic


def app_of(bootstrap: str, folder: Path) -> FastAPI:
    """The application; ``folder`` holds the answers, each in a file of its name."""
    app, answers = FastAPI(), {file.name: file.read_bytes() for file in folder.iterdir()}
    producer = Producer({"bootstrap.servers": bootstrap, "acks": "all", "linger.ms": 0})

    @app.post("/v1/inference", status_code=202)
    def infer(body: InferenceRequest) -> dict[str, str]:
        done, problems = threading.Event(), list[object]()

        def told(error: object, _: object) -> None:
            problems.extend([] if error is None else [error])
            done.set()

        producer.produce(Topic.TASKS_P3, orjson.dumps(body.model_dump(mode="json")), on_delivery=told)
        while not done.is_set():
            producer.poll(0.01)
        if problems:
            raise RuntimeError(str(problems[0]))
        return {"status": "queued"}

    @app.get("/v1/events")
    async def events() -> StreamingResponse:
        return StreamingResponse(_statuses(bootstrap), media_type="text/event-stream")

    @app.get("/answers/{name}")
    async def answer(name: str) -> Response:
        return Response(answers[name], media_type="application/json")

    return app


async def _statuses(bootstrap: str) -> AsyncIterator[bytes]:
    loop, told = asyncio.get_running_loop(), asyncio.Queue[bytes]()
    stop = threading.Event()

    def tell(event: bytes) -> None:
        loop.call_soon_threadsafe(told.put_nowait, event)

    def assigned(consumer: Consumer, partitions: list[TopicPartition]) -> None:
        for one in partitions:
            # known now, and not when it first reads: the next message counts
            one.offset = consumer.get_watermark_offsets(one, timeout=10)[1]
        consumer.assign(partitions)
        tell(b": assigned\n\n")

    def read() -> None:
        codec = Codec()
        config = {"bootstrap.servers": bootstrap, "group.id": "bare-api"}
        consumer = Consumer(config | {"fetch.wait.max.ms": 200})
        consumer.subscribe([Topic.STATUS.value], on_assign=assigned)
        while not stop.is_set():
            message = consumer.poll(0.1)
            value = None if message is None or message.error() else message.value()
            status = None if value is None else codec.decode(bytes(value))
            if isinstance(status, TaskStatus):
                data = {"task_id": status.task_id, "progress": status.progress, "reason": status.reason}
                tell(b"data: " + orjson.dumps(data) + b"\n\n")
        consumer.close()

    threading.Thread(target=read, daemon=True).start()
    try:
        while True:
            yield await told.get()
    finally:
        stop.set()


if __name__ == "__main__":
    servers, port, directory = sys.argv[1:]
    uvicorn.run(app_of(servers, Path(directory)), port=int(port), log_config=None, access_log=False)
