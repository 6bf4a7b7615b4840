"""A real Triton Inference Server on free ports: the one in the wheel of nvidia-pytriton, with its Python backend.

The wheel has no ONNX backend, so the models there run the same ONNX file in ONNX Runtime, in Triton's process.
"""

from __future__ import annotations

import os
import platform
import shutil
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from tests.engines.runtimes.peers import environment
from tests.services import program, wait_for
from tests.tools import free_port, missing

#: numpy 1, because the backend was built against it.
PACKAGES = (
    "nvidia-pytriton==0.7.0",
    "numpy==1.26.4",
    "onnxruntime==1.32.0",
    "flatbuffers==25.12.19",
    "packaging==26.3",
)
#: Model of the Python backend that runs ``model.onnx`` beside it.
MODEL = """
from pathlib import Path
import numpy as np
import onnxruntime
import triton_python_backend_utils as triton

class TritonPythonModel:
    def initialize(self, args):
        folder = Path(args["model_repository"]) / args["model_version"]
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        self.session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)

    def execute(self, requests):
        return [self.answer(request) for request in requests]

    def answer(self, request):
        given = {each.name: triton.get_input_tensor_by_name(request, each.name).as_numpy()
                 for each in self.session.get_inputs()}
        names = [each.name for each in self.session.get_outputs()]
        try:
            found = self.session.run(names, given)
        except Exception as error:
            return triton.InferenceResponse(error=triton.TritonError(str(error)))
        return triton.InferenceResponse([triton.Tensor(name, np.ascontiguousarray(array))
                                         for name, array in zip(names, found)])
"""
#: Answers after as many seconds as it is asked for.
SLOW = """
import time
import triton_python_backend_utils as triton

class TritonPythonModel:
    def execute(self, requests):
        answers = []
        for request in requests:
            wait = triton.get_input_tensor_by_name(request, "seconds").as_numpy()
            time.sleep(float(wait[0]))
            answers.append(triton.InferenceResponse([triton.Tensor("waited", wait)]))
        return answers
"""
SLOW_CONFIG = """
name: "slow"
backend: "python"
max_batch_size: 0
input { name: "seconds" data_type: TYPE_FP32 dims: [ 1 ] }
output { name: "waited" data_type: TYPE_FP32 dims: [ 1 ] }
"""


@dataclass(frozen=True)
class Server:
    """Where a running server listens, and its model repository."""

    http: str
    grpc: str
    repository: Path
    pid: int


@contextmanager
def triton(repository: Path, log: Path, ports: tuple[int, int] | None = None) -> Iterator[Server]:
    """Serve a repository until the block ends; every ``model.onnx`` in it is given a ``model.py`` that runs it."""
    if (sys.platform, platform.machine()) != ("linux", "x86_64"):
        missing("Triton's wheel is for Linux on x86-64")
    home = environment(f"triton-0.7.0-{sys.version_info.major}.{sys.version_info.minor}", PACKAGES)
    (site,) = home.glob("lib/python*/site-packages")
    server = site / "pytriton" / "tritonserver"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = server / "backends" / "python" / "triton_python_backend_stub"
    if not stub.exists():
        built = server / "python_backend_stubs" / version / stub.name
        if not built.exists():
            missing(f"Triton's wheel has no backend for Python {version}")
        shutil.copy(built, stub)
        stub.chmod(0o755)
        (server / "bin" / "tritonserver").chmod(0o755)
    for graph in repository.glob("*/1/model.onnx"):
        (graph.parent / "model.py").write_text(MODEL)
    http, grpc = ports or (free_port(), free_port())
    command = [
        str(server / "bin" / "tritonserver"),
        f"--model-repository={repository}",
        f"--backend-directory={server / 'backends'}",
        f"--backend-config=python,shm-region-prefix-name=scanstream{http}",
        *(f"--http-port={http}", "--http-address=127.0.0.1", f"--grpc-port={grpc}", "--grpc-address=127.0.0.1"),
        *("--allow-metrics=false", "--exit-timeout-secs=2", "--log-verbose=0"),
    ]
    libraries = [str(sysconfig.get_config_var("LIBDIR") or ""), os.environ.get("LD_LIBRARY_PATH", "")]
    settings = {
        "PATH": f"{home / 'bin'}:{os.environ['PATH']}",
        "LD_LIBRARY_PATH": ":".join(filter(None, libraries)),
    }
    url = f"http://127.0.0.1:{http}"
    with program(command, environment=settings, log=log) as child:

        def up() -> bool:
            assert child.poll() is None, f"Triton ended: {log.read_text()[-3000:]}"
            try:
                return httpx.get(f"{url}/v2/health/ready", trust_env=False).is_success
            except httpx.TransportError:
                return False

        wait_for(up, f"Triton on port {http}")
        yield Server(url, f"grpc://127.0.0.1:{grpc}", repository, child.pid)
