"""``DELETE`` of studies, series and instances: what the gateway holds goes, with an audit event (PS3.18 10, 8.5).

There is no authentication at this listener, so nothing can be deleted unless the operator allows it.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from producers.dicomweb.problem import Problem, not_found
from producers.dicomweb.requests import Service, uid_from_path
from schemas.errors import DestinationUnavailable

_LEVELS: Final = ("study", "series", "instance")


class DeleteRoutes:
    """Handlers of deletion.

    Parameters
    ----------
    service
        Store, and whether deletion is allowed.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    async def delete(self, request: Request) -> Response:
        """``DELETE /studies/{study}[/series/{series}[/instances/{instance}]]``: 204, or 404 when there is none."""
        names = [name for name in _LEVELS if name in request.path_params]
        uids = [uid_from_path(request, name) for name in names]
        if not self._service.allow_delete:
            raise Problem(
                HTTPStatus.FORBIDDEN,
                "nothing is deleted over DICOMweb: to allow it to everyone who reaches this port, set "
                "SCANSTREAM_GATEWAY_ALLOW_DELETE=true",
            )
        who = f"DICOMweb client {request.client.host}" if request.client is not None else "DICOMweb client"
        try:
            count = await self._service.store.delete(*uids, who=who)
        except DestinationUnavailable as error:
            retry_after = {"Retry-After": str(int(error.retry_after_s or 30))}
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, str(error), retry_after) from error
        if count == 0:
            raise not_found(names[-1])
        return Response(status_code=int(HTTPStatus.NO_CONTENT))
