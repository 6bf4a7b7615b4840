"""Archive of a model → files in a folder, whatever the archive says.

Guarantee: nothing is written outside of the folder, nothing but plain files is made, and what is unpacked is never
larger than was allowed, whatever sizes the archive declares.
"""

from __future__ import annotations

import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Final

from schemas.errors import InvalidInput

SUFFIXES: Final = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")

#: What the readers of the formats raise besides their own errors.
_BROKEN: Final = (EOFError, OSError, NotImplementedError, RuntimeError, ValueError)

_CHUNK: Final = 1 << 20


@dataclass(frozen=True)
class Limits:
    """What an archive may hold."""

    total_bytes: int = 8 << 30
    files: int = 10_000


def unpack(archive: Path, folder: Path, limits: Limits | None = None) -> None:
    """Unpack a ``.zip`` or ``.tar`` file into an empty folder.

    Parameters
    ----------
    archive
        The file; its content decides what it is, not its name.
    folder
        Where to.
    limits
        ``None`` takes 8 GiB and 10,000 files.

    Raises
    ------
    InvalidInput
        It is no such archive, is damaged, holds links or names that lead out of the folder, or too much.
    """
    most = limits or Limits()
    try:
        if zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as members:
                _write(_of_zip(members), folder, most)
        elif tarfile.is_tarfile(archive):
            with tarfile.open(archive) as members_of_tar:
                _write(_of_tar(members_of_tar), folder, most)
        else:
            raise InvalidInput(f"{archive.name} is no .zip or .tar file: give a folder or one of these")
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, lzma.LZMAError, *_BROKEN) as error:
        raise InvalidInput(f"{archive.name} cannot be unpacked ({error}): get it again") from error


def copy_folder(source: Path, folder: Path, limits: Limits | None = None) -> None:
    """Copy plain files of a folder, under the same rules.

    Raises
    ------
    InvalidInput
        It holds links, or too much.
    """

    def files() -> Iterator[tuple[str, IO[bytes]]]:
        for path in sorted(source.rglob("*")):
            name = path.relative_to(source).as_posix()
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise InvalidInput(f"{name} is a link or no plain file: put the file itself there")
            if path.is_file():
                with path.open("rb") as content:
                    yield name, content

    _write(files(), folder, limits or Limits())


def _of_zip(archive: zipfile.ZipFile) -> Iterator[tuple[str, IO[bytes]]]:
    for member in archive.infolist():
        kind = stat.S_IFMT(member.external_attr >> 16)
        if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
            raise InvalidInput(f"{member.filename!r} is a link or no plain file: pack the file itself")
        if not member.is_dir():
            with archive.open(member) as content:
                yield member.filename, content


def _of_tar(archive: tarfile.TarFile) -> Iterator[tuple[str, IO[bytes]]]:
    for member in archive:
        if member.isdir():
            continue
        content = archive.extractfile(member) if member.isfile() else None
        if content is None:
            raise InvalidInput(f"{member.name!r} is a link or no plain file: pack the file itself")
        with content:
            yield member.name, content


def _write(members: Iterator[tuple[str, IO[bytes]]], folder: Path, limits: Limits) -> None:
    left = limits.total_bytes
    for count, (name, content) in enumerate(members, 1):
        if count > limits.files:
            raise InvalidInput(f"there are more than {limits.files} files: pack the model alone")
        target = folder / _safe(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            raise InvalidInput(f"{name!r} is there twice: pack each file once")
        with target.open("xb") as file:
            while chunk := content.read(_CHUNK):
                left -= len(chunk)
                if left < 0:
                    raise InvalidInput(
                        f"there are more than {limits.total_bytes} bytes in it: pack the model alone"
                    )
                file.write(chunk)


def _safe(name: str) -> PurePosixPath:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts or "\\" in name or ":" in name or "\0" in name or not path.parts:
        raise InvalidInput(f"{name!r} leads out of the model's folder: pack it with names relative to the model")
    return path


def remove(folder: Path) -> None:
    """Remove a folder that was being filled; what cannot be removed stays."""
    shutil.rmtree(folder, ignore_errors=True)
