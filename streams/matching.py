"""What rules are made of: patterns for texts, limits for numbers. Data that is compared, never evaluated. Pure."""

from __future__ import annotations

import fnmatch
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Pattern = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+$")]
Seconds = Annotated[float, Field(gt=0)]


class Part(BaseModel):
    """Base of every part of the rules file: frozen, strict, without unknown fields."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class TextFilter(Part):
    """Which texts are let through: one of ``include`` (if any), none of ``exclude``."""

    include: tuple[Pattern, ...] = ()
    exclude: tuple[Pattern, ...] = ()
    accept_missing: bool = True

    def passes(self, text: str | None) -> bool:
        """Whether a text, or its absence, is let through."""
        return self.objection(text, "") is None

    def objection(self, text: str | None, what: str) -> str | None:
        """Why a text is not let through, quoting the rule and not the text; ``None`` when it is."""
        if text is None or not text.strip():
            return None if self.accept_missing else f"{what} is missing"
        excluded = first_match(self.exclude, (text,))
        if excluded is not None:
            return f"{what} matches '{excluded}', which is excluded"
        if self.include and first_match(self.include, (text,)) is None:
            return f"{what} matches none of {quoted(self.include)}"
        return None

    def words(self, what: str) -> list[str]:
        """What is asked for, in words."""
        included = [f"{what} matching {quoted(self.include)}"] if self.include else []
        return included + ([f"{what} not matching {quoted(self.exclude)}"] if self.exclude else [])


class Range(Part):
    """Which numbers are let through, limits included."""

    minimum: float | None = None
    maximum: float | None = None
    accept_missing: bool = True

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.minimum is None and self.maximum is None:
            raise ValueError("give minimum, maximum or both")
        if self.minimum is not None and self.maximum is not None and self.minimum > self.maximum:
            raise ValueError("minimum may not exceed maximum")
        return self

    def objection(self, value: float | None, what: str) -> str | None:
        """Why a number is not let through; ``None`` when it is."""
        if value is None:
            return None if self.accept_missing else f"{what} is not known"
        return None if self.holds(value) else f"{what} is not {self.limits}"

    def holds(self, value: float) -> bool:
        """Whether a number lies within the limits."""
        return (self.minimum is None or value >= self.minimum) and (self.maximum is None or value <= self.maximum)

    @property
    def limits(self) -> str:
        """The limits in words."""
        if self.minimum is None:
            return f"at most {self.maximum:g}"
        return f"at least {self.minimum:g}" if self.maximum is None else f"{self.minimum:g} to {self.maximum:g}"


def first_match(patterns: tuple[str, ...], texts: tuple[str, ...], *, whole: bool = False) -> str | None:
    """First pattern that matches one of the texts, without regard to case.

    Parameters
    ----------
    patterns
        With ``*``, ``?`` or ``[`` a pattern must match the whole text, else it is looked for inside the text.
    texts
        What is compared.
    whole
        Patterns without wildcards must match the whole text, too.
    """
    folded = [text.strip().casefold() for text in texts]
    for pattern in patterns:
        wanted = pattern.casefold()
        is_glob = any(sign in wanted for sign in "*?[")
        for text in folded:
            if fnmatch.fnmatchcase(text, wanted) if is_glob else (text == wanted if whole else wanted in text):
                return pattern
    return None


def quoted(patterns: tuple[str, ...]) -> str:
    """Patterns as a sentence lists them."""
    return ", ".join(f"'{pattern}'" for pattern in patterns)
