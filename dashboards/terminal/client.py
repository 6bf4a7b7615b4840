"""Questions to the REST API; an API that is away or does not know is one sentence."""

from __future__ import annotations

from typing import Any

import httpx

from schemas.errors import DestinationUnavailable, PermanentRejection


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

    def study(self, study_instance_uid: str) -> dict[str, Any] | None:
        """What is known of a study; ``None`` when it is not known (yet).

        Raises
        ------
        DestinationUnavailable
            The API does not answer.
        PermanentRejection
            The API answers with an error.
        """
        return self._get(f"/studies/{study_instance_uid}")

    def _get(self, path: str) -> dict[str, Any] | None:
        try:
            response = self._client.get(path)
        except httpx.HTTPError as error:
            raise DestinationUnavailable(
                f"the API at {self._root} does not answer ({type(error).__name__}): "
                "start the stack (scanstream up), or set SCANSTREAM_API_PUBLIC_URL"
            ) from error
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        if response.is_error:
            raise PermanentRejection(
                f"the API answered {response.status_code} to {path}: see its log", response.status_code
            )
        answer: dict[str, Any] = response.json()
        return answer
