"""Questions to the REST API; an API that is away or does not know is one sentence."""

from __future__ import annotations

import re
from typing import Any, Final

import httpx

from schemas.errors import DestinationUnavailable, InvalidInput, PermanentRejection

#: Lenient in its length and zeros (PS3.5 9.1), as archives are; strict in what would be another address.
_UID: Final = re.compile(r"[0-9][0-9.]*")
_TASK: Final = re.compile(r"[0-9a-f-]{36}")


class Api:
    """The REST API at an address.

    Parameters
    ----------
    root
        Its address, without a trailing slash.
    transport
        Where requests go; ``None`` for the network.
    """

    def __init__(self, root: str, transport: httpx.BaseTransport | None = None) -> None:
        self._root = root
        # reading the system's certificates takes longer than everything else here
        self._client = httpx.Client(
            base_url=root, timeout=10.0, transport=transport, verify=root.startswith("https")
        )

    def close(self) -> None:
        """Close the connection."""
        self._client.close()

    def study(self, study_instance_uid: str) -> dict[str, Any] | None:
        """What is known of a study; ``None`` when it is not known (yet).

        Raises
        ------
        InvalidInput
            That is no UID.
        DestinationUnavailable
            The API does not answer.
        PermanentRejection
            The API answers with an error.
        """
        if not _UID.fullmatch(study_instance_uid):
            raise InvalidInput(
                f"{study_instance_uid!r} is no UID: give digits and dots, as scanstream send shows them"
            )
        return self._get(f"/studies/{study_instance_uid}")

    def task(self, task_id: str) -> dict[str, Any] | None:
        """An inference task; ``None`` when it is not known.

        Raises
        ------
        InvalidInput
            That is no task id.
        DestinationUnavailable, PermanentRejection
            See :meth:`study`.
        """
        return self._get(f"/v1/tasks/{_task_id(task_id)}")

    def infer(self, asked: dict[str, Any], key: str | None) -> dict[str, Any]:
        """Ask for an inference; ``key`` makes the same request again the same task.

        Raises
        ------
        InvalidInput
            The API refuses it, and says why.
        DestinationUnavailable
            The API or Kafka does not answer.
        """
        return self._post("/v1/inference", asked, {} if key is None else {"idempotency-key": key})

    def command(self, task_id: str, action: str, content: dict[str, Any]) -> dict[str, Any]:
        """Ask something of a task; raises as :meth:`infer` does."""
        return self._post(f"/v1/tasks/{_task_id(task_id)}/{action}", content, {})

    def _post(self, path: str, content: dict[str, Any], headers: dict[str, str]) -> dict[str, Any]:
        try:
            # a request that waits for others before it, and then for Kafka
            response = self._client.post(path, json=content, headers=headers, timeout=60.0)
        except httpx.HTTPError as error:
            raise self._silent(error) from error
        answer = self._json(response)
        if response.status_code == httpx.codes.SERVICE_UNAVAILABLE:
            raise DestinationUnavailable(str(answer.get("detail", "the API is not ready: ask again")))
        if response.is_error:
            raise InvalidInput(str(answer.get("detail", f"the API answered {response.status_code}: see its log")))
        return answer

    def _silent(self, error: httpx.HTTPError) -> DestinationUnavailable:
        return DestinationUnavailable(
            f"the API at {self._root} does not answer ({type(error).__name__}): "
            "start the stack (scanstream up), or set SCANSTREAM_API_PUBLIC_URL"
        )

    def _json(self, response: httpx.Response) -> dict[str, Any]:
        try:
            answer: dict[str, Any] = response.json()
        except ValueError as error:
            raise PermanentRejection(
                f"what answers at {self._root} is not the API: correct SCANSTREAM_API_PUBLIC_URL",
                response.status_code,
            ) from error
        return answer

    def _get(self, path: str) -> dict[str, Any] | None:
        try:
            response = self._client.get(path)
        except httpx.HTTPError as error:
            raise self._silent(error) from error
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        if response.is_error:
            raise PermanentRejection(
                f"the API answered {response.status_code} to {path}: see its log", response.status_code
            )
        return self._json(response)


def _task_id(text: str) -> str:
    """A task id that cannot be another address."""
    if not _TASK.fullmatch(text):
        raise InvalidInput(f"{text[:64]!r} is no task id: give it as scanstream study and infer show it")
    return text
