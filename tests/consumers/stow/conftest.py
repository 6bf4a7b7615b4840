from __future__ import annotations

from tests.consumers.stow.pacs import pacs

__all__ = ["pacs"]
