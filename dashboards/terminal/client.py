"""Questions to the REST API; an API that is away or does not know is one sentence."""

from __future__ import annotations

import re
from typing import Any, Final

import httpx

from schemas.errors import DestinationUnavailable, InvalidInput, PermanentRejection

#: Lenient in its length and zeros (PS3.5 9.1), as archives are; strict in what would be another address.
_UID: Final = re.compile(r"[0-9][0-9.]*")


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
        try:
            answer: dict[str, Any] = response.json()
        except ValueError as error:
            raise PermanentRejection(
                f"what answers at {self._root} is not the API: correct SCANSTREAM_API_PUBLIC_URL",
                response.status_code,
            ) from error
        return answer
