"""Instances and hints of one partition → a revision of a study whenever its images have stopped arriving.

State machine of a study::

    unknown ──image──▶ open ──quiet | released | hard cap | operator──▶ ready (revision n)
                     │  ▲                                                  │ duplicate, report: stays
                     │  └────────── late image, order reinstated ──────────┘
                     └──series silent──▶ revision n of the silent series; stays open

Orders and admissions are joined whenever they come: to an open study, which may have to wait less, and to a
finished one, whose tasks may have to be served sooner, held or cancelled.

Guarantee: every revision of a whole study lists all instances that arrived before it; duplicates make no revision,
and neither do objects that are not images or that this system made itself. A command for a task leaves in the
transaction that notes it, so it is made once.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final, Protocol

from schemas.codec import Codec
from schemas.errors import InvalidMessage
from schemas.events import ArrivalHint, AssemblyState, InstanceStored, ReadyReason, StudyReady
from schemas.topics import Topic
from streams.clock import Instant
from streams.context import ContextTable, StudyKeys
from streams.decided import Decided, redecide
from streams.facts import Clinical
from streams.partition import Change, Output, Received
from streams.remembered import Remembered, StudyIndex
from streams.routing import Routed
from streams.rules import Rules
from streams.study import PROMISES, Study

#: Promises for studies of which nothing has come; beyond that the oldest are forgotten. They live in memory only.
MAX_PROMISES: Final = 10_000
#: Finished studies are looked through for forgotten ones so often, in seconds.
SWEEP_S: Final = 600.0

#: So many studies are decided anew in one go; instances and timers have their turn between.
REDECIDE_MOST: Final = 200


class Routes(Protocol):
    """What a ready study leads to; see :class:`streams.routing.Router`."""

    def route(self, ready: StudyReady, clinical: Clinical, before: Decided, at: Instant) -> Routed:
        """Decide about a revision."""
        ...

    def runs_more(self, ready: StudyReady, clinical: Clinical, before: Decided) -> bool:
        """Whether a further revision would lead to a task of a model that has none."""
        ...


class Assembler:
    """Studies of one partition of ``imaging.instances``.

    Parameters
    ----------
    rules
        Periods of completeness and retention.
    codec
        Packs finished studies.
    router
        What a ready study leads to.
    contexts
        What orders and admissions say.
    latest
        Changelog of the partition: key → value.
    at
        Now.
    """

    def __init__(
        self,
        rules: Rules,
        codec: Codec,
        router: Routes,
        contexts: ContextTable,
        latest: dict[bytes, bytes],
        at: Instant,
    ) -> None:
        self._rules = rules
        self._codec = codec
        self._router = router
        self._contexts = contexts
        self._changes = contexts.changes()
        self._studies: dict[str, Study] = {}
        self._traces: dict[str, str] = {}
        self._finished = Remembered(codec, rules.remember_days * 86_400)
        self._index = StudyIndex()
        self._undecided: dict[str, None] = {}
        self._dirty: set[str] = set()
        self._promises: dict[str, ArrivalHint] = {}
        self._sweep = at.monotonic
        for value in latest.values():
            state = codec.decode(value)
            if not isinstance(state, AssemblyState):
                raise InvalidMessage(
                    f"{Topic.ASSEMBLY} holds a {type(state).__name__}: only the assembler may write it"
                )
            uid = state.study_instance_uid
            self._index.put(StudyKeys(uid, state.accession_number, state.patient_key, state.accession_issuer))
            if state.open:
                self._studies[uid] = self._restored(state, at)
            else:
                self._finished.add(state, value)
            # an order may have come while nobody read it
            self._undecided[uid] = None

    def accept(self, received: Received, at: Instant) -> None:
        """Take an instance or a hint in."""
        event = received.event
        match event:
            case InstanceStored():
                if not event.is_own_result:
                    self._instance(event, received.traceparent, at)
            case ArrivalHint():
                self._hint(event, at)
            case _:
                raise InvalidMessage(f"a {type(event).__name__} does not belong on {Topic.INSTANCES}")

    def _instance(self, instance: InstanceStored, traceparent: str | None, at: Instant) -> None:
        uid = instance.study_instance_uid
        if not uid or "|" in uid or "|" in instance.series_instance_uid:
            raise InvalidMessage("the study or series UID of an instance is not a UID (PS3.5 9.1)")
        study = self._studies.get(uid) or self._known(uid, at)
        self._studies[uid] = study
        if traceparent is not None:
            self._traces[uid] = traceparent
        promise = self._promises.pop(uid, None)
        promised = promise is not None and study.hint(promise, at)
        if study.add(instance, at) or promised:
            self._dirty.add(uid)
        if self._index.put(study.keys):
            study.clinical = self._contexts.join(study.keys)

    def _hint(self, hint: ArrivalHint, at: Instant) -> None:
        """A promise counts also before the first instance, and for what a finished study still lacks."""
        uid = hint.study_instance_uid
        study = self._studies.get(uid)
        if study is None and hint.kind in PROMISES:
            if uid not in self._finished:
                self._remember(hint)
                return
            study = self._studies[uid] = self._known(uid, at)
        if study is not None and study.hint(hint, at):
            self._dirty.add(uid)

    def _remember(self, promise: ArrivalHint) -> None:
        before = self._promises.pop(promise.study_instance_uid, None)
        if before is not None and (before.instance_count or 0) > (promise.instance_count or 0):
            promise = before
        self._promises[promise.study_instance_uid] = promise
        if len(self._promises) > MAX_PROMISES:
            del self._promises[next(iter(self._promises))]

    def _known(self, uid: str, at: Instant) -> Study:
        state = self._finished.get(uid)
        if state is not None:
            return self._restored(state, at)
        return Study(uid, self._rules.periods, self._rules.released_minimum_instances)

    def _restored(self, state: AssemblyState, at: Instant) -> Study:
        study = Study.restore(state, self._rules.periods, self._rules.released_minimum_instances, at)
        study.clinical = self._contexts.join(study.keys)
        return study

    def due(self, behind: bool) -> float:
        """When the next study or series counts as complete, or a changed order asks for another decision."""
        ready_at = self._contexts.ready_at(float("-inf"))
        if self._contexts.is_read and (self._undecided or self._changes):
            return ready_at
        times = (min(study.due(behind)[0], study.series_due(behind)) for study in self._studies.values())
        return max(min(times, default=float("inf")), ready_at)

    def wake(self, at: Instant, behind: bool) -> list[Output]:
        """Revisions that are due and what they lead to, and commands for the tasks of changed orders."""
        if self._contexts.ready_at(at.monotonic) > at.monotonic:
            return []
        outputs = self._redecide(at)
        for study in self._studies.values():
            when, reason = study.due(behind)
            if when <= at.monotonic:
                outputs += self._completed(study, reason, at)
            elif study.series_due(behind) <= at.monotonic:
                outputs += self._started(study, at)
        return outputs

    def _completed(self, study: Study, reason: ReadyReason, at: Instant) -> list[Output]:
        ready = study.complete(reason, at)
        return self._told(study, ready, self._router.route(ready, study.clinical, study.decided, at))

    def _started(self, study: Study, at: Instant) -> list[Output]:
        """A revision of the silent series, if it leads to a task."""
        ready = study.silent(at)
        routed = self._router.route(ready, study.clinical, study.decided, at)
        if not routed.new:
            return []
        study.started(ready)
        return self._told(study, ready, routed)

    def _told(self, study: Study, ready: StudyReady, routed: Routed) -> list[Output]:
        study.decided = routed.decided
        self._dirty.add(study.uid)
        trace = self._traces.get(study.uid)
        made = (Output(Topic.STUDIES, study.uid, ready), *routed.outputs)
        return [replace(output, traceparent=trace) for output in made]

    def _redecide(self, at: Instant) -> list[Output]:
        """Commands that new words about orders lead to, for some studies at a time.

        None before the orders were read: that nothing is known of one releases nothing.
        """
        if not self._contexts.is_read:
            return []
        if self._changes:
            self._undecided.update(dict.fromkeys(self._index.affected(self._changes.take())))
        outputs: list[Output] = []
        for uid in [*self._undecided][:REDECIDE_MOST]:
            del self._undecided[uid]
            outputs += self._redecided(uid, at)
        return outputs

    def _redecided(self, uid: str, at: Instant) -> list[Output]:
        keys = self._index.keys_of(uid)
        if keys is None:
            return []
        clinical = self._contexts.join(keys)
        study = self._studies.get(uid)
        if study is None:
            if not self._finished.may_change(uid, clinical):
                return []
            study = self._known(uid, at)
        study.clinical = clinical
        told = redecide(uid, study.decided, self._rules.decide(study.facts), clinical, self._rules, at)
        again = (told is not None and told.again) or self._lacked(study, clinical, at)
        if told is None and not again:
            return []
        if told is not None:
            study.decided = told.decided
        if again:
            study.reopen(at)
        self._studies[uid] = study
        self._dirty.add(uid)
        commands = () if told is None else told.commands
        return [Output(Topic.COMMANDS, command.task_id, command) for command in commands]

    def _lacked(self, study: Study, clinical: Clinical, at: Instant) -> bool:
        """Whether a finished study lacked what is known now: consent, or the age of its patient."""
        if study.open or not study.decided.lacks_context:
            return False
        ready = study.ready(study.revision, ReadyReason.OPERATOR, at)
        return self._router.runs_more(ready, clinical, study.decided)

    def changes(self, at: Instant) -> list[Change]:
        """Studies that changed, and tombstones of those that are remembered no longer."""
        changed = [Change(uid, self._studies[uid].state()) for uid in sorted(self._dirty)]
        self._dirty.clear()
        for change in changed:
            if change.state is not None and not change.state.open:
                self._finished.add(change.state, self._codec.encode(change.state))
        for uid in [uid for uid, study in self._studies.items() if not study.open]:
            del self._studies[uid]
            self._traces.pop(uid, None)
        return changed + self._forgotten(at)

    def _forgotten(self, at: Instant) -> list[Change]:
        if at.monotonic < self._sweep:
            return []
        self._sweep = at.monotonic + SWEEP_S
        old = [uid for uid in self._finished.old(at.utc.timestamp()) if uid not in self._studies]
        for uid in old:
            self._finished.forget(uid)
            self._index.remove(uid)
        return [Change(uid, None) for uid in old]

    def committable(self, position: int) -> int:
        """Everything accepted is in the changelog."""
        return position

    @property
    def blocked(self) -> bool:
        """Never: studies wait beside each other."""
        return False

    @property
    def waiting(self) -> int:
        """Number of open studies."""
        return sum(study.open for study in self._studies.values())
