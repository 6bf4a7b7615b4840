"""``PUT``, ``GET`` and ``HEAD`` of ``/artifacts/{sha256}``: large outputs, named by the digest of their bytes.

Created means durable. The name is the content, so a repeated PUT is the same PUT and a response may be cached for
ever.
"""

from __future__ import annotations

import re
from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.responses import FileResponse, Response

from producers.dicomweb.media import OCTET_STREAM
from producers.dicomweb.problem import Problem, not_found
from producers.dicomweb.requests import Service
from schemas.errors import DestinationUnavailable, InvalidMessage

_DIGEST: Final = re.compile(r"[0-9a-f]{64}", re.ASCII)


class ArtifactRoutes:
    """Handlers of artifacts.

    Parameters
    ----------
    service
        Store, addresses and limits.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    async def put(self, request: Request) -> Response:
        """Store an artifact: 201 when it is new, 200 when it was there."""
        digest = _digest_from_path(request)
        data = await self._body(request)
        try:
            created = await self._service.store.put_artifact(digest, data)
        except InvalidMessage as error:
            raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from error
        except DestinationUnavailable as error:
            retry_after = {"Retry-After": str(int(error.retry_after_s or 30))}
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), retry_after) from error
        status = HTTPStatus.CREATED if created else HTTPStatus.OK
        return Response(status_code=int(status), headers={"Location": request.url.path, "ETag": f'"{digest}"'})

    async def get(self, request: Request) -> Response:
        """Bytes of an artifact (``HEAD``: only its length)."""
        digest = _digest_from_path(request)
        path = self._service.store.artifact_path(digest)
        if path is None:
            raise not_found("artifact")
        headers = {"ETag": f'"{digest}"', "Cache-Control": "private, max-age=31536000, immutable"}
        return FileResponse(path, media_type=OCTET_STREAM, headers=headers)

    async def _body(self, request: Request) -> bytes:
        limit = self._service.max_artifact_bytes
        data = bytearray()
        async for chunk in request.stream():
            data += chunk
            if len(data) > limit:
                raise Problem(
                    HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                    f"an artifact may have {limit} bytes: compress it or divide it into several",
                )
        return bytes(data)


def _digest_from_path(request: Request) -> str:
    digest = str(request.path_params["sha256"])
    if _DIGEST.fullmatch(digest) is None:
        raise Problem(
            HTTPStatus.BAD_REQUEST, "an artifact is named by its SHA-256: 64 hexadecimal digits in lower case"
        )
    return digest
