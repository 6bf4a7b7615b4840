"""Ports of the stack: free ones, remembered ones, given ones."""

from __future__ import annotations

import socket

import pytest

from dashboards.local.ports import FIRST, LAST, assign, choose, is_free
from schemas.errors import ConfigurationError


def draws(*numbers: int):
    stream = iter(numbers)
    return lambda _first, _last: next(stream)


def always(_port: int) -> bool:
    return True


def test_each_service_gets_a_port_of_its_own():
    assert choose(["a", "b"], {}, {}, always, draws(20001, 20001, 20002)) == {"a": 20001, "b": 20002}


def test_a_given_port_is_taken_as_it_is():
    assert choose(["a"], {"a": 104}, {"a": 20001}, lambda _: False, draws()) == {"a": 104}


def test_a_remembered_port_stays_while_it_is_free():
    assert choose(["a"], {}, {"a": 20005}, always, draws()) == {"a": 20005}
    assert choose(["a"], {}, {"a": 20005}, lambda port: port != 20005, draws(20005, 20006)) == {"a": 20006}


def test_a_remembered_port_that_another_service_was_given_is_left():
    assert choose(["a", "b"], {"a": 20005}, {"b": 20005}, always, draws(20007)) == {"a": 20005, "b": 20007}


def test_no_free_port_is_said():
    with pytest.raises(ConfigurationError, match="no free port"):
        choose(["a"], {}, {}, lambda _: False, lambda first, _: first)


def test_a_listener_makes_a_port_not_free():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert not is_free(server.getsockname()[1])


def test_ports_are_the_same_at_the_next_start(tmp_path):
    first = assign(tmp_path, ["a", "b"], {"b": 1234})
    assert assign(tmp_path, ["a", "b"], {"b": 1234}) == first
    assert FIRST <= first["a"] <= LAST


def test_a_damaged_memory_is_forgotten(tmp_path):
    (tmp_path / "ports.json").write_text("[")
    assert set(assign(tmp_path, ["a"], {})) == {"a"}
