from __future__ import annotations

import json

import numpy as np
import pytest

from engines import triton_errors, v2
from engines.config_pbtxt import TensorSpec
from schemas.errors import (
    ConfigurationError,
    DestinationUnavailable,
    InvalidInput,
    OutOfMemory,
    TransientFailure,
)

ARRAYS = {
    "a": np.arange(6, dtype=np.float32).reshape(2, 3),
    "b": np.array([True, False]),
    "c": np.array([], np.int64),
    "d": np.array(2.5, np.float64),
}


@pytest.mark.parametrize("binary", [True, False])
def test_what_is_sent_can_be_read_back(binary: bool) -> None:
    body, length = v2.request(ARRAYS, ["y"], binary)
    told = json.loads(body[:length])
    assert [each["datatype"] for each in told["inputs"]] == ["FP32", "BOOL", "INT64", "FP64"]
    assert told["outputs"][0]["name"] == "y"
    answer = json.dumps({"outputs": told["inputs"]}).encode()
    arrays = v2.answer(answer + body[length:], len(answer)) if binary else v2.answer(answer, None)
    for name, array in ARRAYS.items():
        assert (arrays[name].dtype, arrays[name].shape) == (array.dtype, array.shape)
        np.testing.assert_array_equal(arrays[name], array)
        arrays[name][...] = 0


def test_json_cannot_tell_everything() -> None:
    with pytest.raises(InvalidInput, match="input x holds half floats"):
        v2.request({"x": np.zeros(1, np.float16)}, ["y"], binary=False)
    with pytest.raises(InvalidInput, match="no finite numbers"):
        v2.request({"x": np.array([np.inf])}, ["y"], binary=False)


def output(**changes: object) -> bytes:
    entry = {"name": "y", "datatype": "FP32", "shape": [2], "parameters": {"binary_data_size": 8}}
    return json.dumps({"outputs": [entry | changes]}).encode()


@pytest.mark.parametrize(
    ("body", "length"),
    [
        (b"", None),
        (b"<html>", None),
        (b"[]", None),
        (b"{}", None),
        (b'{"outputs": 3}', None),
        (b'{"outputs": [3]}', None),
        (b"\xff\xfe", None),
        (output(datatype="BYTES") + bytes(8), len(output(datatype="BYTES"))),
        (output() + bytes(7), len(output())),
        (output(shape=[3]) + bytes(12), len(output(shape=[3]))),
        (output(shape=[-2]) + bytes(8), len(output(shape=[-2]))),
        (
            output(parameters={"binary_data_size": "8"}) + bytes(8),
            len(output(parameters={"binary_data_size": "8"})),
        ),
        (output(parameters={}, data=[1.0]), None),
        (output(parameters={}, data=["a", "b"]), None),
        (output(parameters={}), None),
        (output(), 3),
    ],
)
def test_an_answer_that_is_none_is_refused(body: bytes, length: int | None) -> None:
    with pytest.raises(TransientFailure, match="no inference response of the v2 protocol"):
        v2.answer(body, length)


def test_an_answer_that_lacks_an_output_is_refused() -> None:
    specs = [TensorSpec("y", "float32", (1,)), TensorSpec("z", "float32", (1,))]
    with pytest.raises(TransientFailure, match=r"lacks the outputs \['z'\]"):
        v2.complete({"y": np.zeros(1)}, specs)


def test_metadata_that_cannot_be_used() -> None:
    with pytest.raises(ConfigurationError, match="name has datatype BYTES"):
        v2.specs([{"name": "name", "datatype": "BYTES", "shape": [1]}], "m")
    with pytest.raises(ConfigurationError, match="does not tell its inputs"):
        v2.specs([], "m")


def test_a_server_without_versions_is_asked_for_none() -> None:
    assert v2.version_to_ask("1", [], "m") is None
    assert v2.version_to_ask(None, ["1"], "m") is None
    assert v2.version_to_ask("1", ["1", "2"], "m") == "1"


@pytest.mark.parametrize(
    ("status", "said", "error"),
    [
        (400, "unexpected shape for input 'x'", InvalidInput),
        (401, "who?", ConfigurationError),
        (403, "no", ConfigurationError),
        (404, "unknown model", TransientFailure),
        (429, "slow down", TransientFailure),
        (500, "internal", TransientFailure),
        (500, "CUDA failure 2: out of memory", OutOfMemory),
        (400, "Failed to allocate memory for requested buffer", OutOfMemory),
        (502, "bad gateway", DestinationUnavailable),
        (503, "unavailable", DestinationUnavailable),
        (504, "late", DestinationUnavailable),
    ],
)
def test_statuses_of_http(status: int, said: str, error: type[Exception]) -> None:
    found = triton_errors.of_http("http://s", status, said, 7.0)
    assert type(found) is error
    assert said in str(found)
    assert getattr(found, "retry_after_s", 7.0) == 7.0


@pytest.mark.parametrize(
    ("code", "said", "error"),
    [
        ("UNAVAILABLE", "failed to connect", DestinationUnavailable),
        ("DEADLINE_EXCEEDED", "late", TransientFailure),
        ("INVALID_ARGUMENT", "unexpected shape", InvalidInput),
        ("PERMISSION_DENIED", "no", ConfigurationError),
        ("UNAUTHENTICATED", "who?", ConfigurationError),
        ("RESOURCE_EXHAUSTED", "out of memory", OutOfMemory),
        ("INTERNAL", "broken", TransientFailure),
        ("NOT_FOUND", "unknown model", TransientFailure),
    ],
)
def test_statuses_of_grpc(code: str, said: str, error: type[Exception]) -> None:
    found = triton_errors.of_grpc("grpc://s", code, said)
    assert type(found) is error
    assert said in str(found)
