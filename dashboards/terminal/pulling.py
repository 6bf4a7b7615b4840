"""Folder, archive or address → the next version of a model in a repository, with progress for whoever looks."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

import httpx

from dashboards.terminal.download import download
from engines.package import check_writable, install
from engines.unpack import Limits, copy_folder, unpack
from schemas.errors import ConfigurationError, InvalidInput

if TYPE_CHECKING:
    from engines.package import Installed

_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}")


def pull_model(
    source: str,
    sha256: str | None,
    root: Path,
    limits: Limits | None = None,
    transport: httpx.BaseTransport | None = None,
) -> Installed:
    """Get a model and put it into a repository; see :mod:`engines.package`.

    Raises
    ------
    ConfigurationError
        There is no such source, a URL comes without a digest, or the repository cannot be changed.
    InvalidInput
        What came is not what it must be.
    DestinationUnavailable, PermanentRejection
        The server did not give the file.
    """
    check_writable(root)
    if sha256 is not None and not _DIGEST.fullmatch(sha256):
        raise ConfigurationError("--sha256 must be 64 hexadecimal digits: copy it from the model's publisher")
    most = limits or Limits()
    if source.startswith(("http://", "https://")):
        if sha256 is None:
            raise ConfigurationError("--sha256 is required for a URL: copy it from where the model is published")
        with TemporaryDirectory(prefix="scanstream-pull-") as folder:
            archive = Path(folder) / "model"
            _fetch(source, sha256, archive, most, transport)
            return install(root, lambda target: unpack(archive, target, most))
    path = Path(source)
    if path.is_dir():
        if sha256 is not None:
            raise ConfigurationError("--sha256 is of a file, and this is a folder: leave it out")
        return install(root, lambda target: copy_folder(path, target / path.resolve().name, most))
    if not path.is_file():
        raise ConfigurationError(f"{source} is no folder, file or http(s) URL: correct the path")
    if sha256 is not None:
        _check(path, sha256)
    return install(root, lambda target: unpack(path, target, most))


def _fetch(url: str, sha256: str, target: Path, limits: Limits, transport: httpx.BaseTransport | None) -> None:
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    from dashboards.terminal.output import messages

    columns = (TextColumn("{task.description}"), BarColumn(bar_width=24), DownloadColumn(), TransferSpeedColumn())
    console = messages()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("fetching", total=None)
        download(
            url,
            sha256,
            target,
            limits.total_bytes,
            lambda size, total: progress.update(task, advance=size, total=total),
            transport,
        )


def _check(path: Path, sha256: str) -> None:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    if digest != sha256.lower():
        raise InvalidInput(
            f"{path.name} has sha256 {digest} and {sha256.lower()} was expected: ask its author which is right"
        )
