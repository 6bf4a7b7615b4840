"""What ``clinical.context`` says of each key now, with what this listener has written but not read back yet.

Values are held as they are in the log, as there are many and few are asked for. Guarantee: between a write of ours
and its coming back, what others wrote before it does not count; a write that failed is taken back.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict, deque
from collections.abc import Iterable
from dataclasses import dataclass

from schemas.codec import Codec
from schemas.events import ClinicalContext

#: Event ids that are remembered, to know a message that is sent again.
REMEMBERED = 200_000


@dataclass(frozen=True)
class _Entry:
    value: bytes
    patient_key: str
    accession: str | None


class KnownContexts:
    """Newest context of each key. For one thread.

    Parameters
    ----------
    codec
        Of the values.
    remembered
        Most event ids.
    """

    def __init__(self, codec: Codec, remembered: int = REMEMBERED) -> None:
        self._codec = codec
        self._remembered = remembered
        self._entries: dict[str, _Entry] = {}
        #: Keys of the orders of a patient, and of those with one accession number.
        self._orders: dict[tuple[str, str | None], set[str]] = defaultdict(set)
        self._seen: OrderedDict[str, None] = OrderedDict()
        #: Writes of ours that have not come back, oldest first; ``None`` for a tombstone.
        self._own: dict[str, deque[str | None]] = {}
        self._undo: list[tuple[str, _Entry | None, str | None]] = []

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> ClinicalContext | None:
        """Newest context of a key."""
        entry = self._entries.get(key)
        return None if entry is None else self._decoded(entry)

    def orders_of(self, patient_key: str, accession: str | None = None) -> Iterable[tuple[str, ClinicalContext]]:
        """Orders of a patient, all or those with an accession number, by key."""
        for key in sorted(self._orders.get((patient_key, accession), ())):
            context = self.get(key)
            if context is not None:
                yield key, context

    def has_seen(self, event_id: str) -> bool:
        """Whether an event is in the log, or about to be."""
        return event_id in self._seen

    def read(self, key: str, context: ClinicalContext | None) -> None:
        """Take what came from the log."""
        event_id = None if context is None else context.event_id
        if event_id is not None:
            self._remember(event_id)
        own = self._own.get(key)
        if own:
            # what is not ours was written before ours, so ours is newer
            if event_id in own:
                while own.popleft() != event_id:
                    pass  # one that came back only as what took its place
                if not own:
                    del self._own[key]
            return
        self._put(key, self._entry(context))

    def stage(self, writes: Iterable[tuple[str, ClinicalContext | None]]) -> None:
        """Count writes of ours before they are in the log: all, or none where one cannot be written at all.

        :meth:`written` or :meth:`failed` follows.
        """
        made = [
            (key, self._entry(context), None if context is None else context.event_id) for key, context in writes
        ]
        for key, entry, event_id in made:
            self._undo.append((key, self._entries.get(key), event_id))
            self._own.setdefault(key, deque()).append(event_id)
            if event_id is not None:
                self._remember(event_id)
            self._put(key, entry)

    def written(self) -> None:
        """All that was staged is in the log."""
        self._undo.clear()

    def failed(self) -> None:
        """Nothing of what was staged counts: what the log has after all comes from there."""
        for key, before, event_id in reversed(self._undo):
            own = self._own[key]
            own.pop()
            if not own:
                del self._own[key]
            if event_id is not None:
                self._seen.pop(event_id, None)
            self._put(key, before)
        self._undo.clear()

    def _entry(self, context: ClinicalContext | None) -> _Entry | None:
        if context is None:
            return None
        return _Entry(self._codec.encode(context), context.patient_key, context.accession_number)

    def _put(self, key: str, entry: _Entry | None) -> None:
        before = self._entries.pop(key, None)
        for place in _places(before):
            orders = self._orders[place]
            orders.discard(key)
            if not orders:
                del self._orders[place]
        if entry is not None:
            self._entries[key] = entry
        for place in _places(entry):
            self._orders[place].add(key)

    def _remember(self, event_id: str) -> None:
        self._seen[event_id] = None
        if len(self._seen) > self._remembered:
            self._seen.popitem(last=False)

    def _decoded(self, entry: _Entry) -> ClinicalContext:
        context = self._codec.decode(entry.value)
        if not isinstance(context, ClinicalContext):
            raise TypeError("clinical.context holds another record")
        return context


def _places(entry: _Entry | None) -> tuple[tuple[str, str | None], ...]:
    """Where an order is found again: among all of its patient, and among those with its accession number."""
    if entry is None or entry.accession is None:
        return ()
    return (entry.patient_key, None), (entry.patient_key, entry.accession)
