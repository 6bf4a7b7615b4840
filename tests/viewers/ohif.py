"""Objects of the demonstration in OHIF → pictures in ``docs/pictures``: ``python -m tests.viewers.ohif``.

OHIF is the prebuilt package ``@ohif/app`` of npm, checked against its digest; it reads over DICOMweb from the
gateway of the demonstration, with the objects that ``make demo`` left there. Needs npm and Chromium.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pydicom
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from tests.services import module, wait_for
from tests.tools import free_port
from tests.viewers.browser import Page, chromium

ROOT = Path(__file__).parents[2]
PACKAGE = "@ohif/app@3.12.10"
SHA512 = (
    "d24b85eba32af5cf5d303fbe6d4b138ccac9a57270699873f41e2e4b6e380dac"
    "008d2913c0860553dde9c4fb915108b16918bb4001e517715ed6ab9d06566b98"
)
KEPT = ROOT / "build" / "ohif"
PICTURES = ROOT / "docs" / "pictures"
DEMO = ROOT / "demo"
STATE = DEMO / "state"

CONFIG = {
    "routerBasename": "/",
    "extensions": [],
    "modes": [],
    "showStudyList": True,
    "disableConfirmationPrompts": True,
    "showWarningMessageForCrossOrigin": False,
    "showCPUFallbackMessage": False,
    "defaultDataSourceName": "gateway",
    "dataSources": [
        {
            "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
            "sourceName": "gateway",
            "configuration": {
                "friendlyName": "scanstream",
                "name": "scanstream",
                "wadoUriRoot": "/dicom-web",
                "qidoRoot": "/dicom-web",
                "wadoRoot": "/dicom-web",
                "qidoSupportsIncludeField": True,
                "imageRendering": "wadors",
                "thumbnailRendering": "wadors",
                "enableStudyLazyLoad": True,
                "supportsFuzzyMatching": True,
                "supportsWildcard": True,
                "singlepart": "bulkdata,video,pdf",
            },
        }
    ],
}


def viewer() -> Path:
    """Folder of the viewer's files; fetched once.

    Raises
    ------
    ValueError
        What was fetched is not what was looked at when the digest was written down.
    """
    dist = KEPT / "package" / "dist"
    if not dist.exists():
        KEPT.mkdir(parents=True, exist_ok=True)
        packed = subprocess.run(
            ["npm", "pack", "--silent", PACKAGE], cwd=KEPT, check=True, capture_output=True, text=True
        )
        file = KEPT / packed.stdout.split()[-1]
        if hashlib.sha512(file.read_bytes()).hexdigest() != SHA512:
            raise ValueError(f"{file} is not the package that was looked at: check its digest")
        with tarfile.open(file) as archive:
            archive.extractall(KEPT, filter="data")
    return dist


def application(dist: Path, gateway: str) -> Starlette:
    """The viewer's files and, under the same origin, the gateway's DICOMweb."""
    client = httpx.AsyncClient(base_url=gateway, timeout=60)
    files = {str(path.relative_to(dist)): path for path in dist.rglob("*") if path.is_file()}

    async def dicomweb(request: Request) -> Response:
        asked = {"Accept": request.headers.get("Accept", "*/*")}
        answer = await client.get(request.url.path, params=request.query_params, headers=asked)
        return Response(answer.content, answer.status_code, media_type=answer.headers.get("Content-Type"))

    async def config(_: Request) -> Response:
        return Response(f"window.config = {json.dumps(CONFIG)};", media_type="text/javascript")

    async def file(request: Request) -> Response:
        return FileResponse(files.get(request.path_params["path"], dist / "index.html"))

    return Starlette(
        routes=[
            Route("/dicom-web/{path:path}", dicomweb),
            Route("/app-config.js", config),
            Route("/{path:path}", file),
        ]
    )


@contextmanager
def served(app: Starlette) -> Iterator[str]:
    """The application on a free port of loopback."""
    port = free_port()
    server = uvicorn.Server(uvicorn.Config(app, port=port, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    wait_for(lambda: server.started, "the viewer's server")
    yield f"http://127.0.0.1:{port}"
    server.should_exit = True
    thread.join(30)


@contextmanager
def gateway(log: Path) -> Iterator[str]:
    """The gateway of the demonstration's stack; it needs no broker to serve what it has."""
    port = free_port()
    environment = {
        "SCANSTREAM_DATA_DIR": str(STATE),
        "SCANSTREAM_NODE": "node-1",
        "SCANSTREAM_GATEWAY_HTTP_PORT": str(port),
        "SCANSTREAM_GATEWAY_DIMSE_PORT": "0",
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{free_port()}",
    }
    url = f"http://127.0.0.1:{port}"
    with module("producers.gateway", environment=environment, log=log):

        def answers() -> bool:
            try:
                return bool(httpx.get(f"{url}/dicom-web/studies", timeout=5).json())
            except (httpx.HTTPError, ValueError):
                return False

        wait_for(answers, "the gateway to find the study")
        yield url


def look(page: Page, root: str, study: str, modality: str) -> None:
    """Open the study, put our object of a modality into the viewport, and take a picture of it."""
    page.call("Page.navigate", url=f"{root}/viewer?StudyInstanceUIDs={study}")
    page.wait("document.querySelectorAll('canvas').length > 0", "the images")
    time.sleep(6)
    for text in ("Skip all", "Confirm and hide"):
        if page.evaluate(f"document.body.innerText.includes({json.dumps(text)})"):
            page.click_text(text)
            time.sleep(1)
    page.click_text(modality, count=2)
    if modality == "SR":
        page.wait("document.querySelector('svg.svg-layer polyline') !== null", "the contour of the report")
    else:
        time.sleep(10)
        page.scroll(800, 500, 9)
    time.sleep(4)
    page.picture(PICTURES / f"ohif-{modality.lower()}.png")


def main() -> int:
    """Take the pictures."""
    made = sorted(DEMO.glob("*.dcm"))
    if not made:
        print("there are no objects in demo/: run `make demo` first", file=sys.stderr)
        return 1
    PICTURES.mkdir(parents=True, exist_ok=True)
    study = str(pydicom.dcmread(made[0], stop_before_pixels=True).StudyInstanceUID)
    with (
        tempfile.TemporaryDirectory() as directory,
        gateway(Path(directory) / "gateway.log") as url,
        served(application(viewer(), url)) as root,
    ):
        for modality in ("SEG", "SR"):
            with chromium() as page:
                look(page, root, study, modality)
    return 0


if __name__ == "__main__":
    sys.exit(main())
