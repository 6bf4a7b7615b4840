"""Description of the running stack: whole, and gone when the supervisor is gone."""

from __future__ import annotations

import os

import pytest

from dashboards.local import stack
from dashboards.local.stack import Endpoints, ProcessState, Stack, State
from schemas.errors import ConfigurationError

ENDPOINTS = Endpoints("127.0.0.1:1", "127.0.0.1:2", "http://g", "http://a", "http://c", {"api": "http://m"})
STACK = Stack(
    os.getpid(),
    "2026-01-02T03:04:05.000+00:00",
    ENDPOINTS,
    (ProcessState("broker", State.READY, 12), ProcessState("topics", State.DONE)),
)


def test_what_is_written_is_read(tmp_path):
    with stack.held(tmp_path):
        assert stack.read(tmp_path) is None
        stack.write(tmp_path, STACK)
        assert stack.read(tmp_path) == STACK
        assert STACK.ready
        assert STACK.process("broker").pid == 12
        assert stack.holder(tmp_path) == os.getpid()
    assert not stack.path_of(tmp_path).exists()


def test_a_file_left_behind_is_no_stack(tmp_path):
    stack.write(tmp_path, STACK)
    assert stack.read(tmp_path) is None
    assert stack.holder(tmp_path) is None


def test_a_second_supervisor_is_told_that_the_stack_is_up(tmp_path):
    with (
        stack.held(tmp_path),
        pytest.raises(ConfigurationError, match=rf"already up \(process id {os.getpid()}\)"),
        stack.held(tmp_path),
    ):
        pass


def test_a_directory_that_cannot_be_made_is_said(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationError, match="set SCANSTREAM_DATA_DIR"), stack.held(tmp_path / "file" / "x"):
        pass
