"""The supervisor with tiny real processes: restarts, refusals, order of stopping, no orphans."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from dashboards.local import stack, supervisor
from dashboards.local.stack import Stack, State
from schemas.errors import ConfigurationError
from tests.services import stop, wait_for

pytestmark = pytest.mark.integration

WORK = """
    import signal, sys, time
    from producers.process import notify
    def told(*_):
        open({order!r}, "a").write({name!r} + "\\n")
        sys.exit(0)
    signal.signal(signal.SIGTERM, told)
    notify("READY=1")
    print("words of {name}", file=sys.stderr, flush=True)
    signal.pause()
"""
REFUSE = "import sys; sys.stderr.write('scanstream tiny: port 5 is in use: set TINY_PORT\\n'); sys.exit(78)"
ONCE = "from producers.process import notify; notify('READY=1')"
CRASH = "import sys; sys.exit('no luck today')"
DEAF = """
import signal, time
from producers.process import notify
signal.signal(signal.SIGTERM, signal.SIG_IGN)
notify("READY=1")
time.sleep(600)
"""

MAIN = """
    import os, sys
    from pathlib import Path
    from dashboards.local import stack, supervisor
    from dashboards.local.plan import Plan, Program
    from dashboards.local.stack import Endpoints
    programs = tuple(
        Program(name, [sys.executable, "-c", code], stage, has_end) for name, code, stage, has_end in {programs!r}
    )
    plan = Plan(programs, dict(os.environ), Endpoints("", "", "", "", "", {{}}))
    data = Path({data!r})
    with stack.held(data):
        sys.exit(supervisor.run_plan(plan, data))
"""


def work(directory: Path, name: str) -> str:
    return textwrap.dedent(WORK.format(order=str(directory / "order"), name=name))


@contextmanager
def supervised(directory: Path, *programs: tuple[str, str, int, bool]) -> Iterator[subprocess.Popen[bytes]]:
    code = textwrap.dedent(MAIN.format(programs=programs, data=str(directory)))
    child = subprocess.Popen([sys.executable, "-c", code], start_new_session=True)
    try:
        wait_for(lambda: stack.read(directory) is not None, "stack.json")
        yield child
    finally:
        stop(child)


def now(directory: Path) -> Stack:
    found = stack.read(directory)
    assert found is not None
    return found


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_processes_become_ready_and_stop_in_stages(tmp_path):
    programs = [(name, work(tmp_path, name), stage, False) for name, stage in (("b", 2), ("g", 1), ("w", 0))]
    with supervised(tmp_path, *programs, ("once", ONCE, 0, True)) as child:
        wait_for(lambda: now(tmp_path).process("once").state is State.DONE, "the end of the one that has an end")
        wait_for(lambda: now(tmp_path).ready, "all to be ready")
        pids = [process.pid for process in now(tmp_path).processes if process.pid]
        assert stop(child) == 0
    assert (tmp_path / "order").read_text().split() == ["w", "g", "b"]
    assert all(gone(pid) for pid in pids)
    assert stack.read(tmp_path) is None
    line = json.loads((tmp_path / "logs" / "w.log").read_text().splitlines()[0])
    assert (line["event"], line["process"]) == ("words of w", "w")


def test_a_killed_process_is_started_again(tmp_path):
    with supervised(tmp_path, ("w", work(tmp_path, "w"), 0, False)):
        wait_for(lambda: now(tmp_path).ready, "ready")
        first = now(tmp_path).process("w").pid
        assert first is not None
        os.kill(first, signal.SIGKILL)
        wait_for(lambda: now(tmp_path).process("w").restarts == 1 and now(tmp_path).ready, "the restart")
        process = now(tmp_path).process("w")
        assert process.pid != first
        assert process.reason == "ended by SIGKILL"


def test_a_wrong_configuration_is_said_and_not_tried_again(tmp_path):
    with supervised(tmp_path, ("tiny", REFUSE, 0, False), ("w", work(tmp_path, "w"), 0, False)):
        wait_for(lambda: bool(now(tmp_path).refused), "the refusal")
        wait_for(lambda: now(tmp_path).process("w").state is State.READY, "the other process")
        (tiny,) = now(tmp_path).refused
        assert tiny.reason == "scanstream tiny: port 5 is in use: set TINY_PORT"
        assert tiny.restarts == 0


def test_a_crash_is_tried_again_with_its_last_words_as_reason(tmp_path):
    with supervised(tmp_path, ("c", CRASH, 0, False)):
        wait_for(lambda: now(tmp_path).process("c").restarts >= 2, "two restarts")
        assert now(tmp_path).process("c").reason == "ended with code 1: no luck today"


def test_no_process_outlives_a_killed_supervisor(tmp_path):
    with supervised(tmp_path, ("w", work(tmp_path, "w"), 0, False), ("deaf", DEAF, 0, False)) as child:
        wait_for(lambda: now(tmp_path).ready, "ready")
        pids = [process.pid for process in now(tmp_path).processes if process.pid]
        child.kill()
        child.wait()
        wait_for(lambda: all(gone(pid) for pid in pids), "the processes to end")
    assert stack.read(tmp_path) is None
    assert supervisor.down(tmp_path) is False


def test_told_twice_it_kills_who_does_not_listen(tmp_path):
    with supervised(tmp_path, ("deaf", DEAF, 0, False)) as child:
        wait_for(lambda: now(tmp_path).ready, "ready")
        deaf = now(tmp_path).process("deaf").pid
        assert deaf is not None
        child.send_signal(signal.SIGINT)
        wait_for(lambda: now(tmp_path).process("deaf").state is State.STOPPING, "stopping")
        child.send_signal(signal.SIGINT)
        assert child.wait(20) == 0
        assert gone(deaf)


def test_down_stops_it_and_a_second_start_is_refused(tmp_path):
    with supervised(tmp_path, ("w", work(tmp_path, "w"), 0, False)) as child:
        wait_for(lambda: now(tmp_path).ready, "ready")
        with pytest.raises(ConfigurationError, match="already up"):
            supervisor.detach(tmp_path)
        with pytest.raises(ConfigurationError, match="already up"):
            supervisor.up(tmp_path)
        assert supervisor.down(tmp_path) is True
        assert child.wait(20) == 0


def test_a_wrong_setting_is_said_in_the_foreground(tmp_path, monkeypatch):
    monkeypatch.setenv("SCANSTREAM_API_PORT", "eighty")
    with pytest.raises(
        ConfigurationError, match=r"ApiSettings is wrong \(port: .*correct the environment variable"
    ):
        supervisor.detach(tmp_path)
    assert stack.read(tmp_path) is None


def test_an_idle_stack_costs_no_cpu(tmp_path):
    with supervised(tmp_path, ("w", work(tmp_path, "w"), 0, False)) as child:
        wait_for(lambda: now(tmp_path).ready, "ready")
        process = psutil.Process(child.pid)
        before = process.num_ctx_switches().voluntary
        with pytest.raises(subprocess.TimeoutExpired):
            child.wait(1.0)
        assert process.num_ctx_switches().voluntary - before < 10
