"""Facts of a study → priority with its reason, periods of completeness, hours, routes; all from typed rules.

Pure: a rule is data, compared as text and never evaluated. Guarantee: the same facts under the same ``revision``
always give the same decision, and the decision says in one sentence which rule made it. What an order says counts
before the worklist, that before the images' tags, and those before where the images come from.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import Field, model_validator

from schemas.topics import Priority
from streams.criteria import Expression, SeriesCriteria
from streams.facts import Facts
from streams.matching import Name, Part, Pattern, Range, Seconds, TextFilter, first_match
from streams.windows import Window, contradiction, opens_at


@dataclass(frozen=True)
class Periods:
    """How long to wait before a study, or one of its series, counts as complete, in seconds."""

    quiet_s: float
    released_s: float
    hard_cap_s: float
    series_quiet_s: float | None = None


@dataclass(frozen=True)
class Decision:
    """A class of urgency and the sentence that says why; the sentence quotes the rule, not the study.

    ``useful_for_s`` is how long somebody wants the result, if the rule says so.
    """

    priority: Priority
    reason: str
    useful_for_s: float | None = None


#: Facts that are codes: a pattern must match all of it, so that ``MR`` is not found inside another code.
_CODES: Final = frozenset(
    {
        "order_priority",
        "order_status",
        "patient_class",
        "patient_location",
        "worklist_priority",
        "requested_procedure_priority",
        "modality",
        "calling_ae_title",
        "called_ae_title",
    }
)

#: Where facts come from, the source that counts most first.
_SOURCES: Final = ("an order", "the worklist", "the images' tags", "where the images come from")
_SOURCE_OF: Final = {
    "order_priority": 0,
    "order_status": 0,
    "patient_class": 0,
    "patient_location": 0,
    "worklist_priority": 1,
    "requested_procedure_priority": 2,
}


class Conditions(Part):
    """Patterns per fact: any pattern of a fact is enough, and every named fact must match."""

    order_priority: tuple[Pattern, ...] = ()
    order_status: tuple[Pattern, ...] = ()
    patient_class: tuple[Pattern, ...] = ()
    patient_location: tuple[Pattern, ...] = ()
    worklist_priority: tuple[Pattern, ...] = ()
    requested_procedure_priority: tuple[Pattern, ...] = ()
    calling_ae_title: tuple[Pattern, ...] = ()
    called_ae_title: tuple[Pattern, ...] = ()
    modality: tuple[Pattern, ...] = ()
    body_part: tuple[Pattern, ...] = ()
    study_description: tuple[Pattern, ...] = ()
    age_years: Range | None = None

    @model_validator(mode="after")
    def _not_empty(self) -> Self:
        if not self.named:
            raise ValueError("a rule needs at least one condition; use default_priority for the rest")
        return self

    @property
    def named(self) -> list[str]:
        """Facts that the conditions look at."""
        return [name for name in type(self).model_fields if getattr(self, name)]

    @property
    def source(self) -> int:
        """Place of the strongest source that the conditions look at; 0 counts most."""
        return min(_SOURCE_OF.get(name, len(_SOURCES) - 1) for name in self.named)

    def matched_by(self, facts: Facts) -> list[str] | None:
        """A clause for every match; ``None`` when a condition does not hold."""
        found = []
        for fact in self.named:
            wanted = getattr(self, fact)
            if isinstance(wanted, Range):
                if facts.age_years is None or not wanted.holds(facts.age_years):
                    return None
                found.append(f"{_words(fact)} are {wanted.limits}")
                continue
            pattern = first_match(wanted, _texts(getattr(facts, fact)), whole=fact in _CODES)
            if pattern is None:
                return None
            found.append(f"{_words(fact)} matches '{pattern}'")
        return found


class PriorityRule(Part):
    """One step of the ladder; nobody wants the result after ``useful_for_s``."""

    name: Name
    priority: Priority
    when: Conditions
    useful_for_s: Seconds | None = None


class Completeness(Part):
    """Periods for studies of some priorities or modalities; without conditions, for all.

    A series that nothing was added to for ``series_quiet_s`` starts while others of its study still arrive.
    """

    priority: tuple[Priority, ...] = ()
    modality: tuple[Pattern, ...] = ()
    quiet_s: Seconds
    released_s: Seconds
    hard_cap_s: Seconds
    series_quiet_s: Seconds | None = None

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if not self.released_s <= self.quiet_s <= self.hard_cap_s:
            raise ValueError("released_s may not exceed quiet_s, nor quiet_s hard_cap_s")
        if self.series_quiet_s is not None and self.series_quiet_s > self.hard_cap_s:
            raise ValueError("series_quiet_s may not exceed hard_cap_s")
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


class Route(SeriesCriteria):
    """Series that a model wants to see, and studies in which it may.

    Attributes
    ----------
    requires
        Series that the study must have, or must not have, for the model to run.
    age_years
        Of the patient.
    consent
        ``granted``: only where the patient agreed; ``not-refused``: where the patient did not refuse.
    sites
        Sites at which the model runs; none: all.
    quality_control
        Whether phantoms and calibrations are shown to it, too.
    """

    model: Name
    modality: tuple[Pattern, ...] = Field(min_length=1)
    study_description: TextFilter = TextFilter()
    requires: Expression | None = None
    age_years: Range | None = None
    consent: Literal["granted", "not-refused"] = "not-refused"
    sites: tuple[Pattern, ...] = ()
    quality_control: bool = False

    @property
    def waits_for_all(self) -> bool:
        """Whether more series could take back what the complete ones of a study allow."""
        return self.requires is not None and self.requires.may_turn_false


class Deadlines(Part):
    """Seconds from the moment in which a task may begin until its results must be stored, for every class."""

    p1_emergency: Seconds = Field(alias="p1-emergency")
    p2_urgent: Seconds = Field(alias="p2-urgent")
    p3_normal: Seconds = Field(alias="p3-normal")
    p4_routine: Seconds = Field(alias="p4-routine")

    def of(self, priority: Priority) -> float:
        """Seconds for one class."""
        seconds: float = getattr(self, priority.value.replace("-", "_"))
        return seconds


@dataclass(frozen=True)
class Times:
    """When a task may begin (``None``: at once), must be answered, and is wanted no more (``None``: never)."""

    not_before: datetime | None
    deadline: datetime
    useful_until: datetime | None


class Rules(Part):
    """The whole rules file."""

    revision: Name
    time_zone: str = "UTC"
    default_priority: Priority = Priority.P3_NORMAL
    priorities: tuple[PriorityRule, ...] = ()
    deadlines_s: Deadlines
    windows: tuple[Window, ...] = ()
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
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f"time_zone {self.time_zone!r} is not known on this machine: give a name such as Europe/Kyiv"
            ) from error
        problem = self._disorder() or contradiction(self.windows)
        if problem is not None:
            raise ValueError(problem)
        return self

    def _disorder(self) -> str | None:
        for one, other in pairwise(self.priorities):
            if one.when.source > other.when.source:
                return (
                    f"rule {other.name} looks at {_SOURCES[other.when.source]} and stands after {one.name}, which "
                    f"looks at {_SOURCES[one.when.source]}: what counts more stands first"
                )
        for rule in self.priorities:
            deadline_s = self.deadlines_s.of(rule.priority)
            if rule.useful_for_s is not None and rule.useful_for_s < deadline_s:
                return f"useful_for_s of rule {rule.name} ends before the deadline of its class, {deadline_s:g} s"
        return None

    def decide(self, facts: Facts) -> Decision:
        """Priority of a study; the first rule that matches decides."""
        for rule in self.priorities:
            matches = rule.when.matched_by(facts)
            if matches is not None:
                reason = f"{rule.priority.value} by rule {rule.name}: {' and '.join(matches)}"
                return Decision(rule.priority, reason, rule.useful_for_s)
        return Decision(self.default_priority, f"{self.default_priority.value} by default: no rule matched")

    def periods(self, facts: Facts) -> Periods:
        """How long to wait for more of a study."""
        priority = self.decide(facts).priority
        entry = next(entry for entry in self.completeness if entry.holds(priority, facts))
        return Periods(entry.quiet_s, entry.released_s, entry.hard_cap_s, entry.series_quiet_s)

    def times(self, decision: Decision, now: datetime) -> Times:
        """Times of a task that is made now."""
        windows = [window for window in self.windows if decision.priority in window.priority]
        not_before = opens_at(windows, ZoneInfo(self.time_zone), now)
        begins = not_before or now
        useful_s = decision.useful_for_s
        return Times(
            not_before,
            begins + timedelta(seconds=self.deadlines_s.of(decision.priority)),
            None if useful_s is None else begins + timedelta(seconds=useful_s),
        )

    @property
    def windowed(self) -> frozenset[Priority]:
        """Classes that may have to wait for their hours."""
        return frozenset(priority for window in self.windows for priority in window.priority)


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
