"""pydicom → reads what real archives hold, in silence.

By default pydicom says of each invalid value what it is, and a birth date with dots in it then stands in a log. We
read objects of others as they are (encoding ours strictly is the writers' business), so the check is switched off.
"""

from __future__ import annotations

from pydicom import config


def read_without_validation() -> None:
    """Switch off validation of values that are read, in this process; errors that prevent reading remain."""
    config.settings.reading_validation_mode = config.IGNORE
