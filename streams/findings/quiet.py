"""Reports of the Kafka client → one of each kind a minute.

While a broker is away the client reports every attempt to reach it, some sixty lines a second.
"""

from __future__ import annotations

import logging

from producers.once_per_minute import OncePerMinute


def quieten(library: str) -> None:
    """Filter the loggers that a library has made by now; filters are not inherited, so each gets it."""
    once = OncePerMinute()
    for name in list(logging.Logger.manager.loggerDict):
        if name == library or name.startswith(f"{library}."):
            logging.getLogger(name).addFilter(once)
