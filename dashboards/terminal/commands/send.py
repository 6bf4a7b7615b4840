"""``scanstream send``: files and folders → C-STORE requests to the gateway."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dashboards.terminal.options import DEFAULT_DATA_DIR, DataDir, Json

if TYPE_CHECKING:
    from dashboards.terminal.dicom_files import DicomFile, Skipped
    from dashboards.terminal.scu import Answer, Target


def send(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="DICOM files, or folders of them.")],
    host: Annotated[str | None, typer.Option(help="Of the storage SCP; default: the gateway.")] = None,
    port: Annotated[int | None, typer.Option(min=1, max=65535)] = None,
    called: Annotated[str | None, typer.Option(help="AE title of the SCP.")] = None,
    calling: Annotated[str, typer.Option(help="AE title that we send under.")] = "SCANSTREAM_SCU",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    as_json: Json = False,
) -> None:
    """Send DICOM files to the gateway (C-STORE), byte for byte as they are.

    Exit code 0: everything was stored, apart from other files found in folders. 1: something was not.
    """
    from dashboards.terminal.dicom_files import DicomFile, find
    from dashboards.terminal.endpoints import resolve
    from dashboards.terminal.output import emit_json
    from dashboards.terminal.scu import Target
    from schemas.errors import InvalidInput

    for option, title in (("--called", called), ("--calling", calling)):
        if title is not None and not is_ae_title(title):
            raise InvalidInput(f"{option} {title!r} is no AE title: give 1 to 16 ASCII characters, no backslash")
    found = list(find(paths))
    files = [item for item in found if isinstance(item, DicomFile)]
    skipped = [item for item in found if not isinstance(item, DicomFile)]
    _tell_skipped(skipped)
    if not files:
        raise InvalidInput("there is no DICOM file to send: name DICOM files, or a folder that has some")
    endpoints = resolve(data_dir)
    target = Target(
        host or endpoints.dimse_host, port or endpoints.dimse_port, called or endpoints.ae_title, calling
    )
    answers, seconds = _send(files, target)
    failed = [answer for answer in answers if not answer.stored]
    if as_json:
        emit_json(summary(answers, skipped, seconds))
    else:
        _tell(answers, seconds, target, "" if data_dir == DEFAULT_DATA_DIR else f" --data-dir {data_dir}")
    if failed or any(item.named for item in skipped):
        raise typer.Exit(1)


def is_ae_title(text: str) -> bool:
    """Whether DICOM allows this AE title (PS3.5 table 6.2-1, VR AE)."""
    return bool(text.strip()) and len(text) <= 16 and text.isascii() and text.isprintable() and "\\" not in text


def summary(answers: list[Answer], skipped: list[Skipped], seconds: float) -> dict[str, Any]:
    """What happened, for scripts."""
    stored = [answer for answer in answers if answer.stored]
    return {
        "stored": len(stored),
        "bytes": sum(answer.file.size_bytes for answer in stored),
        "seconds": round(seconds, 3),
        "studies": studies_of(answers),
        "failed": [
            {"path": str(answer.file.path), "status": answer.status, "reason": answer.reason}
            for answer in answers
            if not answer.stored
        ],
        "skipped": [{"path": str(item.path), "reason": item.reason} for item in skipped],
    }


def studies_of(answers: list[Answer]) -> list[str]:
    """Study Instance UIDs of what was stored, each once, in the order of sending."""
    return list(
        dict.fromkeys(a.file.study_instance_uid for a in answers if a.stored and a.file.study_instance_uid)
    )


def _send(files: list[DicomFile], target: Target) -> tuple[list[Answer], float]:
    import time

    from dashboards.terminal.output import complain
    from dashboards.terminal.progress import transfer
    from dashboards.terminal.scu import send as send_files

    started = time.perf_counter()
    answers = []
    with transfer(f"sending to {target}", sum(file.size_bytes for file in files), len(files)) as bar:
        for answer in send_files(files, target):
            answers.append(answer)
            bar.advance(answer.file.size_bytes)
            if answer.reason is not None:
                complain(f"{answer.file.path}: {answer.reason}")
    return answers, time.perf_counter() - started


def _tell_skipped(skipped: list[Skipped]) -> None:
    from dashboards.terminal.output import complain, remark

    for item in skipped:
        if item.named:
            complain(f"{item.path} {item.reason}")
        else:
            remark(f"skipped: {item.path} {item.reason}")


def _tell(answers: list[Answer], seconds: float, target: Target, where: str) -> None:
    from dashboards.terminal.output import results

    stored = [answer for answer in answers if answer.stored]
    megabytes = sum(answer.file.size_bytes for answer in stored) / 1e6
    rate = f"{len(stored) / seconds:.0f} a second, {megabytes / seconds:.1f} MB/s" if seconds > 0 else ""
    console = results()
    console.print(
        f"{len(stored)} of {len(answers)} instances stored by {target} in {seconds:.2f} s ({rate})",
        soft_wrap=True,
        highlight=False,
    )
    for uid in studies_of(answers):
        console.print(f"  follow: scanstream study {uid} --follow{where}", soft_wrap=True, highlight=False)
