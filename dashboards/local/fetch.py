"""Maven coordinates → files, over the network, at first set-up only.

Uses jgo's downloader with its own configuration (so a site's mirror from jgo's configuration file is honoured).
Guarantee: a file appears in the target directory completely and with the locked digest, or not at all.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

from dashboards.local.java import Java
from dashboards.local.locked_file import LockedFile, sha256
from schemas.errors import ConfigurationError

PARALLEL_DOWNLOADS: Final = 8
ATTEMPTS: Final = 3


def fetch(files: Iterable[LockedFile], directory: Path, java: Java) -> None:
    """Download files into a directory.

    Parameters
    ----------
    files
        What to fetch, with the digest that each must have.
    directory
        Where they belong; several processes may fetch into it at once.
    java
        Runtime that jgo is told of, so that it does not look for one on the network.

    Raises
    ------
    ConfigurationError
        There is no network, or a repository holds something else than what was locked.
    """
    directory.mkdir(parents=True, exist_ok=True)
    incoming = Path(tempfile.mkdtemp(prefix=".incoming-", dir=directory))
    try:
        with ThreadPoolExecutor(PARALLEL_DOWNLOADS) as pool:
            for _ in pool.map(lambda file: _fetch_one(file, directory, incoming, java), files):
                pass
    finally:
        shutil.rmtree(incoming, ignore_errors=True)


def _fetch_one(file: LockedFile, directory: Path, incoming: Path, java: Java) -> None:
    downloaded = _download(file, directory, incoming, java)
    digest = sha256(downloaded)
    if digest != file.sha256:
        raise ConfigurationError(
            f"the Maven repository's {file.coordinate} has sha256 {digest[:12]}…, not the locked "
            f"{file.sha256[:12]}…: check the mirror in jgo's configuration or a proxy that changes downloads"
        )
    downloaded.replace(directory / file.filename)


def _download(file: LockedFile, directory: Path, incoming: Path, java: Java) -> Path:
    os.environ.setdefault("JAVA_HOME", str(java.home))
    import requests  # heavy and needed at first set-up only
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext

    reason: Exception = RuntimeError("no attempt was made")
    for attempt in range(ATTEMPTS):
        context = MavenContext(repo_cache=incoming / f"{attempt}-{file.filename}")
        context.remote_repos.update(GlobalSettings.load().repositories)
        component = context.project(file.group, file.artifact).at_version(file.version)
        try:
            return Path(component.artifact(file.classifier, file.packaging).resolve())
        except (requests.RequestException, RuntimeError, OSError) as error:
            reason = error
    raise ConfigurationError(
        f"{file.coordinate} cannot be fetched ({type(reason).__name__}): connect this machine to a Maven "
        f"repository once, or copy {directory} from a machine that has it, then start again"
    ) from reason
