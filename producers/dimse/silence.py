"""pynetdicom and pydicom → no lines of their own in this process's log.

Both say of a value that they refuse or doubt what it is, with a traceback or as a warning; a peer would decide
what stands in the log, and how much. Each refusal has one line of ours (:mod:`producers.dimse.association`).
"""

from __future__ import annotations

import logging
import warnings

from pynetdicom import _config

from producers.tolerance import read_without_validation


def silence() -> None:
    """Switch off the loggers of pynetdicom, the identifiers in them, and pydicom's warnings, in this process."""
    _config.LOG_HANDLER_LEVEL = "none"
    _config.LOG_REQUEST_IDENTIFIERS = False
    _config.LOG_RESPONSE_IDENTIFIERS = False
    for library in ("pynetdicom", "pydicom"):
        logging.getLogger(library).setLevel(logging.CRITICAL + 1)
    # Python remembers each warning that it has shown, and a peer can have it shown one for every tag there is.
    warnings.filterwarnings("ignore", module=r"pydicom\b")
    read_without_validation()
