from __future__ import annotations

from producers.dimse.spools import BoundedSpool
from producers.store.memory import Memory


def test_a_data_set_of_the_longest_length_is_kept_and_a_longer_one_is_not() -> None:
    spool = BoundedSpool(10)
    spool.append(b"01234")
    spool.append(b"56789")
    assert b"".join(spool.chunks()) == b"0123456789"
    assert spool.failure is None
    spool.append(b"!")
    assert spool.failure is not None
    assert b"".join(spool.chunks()) == b""
    spool.append(b"more")
    assert (spool.size, b"".join(spool.chunks())) == (15, b"")


def test_all_of_them_have_one_bound_and_what_ends_makes_room() -> None:
    memory = Memory(100)
    first, second, third = (BoundedSpool(80) for _ in range(3))
    for spool in (first, second, third):
        spool.share(memory)
    first.append(bytes(60))
    second.append(bytes(60))
    assert second.failure == "too many requests are under way: try later"
    assert memory.in_use == 60
    third.append(bytes(40))
    third.append(bytes(50))
    assert memory.in_use == 60, "what is too long is let go of at once"
    first.close()
    first.close()
    assert memory.in_use == 0
