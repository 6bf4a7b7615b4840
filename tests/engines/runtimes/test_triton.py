from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engines.base import Engine
from engines.config_pbtxt import ModelConfig, model_config
from engines.runtimes import EngineOptions, engine_of
from engines.triton_grpc import TritonGrpcEngine
from engines.triton_http import TritonHttpEngine
from schemas.errors import ConfigurationError, DestinationUnavailable, InvalidInput, OutOfMemory, TransientFailure
from tests.engines.runtimes.contract import EngineContract, agree
from tests.engines.runtimes.graphs import HALF, HUGE, MIXED, half, huge, mixed, mixed_answer, mixed_inputs, write
from tests.engines.runtimes.triton import SLOW, SLOW_CONFIG, Server, triton
from tests.services import wait_for
from tests.tools import free_port

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("triton")
    repository = folder / "models"
    for name, config, graph in (("mixed", MIXED, mixed()), ("half", HALF, half()), ("huge", HUGE, huge())):
        write(repository, name, config, graph)
    (repository / "slow" / "1").mkdir(parents=True)
    (repository / "slow" / "1" / "model.py").write_text(SLOW)
    (repository / "slow" / "config.pbtxt").write_text(SLOW_CONFIG)
    with triton(repository, folder / "triton.log") as running:
        yield running


def url(server: Server, protocol: str) -> str:
    return server.http if protocol == "http" else server.grpc


def connect(server: Server, protocol: str, model: str, **options: Any) -> Engine:
    if protocol == "http":
        return TritonHttpEngine(server.http, model, **options)
    return TritonGrpcEngine(server.grpc, model, **options)


class TestTritonOverHttp(EngineContract):
    @pytest.fixture
    def engine(self, server: Server) -> Iterator[Engine]:
        engine = TritonHttpEngine(server.http, "mixed", "1")
        yield engine
        engine.close()


class TestTritonOverHttpInJson(EngineContract):
    @pytest.fixture
    def engine(self, server: Server) -> Iterator[Engine]:
        engine = TritonHttpEngine(server.http, "mixed", binary=False)
        yield engine
        engine.close()

    def test_no_numbers_pass_through(self, engine: Engine) -> None:
        inputs = mixed_inputs(1, 3)
        inputs["x"][0, 0, 0] = np.nan
        with pytest.raises(InvalidInput, match=r"input x .* JSON"):
            engine.infer(inputs)


class TestTritonOverGrpc(EngineContract):
    @pytest.fixture
    def engine(self, server: Server) -> Iterator[Engine]:
        engine = TritonGrpcEngine(server.grpc, "mixed", "1")
        yield engine
        engine.close()


both = pytest.mark.parametrize("protocol", ["http", "grpc"])


@both
def test_the_factory_goes_to_the_server_for_the_version_of_the_folder(server: Server, protocol: str) -> None:
    path = server.repository / "mixed" / "1" / "model.onnx"
    engine = engine_of(path, config_of("mixed", MIXED), EngineOptions(triton_url=url(server, protocol)))
    inputs = mixed_inputs(2, 3)
    agree(engine.infer(inputs), mixed_answer(inputs))
    assert engine.identity().startswith("triton 2.")
    engine.close()
    with pytest.raises(ConfigurationError, match=r"versions \['1'\] are served and 2 is wanted"):
        engine_of(
            path.parents[1] / "2" / "model.onnx",
            config_of("mixed", MIXED),
            EngineOptions(triton_url=url(server, protocol)),
        )


@both
def test_a_configuration_that_is_not_the_servers_is_named(server: Server, protocol: str) -> None:
    config = config_of("mixed", MIXED.replace("dims: [ 3 ]", "dims: [ 4 ]"))
    path = server.repository / "mixed" / "1" / "model.onnx"
    with pytest.raises(ConfigurationError, match=r"output largest .* dims is \[4\] and the graph has \[3\]"):
        engine_of(path, config, EngineOptions(triton_url=url(server, protocol)))


@both
def test_half_floats(server: Server, protocol: str) -> None:
    engine = connect(server, protocol, "half")
    x = np.arange(8, dtype=np.float16).reshape(2, 4)
    answer = engine.infer({"x": x})["y"]
    assert answer.dtype == np.float16
    np.testing.assert_array_equal(answer, x + x)
    engine.close()


@both
def test_out_of_memory_there_is_out_of_memory_here(server: Server, protocol: str) -> None:
    engine = connect(server, protocol, "huge")
    with pytest.raises(OutOfMemory, match="Failed to allocate memory"):
        engine.infer({"elements": np.array([1 << 44])})
    assert engine.infer({"elements": np.array([3])})["y"].shape == (3,)
    engine.close()


@both
def test_a_failure_there_is_tried_again(server: Server, protocol: str) -> None:
    engine = connect(server, protocol, "huge")
    with pytest.raises(TransientFailure, match="Expand") as failed:
        engine.infer({"elements": np.array([-5])})
    assert not isinstance(failed.value, OutOfMemory)
    engine.close()


@both
def test_an_answer_that_does_not_come_in_time_is_tried_again(server: Server, protocol: str) -> None:
    engine = connect(server, protocol, "slow", timeout_s=0.5)
    with pytest.raises(TransientFailure):
        engine.infer({"seconds": np.array([2.0], np.float32)})
    engine.close()


@both
def test_an_unknown_model_is_a_matter_of_configuration(server: Server, protocol: str) -> None:
    with pytest.raises(ConfigurationError, match="absent"):
        connect(server, protocol, "absent")


@both
def test_nobody_there(protocol: str) -> None:
    nobody = Server(f"http://127.0.0.1:{free_port()}", f"grpc://127.0.0.1:{free_port()}", Path(), 0)
    with pytest.raises(DestinationUnavailable, match="check"):
        connect(nobody, protocol, "mixed", timeout_s=3.0)


@both
def test_a_server_that_says_nothing_is_away(protocol: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        silent = Server(f"http://127.0.0.1:{port}", f"grpc://127.0.0.1:{port}", Path(), 0)
        with pytest.raises(DestinationUnavailable, match="check"):
            connect(silent, protocol, "mixed", timeout_s=1.0)


def test_another_kind_of_server() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        body = b"<html>hello</html>"
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s" % (len(body), body)
        thread = threading.Thread(target=serve_once, args=(listener, answer))
        thread.start()
        with pytest.raises(ConfigurationError, match="v2 protocol"):
            TritonHttpEngine(f"http://127.0.0.1:{listener.getsockname()[1]}", "mixed")
        thread.join()


@both
def test_a_server_that_is_killed_is_away_until_it_is_back(tmp_path: Path, protocol: str) -> None:
    repository, inputs, ports = tmp_path / "models", mixed_inputs(1, 2), (free_port(), free_port())
    write(repository, "mixed", MIXED, mixed())
    with triton(repository, tmp_path / "log", ports) as running:
        engine = connect(running, protocol, "mixed")
        os.kill(running.pid, signal.SIGKILL)
        wait_for(lambda: is_away(engine), "the server's end")
    with triton(repository, tmp_path / "log", ports):
        wait_for(lambda: not is_away(engine), "the way to the server")  # gRPC waits between two tries
        agree(engine.infer(inputs), mixed_answer(inputs))
        engine.close()


def is_away(engine: Engine) -> bool:
    try:
        engine.infer(mixed_inputs(1, 2))
    except DestinationUnavailable:
        return True
    return False


def serve_once(listener: socket.socket, answer: bytes) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.recv(65536)
        connection.sendall(answer)


def config_of(name: str, text: str) -> ModelConfig:
    config = model_config(text)
    assert config.name == name
    return config
