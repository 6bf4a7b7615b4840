"""Ahead-of-time cache of the broker's classes (JEP 483, JEP 514): halves the time and CPU that a start needs.

The first JVM writes the cache when it ends; later ones read it. Guarantee: a cache in its place is complete, and
made for exactly these jars and this runtime (the JVM compares them too and ignores what does not fit).
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dashboards.local.java import Java


@dataclass(frozen=True)
class Archive:
    """Place of the cache for one class path."""

    path: Path

    @property
    def unfinished(self) -> Path:
        """Where this process's JVM writes it."""
        return self.path.with_name(f".{self.path.name}.{os.getpid()}")

    def option(self) -> str:
        """JVM option that uses the cache, or that makes it when there is none."""
        if self.path.is_file():
            return f"-XX:AOTCache={self.path}"
        return f"-XX:AOTCacheOutput={self.unfinished}"

    def keep(self) -> None:
        """Put what the ended JVM wrote in its place, unless it was killed while it wrote."""
        recorded = self.unfinished.with_name(f"{self.unfinished.name}.config")
        if recorded.exists():
            recorded.unlink()
            self.unfinished.unlink(missing_ok=True)
        elif self.unfinished.exists():
            self.unfinished.replace(self.path)


def archive_for(class_path: Sequence[Path], java: Java) -> Archive:
    """Cache of exactly these files, by their time of arrival as the JVM checks them, and this runtime."""
    files = ":".join(f"{path}:{path.stat().st_mtime_ns}" for path in class_path)
    digest = hashlib.sha256(f"{java.home}:{java.version}:{files}".encode()).hexdigest()
    return Archive(class_path[0].parent / f"kafka-{digest[:16]}.aot")
