"""A model server whose time is not this machine's: what a worker with a GPU of its own sees.

``python -m benchmarks.accelerator PORT SECONDS MODEL`` speaks the Open Inference Protocol (KServe v2) on 127.0.0.1
for one model of ``windows_model.py``, which halves its input. Each inference occupies the accelerator for so many
seconds, one after the other, and no processor. It stands for the GPU that is not here; that TensorRT would keep
such a time it does not show.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import numpy as np
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from benchmarks.windows_model import LARGE, SMALL, Windows
from engines.v2 import LENGTH_HEADER
from tests.services import program, wait_for
from tests.tools import free_port

_MODELS: Final = {model.name: model for model in (SMALL, LARGE)}


def app(seconds: float, served: Windows) -> Starlette:
    """The server of a model; one inference takes so many seconds."""
    busy, tensor = asyncio.Lock(), {"datatype": "FP32", "shape": served.dims}

    async def server(_: Request) -> Response:
        return JSONResponse({"name": "accelerator", "version": "1", "extensions": ["binary_tensor_data"]})

    async def model(_: Request) -> Response:
        described: dict[str, Any] = {"name": served.name, "versions": ["1"], "platform": "accelerator"}
        described["inputs"] = [{"name": "in", **tensor}]
        described["outputs"] = [{"name": "out", **tensor}]
        return JSONResponse(described)

    async def ready(_: Request) -> Response:
        return JSONResponse({})

    async def infer(request: Request) -> Response:
        body = await request.body()
        values = np.frombuffer(body, "<f4", offset=int(request.headers[LENGTH_HEADER]))
        async with busy:
            await asyncio.sleep(seconds)
        out = (values * np.float32(0.5)).tobytes()
        described = {"name": "out", **tensor, "parameters": {"binary_data_size": len(out)}}
        head = json.dumps({"model_name": served.name, "model_version": "1", "outputs": [described]}).encode()
        return Response(head + out, 200, {LENGTH_HEADER: str(len(head))}, "application/octet-stream")

    path = "/v2/models/{name}"
    return Starlette(
        routes=[
            Route("/v2", server),
            *(Route(path + version, model) for version in ("", "/versions/{version}")),
            *(Route(path + version + "/ready", ready) for version in ("", "/versions/{version}")),
            *(
                Route(path + version + "/infer", infer, methods=["POST"])
                for version in ("", "/versions/{version}")
            ),
        ]
    )


@contextmanager
def accelerator(seconds: float, model: Windows, log: Path) -> Iterator[str]:
    """One in a process of its own: its address."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "benchmarks.accelerator", str(port), str(seconds), model.name]

    def up() -> bool:
        try:
            return httpx.get(f"{url}/v2").is_success
        except httpx.TransportError:
            return False

    with program(command, environment={}, log=log):
        wait_for(up, "the accelerator")
        yield url


def main() -> int:
    """Serve until told to stop."""
    port, seconds, model = int(sys.argv[1]), float(sys.argv[2]), _MODELS[sys.argv[3]]
    uvicorn.run(app(seconds, model), host="127.0.0.1", port=port, log_level="warning")
    return 0


if __name__ == "__main__":
    sys.exit(main())
