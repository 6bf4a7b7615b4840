from __future__ import annotations

import random

from producers.dimse.silent import Silent


def test_beyond_the_number_of_one_address_its_oldest_goes() -> None:
    silent: Silent[int] = Silent(100, 3)
    assert [silent.add(number, "10.0.0.1") for number in range(5)] == [None, None, None, 0, 1]
    assert silent.add(9, "10.0.0.2") is None
    assert sorted(silent) == [2, 3, 4, 9]


def test_beyond_the_number_in_all_the_address_with_most_gives_one_up() -> None:
    silent: Silent[int] = Silent(4, 4)
    for number, address in enumerate(["a", "b", "b", "c"]):
        assert silent.add(number, address) is None
    assert silent.add(4, "d") == 1
    assert len(silent) == 4


def test_whoever_speaks_or_leaves_is_not_counted() -> None:
    silent: Silent[int] = Silent(2, 2)
    for number in range(100):
        assert silent.add(number, str(number)) is None
        silent.remove(number)
        silent.remove(number)
    assert len(silent) == 0
    assert silent._of_address == {}


def test_it_stays_below_its_bounds_whatever_happens() -> None:
    chance, silent, held = random.Random(3), Silent[int](20, 6), set[int]()
    for number in range(5000):
        if chance.random() < 0.3 and held:
            gone = chance.choice(sorted(held))
            held.discard(gone)
            silent.remove(gone)
        given_up = silent.add(number, str(chance.randint(1, 6)))
        held.add(number)
        if given_up is not None:
            held.discard(given_up)
        assert set(silent) == held
        assert len(held) <= 20
