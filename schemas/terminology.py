"""Coded concepts and fixed phrases → what a person reads, in Ukrainian or English.

Only displays are translated: value, scheme and meaning of a coded concept stay what the standard says, in every
language. A concept that the table does not know is shown by its own meaning, so nothing is ever hidden.
"""

from __future__ import annotations

from enum import StrEnum


class Language(StrEnum):
    """Language of texts for people (RFC 5646)."""

    ENGLISH = "en"
    UKRAINIAN = "uk"
