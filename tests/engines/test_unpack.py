from __future__ import annotations

import io
import stat
import tarfile
import zipfile
from pathlib import Path

import pytest

from engines.unpack import Limits, copy_folder, unpack
from schemas.errors import InvalidInput


def zipped(path: Path, members: dict[str, bytes], mode: int | None = None) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = zipfile.ZIP_DEFLATED
            if mode is not None:
                info.external_attr = mode << 16
            archive.writestr(info, content)
    return path


def tarred(path: Path, member: tarfile.TarInfo, content: bytes = b"") -> Path:
    with tarfile.open(path, "w:gz") as archive:
        member.size = len(content)
        archive.addfile(member, io.BytesIO(content))
    return path


@pytest.fixture
def target(tmp_path: Path) -> Path:
    folder = tmp_path / "deep" / "target"
    folder.mkdir(parents=True)
    return folder


def test_plain_archives_are_unpacked_by_what_they_are(tmp_path: Path, target: Path) -> None:
    unpack(zipped(tmp_path / "model.bin", {"m/config.pbtxt": b"a", "m/1/model.onnx": b"b" * 5000}), target)
    unpack(tarred(tmp_path / "model", tarfile.TarInfo("n/config.pbtxt"), b"c"), target)
    assert (target / "m" / "1" / "model.onnx").read_bytes() == b"b" * 5000
    assert (target / "n" / "config.pbtxt").read_bytes() == b"c"


@pytest.mark.parametrize(
    "name", ["../evil", "m/../../evil", "/etc/evil", "C:\\evil", "..\\evil", "m/x:stream", "m/\u0000x"]
)
def test_names_that_lead_out_are_refused(tmp_path: Path, target: Path, name: str) -> None:
    for archive in (
        zipped(tmp_path / "a.zip", {"placeholder": b"x"}),
        tarred(tmp_path / "a.tar", tarfile.TarInfo(name), b"x"),
    ):
        if archive.suffix == ".zip":
            with zipfile.ZipFile(archive, "w") as written:
                member = zipfile.ZipInfo("placeholder")
                member.filename = name
                written.writestr(member, b"x")
        try:
            unpack(archive, target)
        except InvalidInput:
            pass
        else:  # the reader of the format itself cut the name at its null byte
            assert "\u0000" in name
        assert not list(tmp_path.rglob("evil"))
    inside = set(target.rglob("*"))
    assert all(path.resolve().is_relative_to(target.resolve()) for path in inside)


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE])
def test_links_and_devices_are_refused(tmp_path: Path, target: Path, kind: bytes) -> None:
    member = tarfile.TarInfo("m/config.pbtxt")
    member.type, member.linkname = kind, "/etc/passwd"
    with pytest.raises(InvalidInput, match="link or no plain file"):
        unpack(tarred(tmp_path / "a.tar", member), target)
    with pytest.raises(InvalidInput, match="link or no plain file"):
        unpack(zipped(tmp_path / "a.zip", {"m": b"/etc/passwd"}, stat.S_IFLNK | 0o777), target)
    assert not list(target.rglob("*"))


def test_an_archive_that_grows_without_end_is_given_up(tmp_path: Path, target: Path) -> None:
    archive = zipped(tmp_path / "bomb.zip", {"m": b"\0" * 50_000_000})
    assert archive.stat().st_size < 100_000
    with pytest.raises(InvalidInput, match="more than 1000000 bytes"):
        unpack(archive, target, Limits(total_bytes=1_000_000))
    assert sum(path.stat().st_size for path in target.rglob("*") if path.is_file()) <= 1_000_000
    many = zipped(tmp_path / "many.zip", {f"n/{number}": b"" for number in range(20)})
    with pytest.raises(InvalidInput, match="more than 10 files"):
        unpack(many, target, Limits(files=10))


def test_a_name_that_comes_twice_is_refused(tmp_path: Path, target: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("m", b"1")
        with pytest.warns(UserWarning, match="Duplicate name"):
            archive.writestr("m", b"2")
    with pytest.raises(InvalidInput, match="there twice"):
        unpack(tmp_path / "a.zip", target)


def test_what_is_no_archive_or_damaged_is_refused(tmp_path: Path, target: Path) -> None:
    (tmp_path / "text").write_text("hello")
    with pytest.raises(InvalidInput, match=r"no \.zip or \.tar file"):
        unpack(tmp_path / "text", target)
    whole = zipped(tmp_path / "a.zip", {"m": bytes(range(256)) * 400})
    content = bytearray(whole.read_bytes())
    content[40:60] = b"\xff" * 20
    whole.write_bytes(content)
    with pytest.raises(InvalidInput, match="cannot be unpacked"):
        unpack(whole, target)


def test_a_folder_with_a_link_is_refused(tmp_path: Path, target: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "model").symlink_to("/etc/passwd")
    with pytest.raises(InvalidInput, match="model is a link"):
        copy_folder(source, target)
