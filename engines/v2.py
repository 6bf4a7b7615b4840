"""Arrays ↔ messages of the Open Inference Protocol (KServe v2), in JSON and with Triton's binary tensors.

Protocol: https://github.com/kserve/open-inference-protocol (``specification/protocol/inference_rest.md``);
binary tensors: Triton's ``protocol/extension_binary_data.md``. Guarantee: an answer that does not say what its
arrays are, or does not hold all of them, is refused.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engines.config_pbtxt import TensorSpec
from schemas.errors import ConfigurationError, InvalidInput, TransientFailure

#: numpy dtype → datatype of the protocol.
DATATYPES: Final = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
}
DTYPES: Final = {datatype: dtype for dtype, datatype in DATATYPES.items()}

#: Length of the JSON before the binary tensors.
LENGTH_HEADER: Final = "Inference-Header-Content-Length"

Json = dict[str, Any]


def specs(entries: Sequence[Mapping[str, Any]], where: str) -> tuple[TensorSpec, ...]:
    """Inputs or outputs of a model's metadata.

    Raises
    ------
    ConfigurationError
        There are none, or a datatype is none that numpy has.
    """
    if not entries:
        raise ConfigurationError(f"{where}: the server does not tell its inputs and outputs: use one that does")
    found = []
    for entry in entries:
        datatype = str(entry.get("datatype"))
        if datatype not in DTYPES:
            raise ConfigurationError(
                f"{where}: {entry.get('name')} has datatype {datatype}: only {', '.join(DTYPES)} can be sent"
            )
        dims = tuple(int(size) for size in entry.get("shape", []))
        found.append(TensorSpec(str(entry["name"]), DTYPES[datatype], dims))
    return tuple(found)


def version_to_ask(wanted: str | None, served: Sequence[str], where: str) -> str | None:
    """Version to name in requests; ``None`` where the server has none or any goes.

    Raises
    ------
    ConfigurationError
        The server has others.
    """
    if wanted is None or not served:
        return None
    if wanted not in served:
        raise ConfigurationError(
            f"{where}: the versions {list(served)} are served and {wanted} is wanted: add it to the server's "
            "repository, or allow it in version_policy"
        )
    return wanted


def request(arrays: Mapping[str, NDArray[Any]], outputs: Sequence[str], binary: bool) -> tuple[bytes, int | None]:
    """Body of an inference request.

    Parameters
    ----------
    arrays
        Inputs by name, without gaps in memory.
    outputs
        Names of the outputs that are wanted.
    binary
        Whether the server has the extension for binary tensors.

    Returns
    -------
    tuple
        The body, and the length of its JSON where binary tensors follow.

    Raises
    ------
    InvalidInput
        An array cannot be told in JSON: half floats, and what is no finite number.
    """
    described: list[Json] = []
    pieces: list[bytes] = []
    for name, array in arrays.items():
        tensor: Json = {"name": name, "shape": list(array.shape), "datatype": DATATYPES[array.dtype.name]}
        if binary:
            pieces.append(_little_endian(array).tobytes())
            tensor["parameters"] = {"binary_data_size": len(pieces[-1])}
        else:
            tensor["data"] = _told(name, array)
        described.append(tensor)
    wanted = [
        {"name": name, "parameters": {"binary_data": True}} if binary else {"name": name} for name in outputs
    ]
    head = json.dumps({"inputs": described, "outputs": wanted}, separators=(",", ":")).encode()
    return (b"".join([head, *pieces]), len(head)) if binary else (head, None)


def answer(body: bytes, json_length: int | None) -> dict[str, NDArray[Any]]:
    """Outputs by name of an inference response.

    Parameters
    ----------
    body
        Of the response.
    json_length
        Value of its header ``Inference-Header-Content-Length``, if there is one.

    Raises
    ------
    TransientFailure
        The response is not what the protocol says: the server broke off, or is another kind of server.
    """
    head, binary = (body, b"") if json_length is None else (body[:json_length], body[json_length:])
    try:
        arrays, at = {}, 0
        for output in json.loads(head)["outputs"]:
            array, at = _array(output, binary, at)
            arrays[str(output["name"])] = array
    except (ValueError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise TransientFailure(
            f"the answer is no inference response of the v2 protocol ({type(error).__name__}: {error}): "
            "check that triton_url names a v2 server"
        ) from error
    return arrays


def complete(arrays: dict[str, NDArray[Any]], outputs: Sequence[TensorSpec]) -> dict[str, NDArray[Any]]:
    """The outputs of the model in its order, once all are there.

    Raises
    ------
    TransientFailure
        An output is missing.
    """
    missing = [spec.name for spec in outputs if spec.name not in arrays]
    if missing:
        raise TransientFailure(f"the server's answer lacks the outputs {missing}: it is tried again")
    return {spec.name: arrays[spec.name] for spec in outputs}


def _array(output: Json, binary: bytes, at: int) -> tuple[NDArray[Any], int]:
    dtype = np.dtype(DTYPES[output["datatype"]])
    shape = tuple(int(size) for size in output["shape"])
    size = output.get("parameters", {}).get("binary_data_size")
    if size is None:
        return np.array(output["data"], dtype).reshape(shape), at
    if size != dtype.itemsize * math.prod(shape) or at + size > len(binary):
        raise ValueError(f"{output['name']} has {size} bytes, {len(binary) - at} are left")
    array = np.frombuffer(binary, dtype.newbyteorder("<"), math.prod(shape), at).astype(dtype)
    return array.reshape(shape), at + size


def _told(name: str, array: NDArray[Any]) -> list[Any]:
    if array.dtype == np.float16:
        raise InvalidInput(
            f"input {name} holds half floats, which JSON cannot tell: use a server with binary tensors"
        )
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise InvalidInput(f"input {name} holds values that are no finite numbers, which JSON cannot tell")
    told: list[Any] = array.ravel().tolist()
    return told


def _little_endian(array: NDArray[Any]) -> NDArray[Any]:
    return array.astype(array.dtype.newbyteorder("<"), copy=False)
