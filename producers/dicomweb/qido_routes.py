"""QIDO-RS: search for studies, series and instances (PS3.18 10.6)."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from producers.dicomweb.included import include
from producers.dicomweb.problem import Problem
from producers.dicomweb.query import QidoQuery, parse_query
from producers.dicomweb.requests import Service, data_set_type, uid_from_path
from producers.dicomweb.search_result import result
from producers.dicomweb.streaming import data_sets_response
from producers.store import Level
from schemas.errors import InvalidMessage

_COUNTED: Final = 10_000
_PATH_KEYS: Final = {"study": "StudyInstanceUID", "series": "SeriesInstanceUID"}


class QidoRoutes:
    """Handlers of the Search transaction.

    Parameters
    ----------
    service
        Store, addresses and limits.
    """

    def __init__(self, service: Service) -> None:
        self._service = service

    async def studies(self, request: Request) -> Response:
        """``/studies``."""
        return await self._search(request, "study")

    async def series(self, request: Request) -> Response:
        """``/series`` and ``/studies/{study}/series``."""
        return await self._search(request, "series")

    async def instances(self, request: Request) -> Response:
        """``/instances`` and those of a study or a series."""
        return await self._search(request, "instance")

    async def _search(self, request: Request, level: Level) -> Response:
        media_type = data_set_type(request)
        path = {
            keyword: uid_from_path(request, name)
            for name, keyword in _PATH_KEYS.items()
            if name in request.path_params
        }
        store = self._service.store
        try:
            query = parse_query(level, request.query_params.multi_items(), path)
            # One more than asked for tells whether there are more.
            rows = await store.search(level, query.filters, query.limit + 1, query.offset, query.matching)
        except InvalidMessage as error:
            raise Problem(HTTPStatus.BAD_REQUEST, str(error)) from error
        warnings = list(query.warnings)
        if len(rows) > query.limit:
            rows.pop()
            warnings.append(await self._remaining(level, query))
        found = [result(level, row, query.shown, self._service.base_url) for row in rows]
        if query.needs_files:
            warnings += await include(store, level, found, query, self._service.base_url)
        response = Response(status_code=int(HTTPStatus.NO_CONTENT))
        if found:
            response = await data_sets_response(iter(found), media_type, {})
        for sentence in warnings:
            response.headers.append("Warning", f'299 scanstream "{sentence}"')
        return response

    async def _remaining(self, level: Level, query: QidoQuery) -> str:
        """How many results are left; counting goes on for a bounded number only."""
        seen = query.offset + query.limit
        count = await self._service.store.count(level, query.filters, seen + _COUNTED + 1, query.matching) - seen
        number = str(count) if count <= _COUNTED else f"more than {_COUNTED}"
        return f"There are {number} additional results that can be requested: use limit and offset"
