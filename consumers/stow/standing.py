"""What a PACS was found to have of one instance, when its answer alone did not prove that it is stored."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class Standing:
    """State of an instance at the PACS.

    Attributes
    ----------
    is_there
        Whether it has an instance of this UID.
    differs_at
        Where that one is not ours (:func:`consumers.stow.sameness.differs_at`); ``None`` where it is.
    """

    is_there: bool
    differs_at: str | None = None


ABSENT: Final = Standing(is_there=False)
OURS: Final = Standing(is_there=True)
