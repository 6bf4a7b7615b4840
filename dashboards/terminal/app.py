"""Command line → command; foreseen errors → one red sentence and an exit code."""

from __future__ import annotations

import os
import sys
from typing import Final

import typer

from dashboards.terminal.commands import (
    demo,
    down,
    models,
    poller,
    processes,
    send,
    sql,
    status,
    study,
    task,
    topics,
    up,
)
from schemas.errors import ConfigurationError, ScanstreamError

EXIT_CONFIGURATION: Final = 78
EXIT_FAILURE: Final = 1
EXIT_INTERRUPTED: Final = 130

app = typer.Typer(
    name="scanstream",
    help="Radiology AI as an event stream on Kafka.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

_DAILY: Final = "See and steer"
_PROCESSES: Final = "Processes (one each; `up` starts them all)"

app.command("demo", rich_help_panel=_DAILY)(demo.demo)
app.command("up", rich_help_panel=_DAILY)(up.up)
app.command("down", rich_help_panel=_DAILY)(down.down)
app.command("status", rich_help_panel=_DAILY)(status.status)
app.command("send", rich_help_panel=_DAILY)(send.send)
app.command("study", rich_help_panel=_DAILY)(study.study)
app.command("infer", rich_help_panel=_DAILY)(task.infer)
app.add_typer(task.app, rich_help_panel=_DAILY)
app.command("topics", rich_help_panel=_DAILY)(topics.topics)
app.add_typer(models.app, name="models", rich_help_panel=_DAILY)
app.command("sql", rich_help_panel=_DAILY)(sql.sql)
app.command("broker", rich_help_panel=_PROCESSES)(processes.broker)
app.command("gateway", rich_help_panel=_PROCESSES)(processes.gateway)
app.command("poller", rich_help_panel=_PROCESSES)(poller.poller)
app.command("hl7", rich_help_panel=_PROCESSES)(processes.hl7)
app.command("streams", rich_help_panel=_PROCESSES)(processes.streams)
app.command("worker", rich_help_panel=_PROCESSES)(processes.worker)
app.command("findings", rich_help_panel=_PROCESSES)(processes.findings)
app.command("writer", rich_help_panel=_PROCESSES)(processes.writer)
app.command("api", rich_help_panel=_PROCESSES)(processes.api)


def run() -> None:
    """Run and exit.

    Raises
    ------
    SystemExit
        Always, with the exit code: 0 done, 78 wrong configuration, 2 wrong usage, 1 anything else.
    """
    try:
        app()
    except ConfigurationError as error:
        sys.exit(_say(str(error), EXIT_CONFIGURATION))
    except ScanstreamError as error:
        sys.exit(_say(str(error), EXIT_FAILURE))
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # whoever read our output has enough (`scanstream sql … | head`)
        sys.stderr.close()
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 - a person never sees a traceback that they did not ask for
        sys.exit(_unforeseen(error))


def _unforeseen(error: Exception) -> int:
    """A wrong setting by its name; anything else in one sentence too, and its traceback for whoever asks."""
    from pydantic import ValidationError

    from producers.process import sentence_of

    if isinstance(error, ValidationError):
        return _say(sentence_of(error), EXIT_CONFIGURATION)
    if os.environ.get("SCANSTREAM_LOG_LEVEL") == "DEBUG":
        raise error
    return _say(
        f"an error that nobody expected ({type(error).__name__}: {error}): "
        "SCANSTREAM_LOG_LEVEL=DEBUG shows where it happened",
        EXIT_FAILURE,
    )


def _say(sentence: str, code: int) -> int:
    from dashboards.terminal.output import complain

    complain(sentence)
    return code
