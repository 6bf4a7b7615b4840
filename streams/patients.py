"""Merges of patients → the keys that are one patient. Pure; a merge that is taken back parts them again."""

from __future__ import annotations

from collections import Counter, defaultdict


class Patients:
    """Keys of patients, and which of them were merged; by any number of messages."""

    def __init__(self) -> None:
        self._merged: dict[str, Counter[str]] = defaultdict(Counter)

    def join(self, one: str, other: str) -> None:
        """A message says that the two are one patient."""
        if one != other:
            self._merged[one][other] += 1
            self._merged[other][one] += 1

    def part(self, one: str, other: str) -> None:
        """A message that said so is gone."""
        for here, there in ((one, other), (other, one)):
            known = self._merged.get(here)
            if known is None or there not in known:
                continue
            known[there] -= 1
            if known[there] <= 0:
                del known[there]
            if not known:
                del self._merged[here]

    def group(self, key: str) -> frozenset[str]:
        """All keys of the patient who has this one, itself included."""
        found, unseen = {key}, [key]
        while unseen:
            for other in self._merged.get(unseen.pop(), ()):
                if other not in found:
                    found.add(other)
                    unseen.append(other)
        return frozenset(found)
