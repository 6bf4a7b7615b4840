"""Model on a Triton or other KServe v2 server, over gRPC → inference there; needs the extra ``triton``.

Guarantee: as of :mod:`engines.triton_http`; arrays travel as raw bytes.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from engines import triton_errors, v2
from engines.base import Runtime, Tensors, was_closed
from engines.tensors import fitting
from schemas.errors import ConfigurationError, DestinationUnavailable, TransientFailure

#: Largest answer, in bytes; gRPC's own limit of 4 MB is less than one small volume.
_LARGEST: Final = 2**31 - 1
_CONNECT_S: Final = 10.0


class TritonGrpcEngine(Runtime):
    """One model of a v2 server.

    Parameters
    ----------
    url
        Address of the server, ``grpc://host:8001``, or ``grpcs://`` for TLS.
    model
        Name of the model there.
    version
        Its version there; ``None`` takes what the server serves.
    timeout_s
        Seconds that one inference may take.

    Raises
    ------
    ConfigurationError
        The client is not installed, or the server has no such model or version.
    DestinationUnavailable
        The server is away, or its model is not ready.
    """

    def __init__(self, url: str, model: str, version: str | None = None, timeout_s: float = 60.0) -> None:
        self.check_available()
        from tritonclient import grpc
        from tritonclient.utils import InferenceServerException

        self._grpc, self._failure = grpc, InferenceServerException
        self._server, self._model, self._timeout_s = url, model, timeout_s
        self._closed = False
        scheme, _, address = url.partition("://")
        options = [
            ("grpc.max_send_message_length", _LARGEST),
            ("grpc.max_receive_message_length", _LARGEST),
            # as over HTTP: no proxy of the environment
            ("grpc.enable_http_proxy", 0),
        ]
        self._client = grpc.InferenceServerClient(address.rstrip("/"), ssl=scheme == "grpcs", channel_args=options)
        try:
            self._describe(version)
        except BaseException:
            self._client.close()
            raise

    @classmethod
    def unavailable(cls) -> str | None:
        """Say what is missing, if anything is."""
        for name in ("tritonclient", "grpc"):
            if importlib.util.find_spec(name) is None:
                return f"{name} is not installed: install scanstream[triton], or name an http:// address"
        return None

    def infer(self, tensors: Tensors) -> dict[str, NDArray[Any]]:
        """Send one inference and wait for its answer; raises as :meth:`TritonHttpEngine.infer` does."""
        inputs = []
        for name, array in fitting(self._inputs, tensors).items():
            value = self._grpc.InferInput(name, list(array.shape), v2.DATATYPES[array.dtype.name])
            value.set_data_from_numpy(array)
            inputs.append(value)
        outputs = [self._grpc.InferRequestedOutput(spec.name) for spec in self._outputs]
        answer = self._ask(
            lambda: self._client.infer(
                self._model,
                inputs,
                model_version=self._version,
                outputs=outputs,
                client_timeout=self._timeout_s,
            )
        )
        arrays = {spec.name: answer.as_numpy(spec.name) for spec in self._outputs}
        told = {name: np.array(array) for name, array in arrays.items() if array is not None}
        return v2.complete(told, self._outputs)

    def close(self) -> None:
        """End the connection."""
        self._closed = True
        self._client.close()

    def _describe(self, version: str | None) -> None:
        wait = min(self._timeout_s, _CONNECT_S)
        where = f"{self._model} on {self._server}"
        server = self._ask(lambda: self._client.get_server_metadata(client_timeout=wait), describes=True)
        try:
            model = self._ask(
                lambda: self._client.get_model_metadata(self._model, client_timeout=wait), describes=True
            )
        except TransientFailure as error:
            said = str(error).removesuffix("; it is tried again")
            raise ConfigurationError(
                f"{said}; check triton_url, and that the server has loaded this model"
            ) from error
        self._version = v2.version_to_ask(version, list(model.versions), where) or ""
        self._inputs = v2.specs([_plain(entry) for entry in model.inputs], where)
        self._outputs = v2.specs([_plain(entry) for entry in model.outputs], where)
        ready = self._ask(
            lambda: self._client.is_model_ready(self._model, self._version, client_timeout=wait), describes=True
        )
        if not ready:
            raise DestinationUnavailable(f"{where} is not ready: check the server's log")
        self._identity = f"{server.name} {server.version} gRPC"

    def _ask(self, call: Callable[[], Any], *, describes: bool = False) -> Any:
        if self._closed:
            raise was_closed()
        try:
            return call()
        except self._failure as error:
            code = str(error.status() or "UNKNOWN").removeprefix("StatusCode.")
            if describes and code == "DEADLINE_EXCEEDED":  # a server that is there says at once what it serves
                raise DestinationUnavailable(
                    f"{self._server} did not say in time what it serves: check the server"
                ) from error
            raise triton_errors.of_grpc(self._server, code, str(error.message())[:500]) from error


def _plain(entry: Any) -> dict[str, Any]:
    return {"name": entry.name, "datatype": entry.datatype, "shape": list(entry.shape)}
