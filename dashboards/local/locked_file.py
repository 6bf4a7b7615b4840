"""One file of the lock: Maven coordinate and digest. Pure but for reading the file whose digest is asked."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class LockedFile:
    """One file of the lock.

    Attributes
    ----------
    coordinate
        ``group:artifact:version`` with ``:packaging[:classifier]`` where it is not a plain jar.
    sha256
        Hexadecimal digest.
    """

    coordinate: str
    sha256: str

    @property
    def group(self) -> str:
        """Maven groupId."""
        return self._part(0)

    @property
    def artifact(self) -> str:
        """Maven artifactId."""
        return self._part(1)

    @property
    def version(self) -> str:
        """Maven version."""
        return self._part(2)

    @property
    def packaging(self) -> str:
        """File type, ``jar`` unless said."""
        return self._part(3) or "jar"

    @property
    def classifier(self) -> str:
        """Maven classifier, empty for the main file."""
        return self._part(4)

    @property
    def filename(self) -> str:
        """Name in the cache."""
        suffix = f"-{self.classifier}" if self.classifier else ""
        return f"{self.artifact}-{self.version}{suffix}.{self.packaging}"

    def _part(self, index: int) -> str:
        parts = self.coordinate.split(":")
        return parts[index] if index < len(parts) else ""


def sha256(path: Path) -> str:
    """SHA-256 of a file, hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
