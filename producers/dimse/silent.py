"""Connections that hold no association: few enough that they cost nothing, whoever opens them. Pure.

Guarantee: beyond a number the oldest is given up, and of the address that has most of them, so that one host that
opens thousands takes the places of its own.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

T = TypeVar("T", bound=Hashable)


class Silent(Generic[T]):
    """Connections in the order in which they came.

    Parameters
    ----------
    most
        In all.
    most_of_one_address
        Of one IP address.
    """

    def __init__(self, most: int, most_of_one_address: int) -> None:
        self._most = most
        self._most_of_one_address = most_of_one_address
        self._address: dict[T, str] = {}
        self._of_address: dict[str, dict[T, None]] = {}

    def __len__(self) -> int:
        return len(self._address)

    def __iter__(self) -> Iterator[T]:
        return iter(list(self._address))

    def add(self, connection: T, address: str) -> T | None:
        """Hold one more; returns the one to close for it, if it must."""
        self._address[connection] = address
        mates = self._of_address.setdefault(address, {})
        mates[connection] = None
        if len(mates) > self._most_of_one_address:
            return self._give_up(address)
        if len(self._address) > self._most:
            return self._give_up(max(self._of_address, key=lambda other: len(self._of_address[other])))
        return None

    def remove(self, connection: T) -> None:
        """It holds an association, or is closed."""
        address = self._address.pop(connection, None)
        if address is not None:
            mates = self._of_address[address]
            del mates[connection]
            if not mates:
                del self._of_address[address]

    def _give_up(self, address: str) -> T:
        oldest = next(iter(self._of_address[address]))
        self.remove(oldest)
        return oldest
