"""A matching key with the wildcards ``*`` and ``?`` → a regular expression (PS3.4 C.2.2.2.4). Pure."""

from __future__ import annotations

import re


def expression(key: str) -> str:
    """Regular expression, for :data:`re.DOTALL`, that matches in time proportional to the text.

    Between wildcards the first place that fits is taken for good (atomic groups), so no key makes matching slow.
    """
    first, *rest = (_escaped(part) for part in re.split(r"\*+", key))
    if not rest:
        return first
    *between, last = rest
    return first + "".join(f"(?>.*?{part})" for part in between) + f".*{last}"


def _escaped(text: str) -> str:
    return "".join("." if character == "?" else re.escape(character) for character in text)
