"""Which versions passed their validation on this node, so that a restart need not validate them again.

A record counts only for the same bytes of model, configuration, metadata and validation set, on the same engine
(:meth:`engines.base.Engine.identity`) of the same host. Guarantee: what cannot be read is no record.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path


@dataclass(frozen=True)
class Records:
    """Folder with one small file per version that passed; ``None`` keeps none, and every start validates.

    It belongs to one node: no folder that nodes share.
    """

    folder: Path | None = None

    def passed(self, key: str) -> bool:
        """Whether the version of this :func:`key_of` passed here before."""
        if self.folder is None:
            return False
        try:
            return bool(json.loads((self.folder / f"{key}.json").read_bytes())["key"] == key)
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def keep(self, key: str, model: str, version: str, engine: str, now: datetime | None = None) -> None:
        """Remember a pass; a folder that cannot be written only costs the next start its time."""
        if self.folder is None:
            return
        path = self.folder / f"{key}.json"
        at = (now or datetime.now(UTC)).isoformat()
        record = {"key": key, "model": model, "version": version, "engine": engine, "passed_at": at}
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            temporary = path.with_name(f".{key}.{os.getpid()}")
            temporary.write_text(json.dumps(record) + "\n", encoding="utf-8")
            temporary.replace(path)
        except OSError:
            return


def key_of(files: Iterable[Path], engine: str, host: str | None = None) -> str:
    """Digest of everything that a pass depends on.

    Parameters
    ----------
    files
        Files of the version, its description and its validation set, in a stable order.
    engine
        Identity of the engine.
    host
        Name and processor of the node; ``None`` takes this one's.
    """
    total = hashlib.sha256(f"{engine}\n{host or _host()}\n".encode())
    for path in files:
        total.update(hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


def _host() -> str:
    return f"{platform.node()} {platform.machine()} {platform.processor()}"
