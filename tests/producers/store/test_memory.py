from __future__ import annotations

from pathlib import Path

from producers.store.memory import Memory
from producers.store.spool import Spool


def test_what_is_not_granted_grows_on_disk_and_is_the_same(tmp_path: Path) -> None:
    memory = Memory(10_000)
    spools = [Spool(tmp_path, memory=memory) for _ in range(8)]
    for number in range(50):
        for spool in spools:
            spool.append(bytes([number]) * 100)
            assert memory.in_use <= 10_000
    expected = b"".join(bytes([number]) * 100 for number in range(50))
    assert [b"".join(spool.chunks()) for spool in spools] == [expected] * 8
    assert [spool.prefix(250) for spool in spools] == [expected[:250]] * 8
    for spool in spools:
        spool.close()
    assert memory.in_use == 0
    assert list(tmp_path.iterdir()) == []


def test_memory_is_given_back_once(tmp_path: Path) -> None:
    memory = Memory(1000)
    spool = Spool(tmp_path, memory=memory)
    spool.append(bytes(900))
    assert memory.in_use == 900
    spool.close()
    spool.close()
    assert memory.in_use == 0
    assert memory.take(1000)
    assert not memory.take(1)


def test_a_full_disk_gives_memory_back_too(tmp_path: Path) -> None:
    memory = Memory(1000)
    spool = Spool(tmp_path, lambda: True, memory)
    spool.append(bytes(900))
    spool.append(bytes(900))
    assert spool.failure is not None
    assert memory.in_use == 0
