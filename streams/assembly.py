"""Instances and hints of one partition → a revision of a study whenever its images have stopped arriving.

State machine of a study::

    unknown ──image──▶ open ──quiet | released | hard cap | operator──▶ ready (revision n)
                        ▲                                                  │ duplicate, report: stays
                        └────────────────── late image ────────────────────┘

Guarantee: every revision lists all instances that arrived before it; duplicates make no revision, and neither do
objects that are not images or that this system made itself.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Final, NamedTuple, cast

from schemas.codec import Codec
from schemas.errors import InvalidMessage
from schemas.events import ArrivalHint, AssemblyState, InstanceStored, StudyReady
from schemas.topics import Topic
from streams.clock import Instant
from streams.partition import Change, Output, Received
from streams.rules import Rules
from streams.study import PROMISES, Study

#: Promises for studies of which nothing has come; beyond that the oldest are forgotten. They live in memory only.
MAX_PROMISES: Final = 10_000
#: Finished studies are looked through for forgotten ones so often, in seconds.
SWEEP_S: Final = 600.0

Decide = Callable[[StudyReady, Instant], list[Output]]


class _Finished(NamedTuple):
    packed: bytes
    forget_at: float  # POSIX seconds


class Assembler:
    """Studies of one partition of ``imaging.instances``.

    Finished studies are kept packed (about a tenth of the size of their Avro form) and opened on demand.

    Parameters
    ----------
    rules
        Periods of completeness and retention.
    codec
        Packs finished studies.
    decide
        What a ready study leads to.
    latest
        Changelog of the partition: key → value.
    at
        Now.
    """

    def __init__(
        self, rules: Rules, codec: Codec, decide: Decide, latest: dict[bytes, bytes], at: Instant
    ) -> None:
        self._rules = rules
        self._codec = codec
        self._decide = decide
        self._studies: dict[str, Study] = {}
        self._traces: dict[str, str] = {}
        self._finished: dict[str, _Finished] = {}
        self._dirty: set[str] = set()
        self._promises: dict[str, ArrivalHint] = {}
        self._sweep = at.monotonic
        for value in latest.values():
            state = codec.decode(value)
            if not isinstance(state, AssemblyState):
                raise InvalidMessage(
                    f"{Topic.ASSEMBLY} holds a {type(state).__name__}: only the assembler may write it"
                )
            if state.open:
                self._studies[state.study_instance_uid] = self._restored(state, at)
            else:
                self._finished[state.study_instance_uid] = self._packed(state, value)

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
        finished = self._finished.get(uid)
        if finished is None:
            return Study(uid, self._rules.periods, self._rules.released_minimum_instances)
        state = cast(AssemblyState, self._codec.decode(zlib.decompress(finished.packed)))
        return self._restored(state, at)

    def _restored(self, state: AssemblyState, at: Instant) -> Study:
        return Study.restore(state, self._rules.periods, self._rules.released_minimum_instances, at)

    def due(self, behind: bool) -> float:
        """When the next study counts as complete, or old ones are to be forgotten."""
        return min((study.due(behind)[0] for study in self._studies.values()), default=float("inf"))

    def wake(self, at: Instant, behind: bool) -> list[Output]:
        """Revisions that are due, and what they lead to."""
        outputs: list[Output] = []
        for study in self._studies.values():
            when, reason = study.due(behind)
            if when > at.monotonic:
                continue
            ready = study.complete(reason, at)
            self._dirty.add(study.uid)
            trace = self._traces.pop(study.uid, None)
            made = [Output(Topic.STUDIES, study.uid, ready), *self._decide(ready, at)]
            outputs += [Output(output.topic, output.key, output.event, trace) for output in made]
        return outputs

    def changes(self, at: Instant) -> list[Change]:
        """Studies that changed, and tombstones of those that are remembered no longer."""
        changed = [Change(uid, self._studies[uid].state()) for uid in sorted(self._dirty)]
        self._dirty.clear()
        for change in changed:
            if change.state is not None and not change.state.open:
                self._finished[change.key] = self._packed(change.state, self._codec.encode(change.state))
        for uid in [uid for uid, study in self._studies.items() if not study.open]:
            del self._studies[uid]
            self._traces.pop(uid, None)
        return changed + self._forgotten(at)

    def _forgotten(self, at: Instant) -> list[Change]:
        if at.monotonic < self._sweep:
            return []
        self._sweep = at.monotonic + SWEEP_S
        now = at.utc.timestamp()
        old = [
            uid
            for uid, finished in self._finished.items()
            if finished.forget_at <= now and uid not in self._studies
        ]
        for uid in old:
            del self._finished[uid]
        return [Change(uid, None) for uid in old]

    def _packed(self, state: AssemblyState, value: bytes) -> _Finished:
        forget_at = state.opened_at.timestamp() + self._rules.remember_days * 86_400
        return _Finished(zlib.compress(value, 1), forget_at)

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
