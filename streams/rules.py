"""Facts of a study → priority with its reason, periods of completeness, routes; all from typed rules.

Pure: a rule is data, compared as text and never evaluated. Guarantee: the same facts under the same ``revision``
always give the same decision, and the decision says in one sentence which rule made it.
"""

from __future__ import annotations

import fnmatch
from dataclasses import dataclass
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from schemas.topics import Priority

Pattern = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9._-]+$")]
Seconds = Annotated[float, Field(gt=0)]


@dataclass(frozen=True)
class Facts:
    """What a decision about a study may look at; ``None`` or empty where the images do not say."""

    modality: frozenset[str] = frozenset()
    body_part: frozenset[str] = frozenset()
    study_description: str | None = None
    calling_ae_title: str | None = None
    called_ae_title: str | None = None
    requested_procedure_priority: str | None = None


@dataclass(frozen=True)
class Periods:
    """How long to wait before a study counts as complete, in seconds."""

    quiet_s: float
    released_s: float
    hard_cap_s: float


@dataclass(frozen=True)
class Decision:
    """A class of urgency and the sentence that says why; the sentence quotes the rule, not the study."""

    priority: Priority
    reason: str


class _Part(BaseModel):
    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


class Conditions(_Part):
    """Patterns per fact: any pattern of a fact is enough, and every named fact must match."""

    requested_procedure_priority: tuple[Pattern, ...] = ()
    calling_ae_title: tuple[Pattern, ...] = ()
    called_ae_title: tuple[Pattern, ...] = ()
    modality: tuple[Pattern, ...] = ()
    body_part: tuple[Pattern, ...] = ()
    study_description: tuple[Pattern, ...] = ()

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not any(getattr(self, name) for name in type(self).model_fields):
            raise ValueError("a rule needs at least one condition; use default_priority for the rest")
        return self

    def matched_by(self, facts: Facts) -> list[tuple[str, str]] | None:
        """Fact and pattern of every match; ``None`` when a condition does not hold."""
        found = []
        for fact in type(self).model_fields:
            patterns: tuple[str, ...] = getattr(self, fact)
            if not patterns:
                continue
            pattern = first_match(patterns, _texts(getattr(facts, fact)), whole=fact in _CODES)
            if pattern is None:
                return None
            found.append((fact, pattern))
        return found


#: Facts that are codes: a pattern must match all of it, so that ``MR`` is not found inside another code.
_CODES = frozenset({"modality", "calling_ae_title", "called_ae_title", "requested_procedure_priority"})


class PriorityRule(_Part):
    """One step of the ladder."""

    name: Name
    priority: Priority
    when: Conditions


class Completeness(_Part):
    """Periods for studies of some priorities or modalities; without conditions, for all."""

    priority: tuple[Priority, ...] = ()
    modality: tuple[Pattern, ...] = ()
    quiet_s: Seconds
    released_s: Seconds
    hard_cap_s: Seconds

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.released_s <= self.quiet_s <= self.hard_cap_s:
            raise ValueError("released_s may not exceed quiet_s, nor quiet_s hard_cap_s")
        return self

    @property
    def unconditional(self) -> bool:
        """Whether it holds for every study."""
        return not (self.priority or self.modality)

    def holds(self, priority: Priority, facts: Facts) -> bool:
        """Whether a study of this priority and these facts waits so long."""
        return (not self.priority or priority in self.priority) and (
            not self.modality or first_match(self.modality, tuple(facts.modality), whole=True) is not None
        )


class TextFilter(_Part):
    """Which texts are let through: one of ``include`` (if any), none of ``exclude``."""

    include: tuple[Pattern, ...] = ()
    exclude: tuple[Pattern, ...] = ()
    accept_missing: bool = True

    def passes(self, text: str | None) -> bool:
        """Whether a text, or its absence, is let through."""
        if text is None or not text.strip():
            return self.accept_missing
        if first_match(self.exclude, (text,)) is not None:
            return False
        return not self.include or first_match(self.include, (text,)) is not None


class Route(_Part):
    """Series that a model wants to see."""

    model: Name
    modality: tuple[Pattern, ...] = Field(min_length=1)
    minimum_instances: int = Field(default=1, ge=1)
    body_part: TextFilter = TextFilter()
    study_description: TextFilter = TextFilter()
    series_description: TextFilter = TextFilter()

    def takes_modality(self, modality: str | None) -> bool:
        """Whether a series of this modality is wanted; one without is not."""
        return modality is not None and first_match(self.modality, (modality,), whole=True) is not None


class Deadlines(_Part):
    """Seconds from the creation of a task until its results must be stored, for every class."""

    p1_emergency: Seconds = Field(alias="p1-emergency")
    p2_urgent: Seconds = Field(alias="p2-urgent")
    p3_normal: Seconds = Field(alias="p3-normal")
    p4_routine: Seconds = Field(alias="p4-routine")

    def of(self, priority: Priority) -> float:
        """Seconds for one class."""
        seconds: float = getattr(self, priority.value.replace("-", "_"))
        return seconds


class Rules(_Part):
    """The whole rules file."""

    revision: Name
    default_priority: Priority = Priority.P3_NORMAL
    priorities: tuple[PriorityRule, ...] = ()
    deadlines_s: Deadlines
    completeness: tuple[Completeness, ...] = Field(min_length=1)
    released_minimum_instances: int = Field(default=2, ge=1)
    remember_days: float = Field(default=30, gt=0)
    routes: tuple[Route, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if not self.completeness[-1].unconditional:
            raise ValueError("the last entry of completeness must have no conditions, so that every study has one")
        if any(entry.unconditional for entry in self.completeness[:-1]):
            raise ValueError("an entry of completeness without conditions hides those after it: put it last")
        _unique("priorities", [rule.name for rule in self.priorities])
        _unique("routes", [route.model for route in self.routes])
        return self

    def decide(self, facts: Facts) -> Decision:
        """Priority of a study; the first rule that matches decides."""
        for rule in self.priorities:
            matches = rule.when.matched_by(facts)
            if matches is not None:
                because = " and ".join(f"{_words(fact)} matches '{pattern}'" for fact, pattern in matches)
                return Decision(rule.priority, f"{rule.priority.value} by rule {rule.name}: {because}")
        return Decision(self.default_priority, f"{self.default_priority.value} by default: no rule matched")

    def periods(self, facts: Facts) -> Periods:
        """How long to wait for more of a study."""
        priority = self.decide(facts).priority
        entry = next(entry for entry in self.completeness if entry.holds(priority, facts))
        return Periods(entry.quiet_s, entry.released_s, entry.hard_cap_s)


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


def _words(name: str) -> str:
    return name.replace("_", " ")


def _texts(value: str | frozenset[str] | None) -> tuple[str, ...]:
    if value is None:
        return ()
    return (value,) if isinstance(value, str) else tuple(sorted(value))


def _unique(where: str, names: list[str]) -> None:
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise ValueError(f"{where} has {', '.join(doubled)} more than once")
