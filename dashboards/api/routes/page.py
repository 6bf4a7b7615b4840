"""The worklist page and the two files that it needs; nothing is loaded from elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from fastapi import APIRouter
from fastapi.responses import FileResponse

FOLDER: Final = Path(__file__).parent.parent / "page"

_HEADERS: Final = {
    "content-security-policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "cache-control": "no-cache",
}

router = APIRouter(include_in_schema=False)


@router.get("/")
async def worklist() -> FileResponse:
    """Triaged worklist for people."""
    return FileResponse(FOLDER / "worklist.html", media_type="text/html; charset=utf-8", headers=_HEADERS)


@router.get("/page/worklist.css")
async def style() -> FileResponse:
    """Look of the worklist."""
    return FileResponse(FOLDER / "worklist.css", media_type="text/css; charset=utf-8", headers=_HEADERS)


@router.get("/page/worklist.js")
async def script() -> FileResponse:
    """What keeps the worklist up to date."""
    return FileResponse(FOLDER / "worklist.js", media_type="text/javascript; charset=utf-8", headers=_HEADERS)
