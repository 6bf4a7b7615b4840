"""Folder of built plans: a name → its bytes, built once.

Guarantee: a file of the folder is whole (written beside it, flushed, renamed), and of several processes that want
the same plan one builds it while the others wait.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from schemas.errors import ConfigurationError


class PlanCache:
    """The plans of one machine.

    Parameters
    ----------
    folder
        Where they are kept; made when it is missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def get(self, name: str, build: Callable[[], bytes]) -> bytes:
        """The plan of this name, built now if it is not there.

        Parameters
        ----------
        name
            File name (:func:`engines.tensorrt_plan.plan_name`).
        build
            Makes it; may take minutes.

        Raises
        ------
        ConfigurationError
            The folder cannot be written.
        """
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            with self._alone(name):
                path = self._folder / name
                if not path.is_file():
                    self._write(path, build())
                return path.read_bytes()
        except OSError as error:
            raise ConfigurationError(
                f"plans cannot be kept in {self._folder} ({error.strerror}): "
                "set SCANSTREAM_WORKER_PLAN_CACHE to a folder that this process may write"
            ) from error

    def forget(self, name: str) -> None:
        """Remove a plan that cannot be loaded, so that it is built anew."""
        (self._folder / name).unlink(missing_ok=True)

    @contextmanager
    def _alone(self, name: str) -> Iterator[None]:
        with (self._folder / f"{name}.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # given back when the file is closed, also by a process that dies
            yield

    def _write(self, path: Path, plan: bytes) -> None:
        descriptor, temporary = tempfile.mkstemp(dir=self._folder, suffix=".building")
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(plan)
                file.flush()
                os.fsync(file.fileno())
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
