"""Arrival of one study: instances and hints in any order → what is there, and when it counts as complete.

Pure and without IO. The content does not depend on the order in which instances came, nor on how often.

Two kinds of hint: who made or holds the whole study promises how many instances it has, and the study is settled
once so many are here; the end of an association only says that one sender has sent what it had, and counts only
while nothing more is promised. A promise that is not kept shortens no wait, and lengthens none.

Where the rules say so, series that have fallen silent make a revision of their own while others still arrive; the
whole study makes the next one, unless it holds no image more.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from schemas import ids
from schemas.events import ArrivalHint, AssemblyState, HintKind, InstanceStored, ReadyReason, StudyReady
from streams.clock import Instant
from streams.context import StudyKeys
from streams.decided import Decided
from streams.facts import NOTHING, Clinical, Facts
from streams.rules import Periods
from streams.series import Series, content_id, either, require_room
from streams.sop_classes import is_image
from streams.urgency import most_urgent

#: Hints that promise a number of instances of the study, whoever sends them.
PROMISES: Final = {
    HintKind.MPPS_COMPLETED: ReadyReason.MPPS_COMPLETED,
    HintKind.INSTANCE_AVAILABILITY: ReadyReason.INSTANCE_AVAILABILITY,
    HintKind.STORAGE_COMMITMENT: ReadyReason.STORAGE_COMMITMENT,
}


class Study:
    """What is known of one study.

    Parameters
    ----------
    uid
        Study Instance UID.
    periods_of
        Periods of completeness for the facts of a study.
    minimum_for_release
        A release of an association that brought fewer instances does not shorten the wait.

    Attributes
    ----------
    clinical
        What orders and admissions say; of this process only.
    decided
        What was decided about it last.
    instance_count
        Number of different instances.
    """

    def __init__(self, uid: str, periods_of: Callable[[Facts], Periods], minimum_for_release: int) -> None:
        self.uid = uid
        self.revision = self.instance_count = 0
        self.open = False
        self.decided = Decided()
        self._clinical = NOTHING
        self._patient_key: str | None = None
        self._age_years: float | None = None
        self._all_quality_control = True
        self._periods_of = periods_of
        self._minimum_for_release = minimum_for_release
        self._periods: Periods | None = None
        self._series: dict[str, Series] = {}
        self._source: tuple[str, str] | None = None
        self._first_at: datetime | None = None
        self._last_at: datetime | None = None
        self._texts: dict[str, Any] = dict.fromkeys(_STUDY_TEXTS)
        self._opened_at: datetime | None = None
        self._hint: HintKind | None = None
        self._hint_at: datetime | None = None
        self._expected: tuple[int, HintKind] | None = None
        # Timers; of this process only.
        self._opened = 0.0
        self._active = 0.0
        self._hinted = 0.0
        self._restored = float("-inf")
        self._associations: dict[str, int] = {}

    @classmethod
    def restore(
        cls, state: AssemblyState, periods_of: Callable[[Facts], Periods], minimum_for_release: int, at: Instant
    ) -> Study:
        """Study of a changelog record; a wait that was under way starts again, within the same hard cap."""
        study = cls(state.study_instance_uid, periods_of, minimum_for_release)
        study.revision, study.open = state.revision, state.open
        study._source = (state.gateway, state.retrieve_url)
        study._first_at, study._last_at = state.first_instance_at, state.last_instance_at
        study._texts = {name: getattr(state, name) for name in _STUDY_TEXTS}
        study._opened_at, study._hint, study._hint_at = state.opened_at, state.hint, state.hint_at
        if state.expected_count is not None and state.expected_by is not None:
            study._expected = state.expected_count, state.expected_by
        shapes = {shape.series_instance_uid: shape for shape in state.geometry}
        for series in state.series:
            uid = series.series_instance_uid
            study._series[uid] = Series.restore(series, shapes.get(uid), at.monotonic)
            study._series[uid].considered = not state.open
            study.instance_count += len(study._series[uid].instances)
        study._patient_key, study._age_years = state.patient_key, state.patient_age_years
        study._all_quality_control = state.quality_control
        study.decided = Decided.of(state)
        study._opened = at.monotonic - max(0.0, (at.utc - state.opened_at).total_seconds())
        study._active = study._hinted = study._restored = at.monotonic
        return study

    def add(self, instance: InstanceStored, at: Instant) -> bool:
        """Take an instance in.

        Returns
        -------
        bool
            Whether anything that the changelog keeps has changed; a duplicate changes nothing, other content of an
            instance that a revision went out with makes the next one.

        Raises
        ------
        InvalidMessage
            The study has no room for it.
        """
        require_room(self._series, self.instance_count, instance)
        if instance.association_id is not None:
            self._associations[instance.association_id] = self._associations.get(instance.association_id, 0) + 1
        self._active = at.monotonic
        series = self._series.setdefault(instance.series_instance_uid, Series())
        known = instance.sop_instance_uid in series.instances
        in_parts = self.decided.partial_content is not None or self.decided.lacks_context
        if known and not (instance.replaces and (in_parts or not self.open)):
            return False
        if known:
            self._forget_content()
        series.add(instance, at.monotonic)
        self.instance_count += not known
        self._describe(instance)
        self._hint = self._hint_at = None
        if self._opened_at is None or (not self.open and is_image(instance.sop_class_uid)):
            self._opened, self._opened_at = at.monotonic, at.utc
        self.open = self.open or is_image(instance.sop_class_uid)
        self._keep_promise(at)
        return True

    def _forget_content(self) -> None:
        """Images of a revision have other content now: what it started is not the same any more."""
        tasks = tuple(replace(task, content=None) for task in self.decided.tasks)
        partial = None if self.decided.partial_content is None else ""
        self.decided = replace(self.decided, tasks=tasks, partial_content=partial)

    def _describe(self, instance: InstanceStored) -> None:
        source = (instance.gateway, _study_url(instance.retrieve_url))
        self._source = source if self._source is None else min(self._source, source)
        self._first_at = min(self._first_at or instance.occurred_at, instance.occurred_at)
        self._last_at = max(self._last_at or instance.occurred_at, instance.occurred_at)
        for name in _STUDY_TEXTS:
            texts = (self._texts[name], getattr(instance, name))
            self._texts[name] = most_urgent(texts) if name == "requested_procedure_priority" else either(*texts)
        self._patient_key = either(self._patient_key, instance.patient_key)
        ages = [age for age in (self._age_years, instance.patient_age_years) if age is not None]
        self._age_years = min(ages, default=None)
        self._all_quality_control = self._all_quality_control and instance.quality_control
        self._periods = None

    def hint(self, hint: ArrivalHint, at: Instant) -> bool:
        """Take a hint in, if it promises something, or speaks of what is here and nobody else is still sending.

        Returns
        -------
        bool
            Whether anything that the changelog keeps has changed.
        """
        if hint.kind in PROMISES and hint.instance_count is not None:
            return self._promise(hint.instance_count, hint.kind, at)
        received = self._associations.pop(hint.association_id or "", None)
        if not self.open:
            return False
        if hint.kind is HintKind.ASSOCIATION_RELEASED:
            # Of a restored study it is not known who sent what: then all of it must make up the number.
            known = received is not None and self._restored == float("-inf")
            present = received or 0 if known else self.instance_count
            promised = present if hint.instance_count is None else hint.instance_count
            if self._associations or present < promised or promised < self._minimum_for_release:
                return False
            if self._expected is not None or self._hint in PROMISES:
                return False
        self._hint, self._hint_at, self._hinted = hint.kind, at.utc, at.monotonic
        return True

    def _promise(self, count: int, kind: HintKind, at: Instant) -> bool:
        """Somebody knows that the study has at least so many instances; of several, the greatest number counts."""
        if self._expected is not None and self._expected[0] >= count:
            return False
        self._expected = count, kind
        if self.instance_count < count:
            self._hint = self._hint_at = None
            return True
        return self._keep_promise(at) and self.open

    def _keep_promise(self, at: Instant) -> bool:
        """Whether as many instances are here now as were promised; more than those are none of its matter."""
        if self._expected is None or self.instance_count < self._expected[0]:
            return False
        (_, kind), self._expected = self._expected, None
        if self.open:
            self._hint, self._hint_at, self._hinted = kind, at.utc, at.monotonic
        return True

    @property
    def keys(self) -> StudyKeys:
        """By what orders and admissions are joined."""
        issuer = self._texts["accession_issuer"]
        return StudyKeys(self.uid, self._texts["accession_number"], self._patient_key, issuer)

    @property
    def clinical(self) -> Clinical:
        """What orders and admissions say."""
        return self._clinical

    @clinical.setter
    def clinical(self, said: Clinical) -> None:
        if said != self._clinical:
            self._clinical, self._periods = said, None

    @property
    def facts(self) -> Facts:
        """What the rules look at."""
        facts = Facts(
            modality=frozenset(series.modality for series in self._series.values() if series.modality),
            body_part=frozenset(series.body_part for series in self._series.values() if series.body_part),
            study_description=self._texts["study_description"],
            calling_ae_title=self._texts["calling_ae_title"],
            called_ae_title=self._texts["called_ae_title"],
            requested_procedure_priority=self._texts["requested_procedure_priority"],
            age_years=self._age_years,
        )
        return facts.given(self._clinical)

    @property
    def _waits(self) -> Periods:
        if self._periods is None:
            self._periods = self._periods_of(self.facts)
        return self._periods

    def due(self, behind: bool) -> tuple[float, ReadyReason]:
        """When and why the study counts as complete, unless more arrives.

        Parameters
        ----------
        behind
            Many messages are still unread, so that silence means nothing: only the hard cap counts, from when
            this process first knew of the study.

        Returns
        -------
        tuple
            Monotonic seconds, and the reason; infinity for a study that waits for nothing.
        """
        if not self.open:
            return float("inf"), ReadyReason.QUIET
        periods = self._waits
        if behind:
            return max(self._opened, self._restored) + periods.hard_cap_s, ReadyReason.HARD_CAP
        if self._hint is HintKind.OPERATOR:
            return self._hinted, ReadyReason.OPERATOR
        quiet = self._active + (periods.quiet_s if self._hint is None else periods.released_s)
        capped = max(self._opened + periods.hard_cap_s, self._restored + periods.quiet_s)
        if capped < quiet:
            return capped, ReadyReason.HARD_CAP
        if self._hint is None:
            return quiet, ReadyReason.QUIET
        return quiet, PROMISES.get(self._hint, ReadyReason.ASSOCIATION_RELEASED)

    def series_due(self, behind: bool) -> float:
        """Monotonic seconds at which a series may start before its study is complete; infinity if none may."""
        quiet_s = self._waits.series_quiet_s if self.open and not behind else None
        if quiet_s is None:
            return float("inf")
        waiting = [one.active for one in self._series.values() if one.is_image and not one.considered]
        return min(waiting, default=float("inf")) + quiet_s

    def silent(self, at: Instant) -> StudyReady:
        """The next revision as it would be with the series that have fallen silent; they are considered now."""
        until = at.monotonic - (self._waits.series_quiet_s or 0.0)
        silent = {uid for uid, one in self._series.items() if one.is_image and one.active <= until}
        for uid in silent:
            self._series[uid].considered = True
        ready = self.ready(self.revision + 1, ReadyReason.SERIES, at)
        content = tuple(series for series in ready.series if series.series_instance_uid in silent)
        count = sum(len(series.sop_instance_uids) for series in content)
        return replace(ready, series=content, instance_count=count, complete=False)

    def started(self, ready: StudyReady) -> None:
        """The revision of silent series is known now; the study goes on."""
        self.revision = ready.revision

    def complete(self, reason: ReadyReason, at: Instant) -> StudyReady:
        """Close the study and make its next revision known.

        When the last revision was of silent series, and there is no image beside theirs, it is that revision that
        becomes known as the complete study.
        """
        self.open = False
        self._hint = self._hint_at = None
        ready = self.ready(self.revision + 1, reason, at)
        if self.decided.partial_content == content_id(*ready.series):
            again = ids.event_id("study-ready", self.uid, self.revision, "complete")
            return replace(ready, revision=self.revision, event_id=again)
        self.revision += 1
        return ready

    def reopen(self, at: Instant) -> None:
        """Make the next revision at once, with what is there."""
        self.open = True
        self._opened, self._opened_at = at.monotonic, at.utc
        self._hint, self._hint_at, self._hinted = HintKind.OPERATOR, at.utc, at.monotonic

    def ready(self, revision: int, reason: ReadyReason, at: Instant) -> StudyReady:
        """All that is here, as a revision would say it."""
        state = self.state()
        return StudyReady(
            event_id=ids.event_id("study-ready", self.uid, revision),
            occurred_at=at.utc,
            study_instance_uid=self.uid,
            revision=revision,
            reason=reason,
            gateway=state.gateway,
            retrieve_url=state.retrieve_url,
            series=state.series,
            instance_count=self.instance_count,
            first_instance_at=state.first_instance_at,
            last_instance_at=state.last_instance_at,
            **self._texts,
            patient_key=self._patient_key,
            patient_age_years=self._age_years,
            quality_control=state.quality_control,
        )

    def state(self) -> AssemblyState:
        """Changelog record.

        Raises
        ------
        ValueError
            Nothing has arrived yet.
        """
        if self._source is None or self._first_at is None or self._last_at is None or self._opened_at is None:
            raise ValueError(f"study {self.uid} has no instance")
        return AssemblyState(
            study_instance_uid=self.uid,
            revision=self.revision,
            open=self.open,
            gateway=self._source[0],
            retrieve_url=self._source[1],
            series=tuple(series.content(uid) for uid, series in sorted(self._series.items())),
            first_instance_at=self._first_at,
            last_instance_at=self._last_at,
            opened_at=self._opened_at,
            hint=self._hint,
            hint_at=self._hint_at,
            expected_count=None if self._expected is None else self._expected[0],
            expected_by=None if self._expected is None else self._expected[1],
            **self._texts,
            patient_key=self._patient_key,
            patient_age_years=self._age_years,
            quality_control=self._all_quality_control,
            priority=self.decided.priority,
            priority_reason=self.decided.reason,
            rule_revision=self.decided.rule_revision,
            tasks=self.decided.tasks,
            order_status=self.decided.order_status,
            partial_content=self.decided.partial_content,
            lacks_context=self.decided.lacks_context,
            geometry=tuple(filter(None, (series.shape(uid) for uid, series in sorted(self._series.items())))),
        )


_STUDY_TEXTS: Final = (
    "calling_ae_title",
    "called_ae_title",
    "study_description",
    "accession_number",
    "accession_issuer",
    "requested_procedure_priority",
    "study_date_time",
)


def _study_url(instance_url: str) -> str:
    """WADO-RS study URL of an instance's (PS3.18 10.4.1)."""
    return instance_url.partition("/series/")[0]
