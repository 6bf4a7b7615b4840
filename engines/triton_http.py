"""Model on a Triton or other KServe v2 server, over HTTP → inference there.

Guarantee: one request, one answer, nothing is sent twice by itself; every failure says whether the server is away,
slow, out of memory or of another opinion about the input.
"""

from __future__ import annotations

import importlib.util
from typing import Any, Final
from urllib.parse import quote

from numpy.typing import NDArray

from engines import triton_errors, v2
from engines.base import Runtime, Tensors, was_closed
from engines.tensors import fitting
from schemas.errors import ConfigurationError, DestinationUnavailable, TransientFailure

_BINARY: Final = "binary_tensor_data"
#: An answer to "are you there" is never waited for as long as an inference.
_CONNECT_S: Final = 10.0


class TritonHttpEngine(Runtime):
    """One model of a v2 server.

    Parameters
    ----------
    url
        Root of the server, such as ``http://triton:8000``.
    model
        Name of the model there.
    version
        Its version there; ``None`` takes what the server serves.
    timeout_s
        Seconds that one inference may take.
    binary
        Send tensors as bytes and not as JSON; ``None`` does so where the server says that it can.

    Raises
    ------
    ConfigurationError
        The server has no such model or version, or speaks another protocol.
    DestinationUnavailable
        The server is away, or its model is not ready.
    """

    def __init__(
        self,
        url: str,
        model: str,
        version: str | None = None,
        timeout_s: float = 60.0,
        *,
        binary: bool | None = None,
    ) -> None:
        self.check_available()
        import httpx

        self._httpx = httpx
        self._server = url.rstrip("/")
        # no proxy of the environment: what is sent is about patients
        self._client = httpx.Client(
            timeout=httpx.Timeout(timeout_s, connect=min(timeout_s, _CONNECT_S)),
            verify=httpx.create_ssl_context(),
            trust_env=False,
        )
        try:
            server = self._metadata("/v2")
            self._path = f"/v2/models/{quote(model, safe='')}"
            described = self._metadata(self._path)
            where = f"{model} on {self._server}"
            asked = v2.version_to_ask(version, [str(each) for each in described.get("versions") or []], where)
            if asked is not None:
                self._path += f"/versions/{quote(asked, safe='')}"
            self._inputs = v2.specs(described.get("inputs", []), where)
            self._outputs = v2.specs(described.get("outputs", []), where)
            self._check_ready(model)
        except BaseException:
            self._client.close()
            raise
        self._binary = _BINARY in server.get("extensions", []) if binary is None else binary
        self._identity = f"{server.get('name')} {server.get('version')} HTTP"

    @classmethod
    def unavailable(cls) -> str | None:
        """Say what is missing, if anything is."""
        if importlib.util.find_spec("httpx") is None:
            return "httpx is not installed: install the project's dependencies"
        return None

    def infer(self, tensors: Tensors) -> dict[str, NDArray[Any]]:
        """Send one inference and wait for its answer.

        Raises
        ------
        InvalidInput
            The model does not take these arrays.
        DestinationUnavailable
            The server is away.
        OutOfMemory
            The server says that it has no memory for this batch.
        TransientFailure
            The server failed or did not answer in time.
        """
        names = [spec.name for spec in self._outputs]
        body, length = v2.request(fitting(self._inputs, tensors), names, self._binary)
        headers = {"Content-Type": "application/json"}
        if length is not None:
            headers = {"Content-Type": "application/octet-stream", v2.LENGTH_HEADER: str(length)}
        response = self._send("POST", f"{self._path}/infer", content=body, headers=headers)
        if not response.is_success:
            raise self._refusal(response)
        told = response.headers.get(v2.LENGTH_HEADER, "")
        return v2.complete(v2.answer(response.content, int(told) if told.isdecimal() else None), self._outputs)

    def close(self) -> None:
        """End the connections."""
        self._client.close()

    def _metadata(self, path: str) -> v2.Json:
        response = self._send("GET", path)
        if response.status_code in {400, 404}:
            raise ConfigurationError(
                f"{self._server}{path} answered {response.status_code}: {_said(response)}; "
                "check triton_url, and that the server has loaded this model"
            )
        if not response.is_success:
            raise self._refusal(response)
        try:
            described = response.json()
        except ValueError:
            described = None
        if not isinstance(described, dict):
            raise ConfigurationError(
                f"{self._server}{path} is no answer of the v2 protocol: triton_url must name a v2 server"
            )
        return described

    def _check_ready(self, model: str) -> None:
        response = self._send("GET", f"{self._path}/ready")
        if not response.is_success:
            raise DestinationUnavailable(f"{model} on {self._server} is not ready: check the server's log")

    def _send(self, method: str, path: str, **options: Any) -> Any:
        if self._client.is_closed:
            raise was_closed()
        try:
            return self._client.request(method, self._server + path, **options)
        except (self._httpx.ConnectError, self._httpx.ConnectTimeout) as error:
            raise DestinationUnavailable(
                f"{self._server} cannot be reached ({error}): check triton_url and the server"
            ) from error
        except self._httpx.TimeoutException as error:
            if method == "GET":  # what is no inference is answered at once by a server that is there
                raise DestinationUnavailable(
                    f"{self._server} did not say in time what it serves: check the server"
                ) from error
            raise TransientFailure(
                f"{self._server} did not answer in time: it is tried again; raise triton_timeout_s if this stays"
            ) from error
        except self._httpx.TransportError as error:
            raise DestinationUnavailable(f"{self._server} broke off ({error}): check the server") from error
        except (self._httpx.InvalidURL, self._httpx.UnsupportedProtocol) as error:
            raise ConfigurationError(f"triton_url {self._server!r} is no address ({error})") from error

    def _refusal(self, response: Any) -> Exception:
        wait = response.headers.get("Retry-After", "")
        return triton_errors.of_http(
            self._server, response.status_code, _said(response), float(wait) if wait.isdecimal() else None
        )


def _said(response: Any) -> str:
    try:
        body = response.json()
    except ValueError:
        body = None
    text = body.get("error", body) if isinstance(body, dict) else response.text
    return str(text)[:500]
