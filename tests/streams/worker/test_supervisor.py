"""A computing process that ends, stands still, or cannot start."""

from __future__ import annotations

import pytest

from schemas.errors import ConfigurationError
from schemas.events import ModelIdentity, TaskState
from streams.worker.answers import Answer
from streams.worker.protocol import Begin, Computing, Ended, FromChild, Health, Loaded, Moved
from streams.worker.supervisor import RESTART_FIRST_S, SILENT_S, Died, Patience, Supervisor
from tests.streams.worker.child.fake import FakeChild
from tests.streams.worker.tasks import MODEL, task

ANSWER = Answer("done", ())
IDENTITY = ModelIdentity(MODEL, "1", "ab" * 32, "maker", "2.25.1", "onnx")


class Watched:
    """A supervisor of fake processes, and its clock."""

    def __init__(self) -> None:
        self.now = 100.0
        self.children: list[FakeChild] = []
        patience = Patience(start_s=300.0, step_s=20.0, steps_s={"slow": 50.0})
        self.supervisor = Supervisor(self.start, patience, lambda: self.now)

    def start(self) -> FakeChild:
        self.children.append(FakeChild())
        return self.children[-1]

    def listen(self, *said: FromChild, later_s: float = 0.0) -> list[FromChild | Died]:
        if self.children:
            self.children[-1].say(*said)
        self.now += later_s
        return list(self.supervisor.listen())

    def loaded(self) -> None:
        self.listen()
        self.listen(Loaded("onnx", (), (IDENTITY,)), Health(1))


def test_it_takes_tasks_once_its_models_are_loaded() -> None:
    watched = Watched()
    ready = []
    words: list[list[FromChild]] = [[], [Health(1)], [Loaded("onnx", (), (IDENTITY,))]]
    for said in words:
        watched.listen(*said)
        ready.append(watched.supervisor.ready)
    assert ready == [False, False, True]
    assert watched.supervisor.identity(MODEL) == IDENTITY
    assert watched.supervisor.identity("another") is None


def test_what_it_said_before_it_ended_is_heard_and_another_is_started_after_a_pause() -> None:
    watched = Watched()
    watched.loaded()
    name = ("t", 1)
    watched.children[0].say(Computing((name,)), Moved(name, TaskState.INFERRING, 40))
    watched.children[0].die(-11)
    *said, died = watched.listen()
    assert len(said) == 2
    assert died == Died("ended", (name,))
    assert not watched.supervisor.ready
    assert watched.listen() == []
    assert len(watched.children) == 1
    watched.listen(later_s=RESTART_FIRST_S)
    assert len(watched.children) == 2
    # which version could not run is still known
    assert watched.supervisor.identity(MODEL) == IDENTITY


def test_the_pause_grows_while_it_ends_soon_after_its_start() -> None:
    watched = Watched()
    pauses = []
    for _ in range(9):
        watched.loaded()
        watched.children[-1].die(1)
        (died,) = watched.listen()
        assert isinstance(died, Died)
        lost_at, started = watched.now, len(watched.children)
        while len(watched.children) == started:
            watched.listen(later_s=0.25)
        pauses.append(watched.now - lost_at)
    assert pauses == [0.5, 1, 2, 4, 8, 16, 30, 30, 30]


@pytest.mark.parametrize(("model", "patience_s"), [("quick", 20.0), ("slow", 50.0)])
def test_a_step_has_the_time_of_its_model(model: str, patience_s: float) -> None:
    watched = Watched()
    watched.loaded()
    asked = task(model_name=model)
    name = (asked.task_id, 1)
    watched.supervisor.send(Begin(asked, 1.0))
    watched.listen(Computing((name,)))
    watched.listen(Moved(name, TaskState.INFERRING, 40), later_s=patience_s - 1)  # it goes on
    assert len(watched.listen(Health(1), later_s=patience_s)) == 1
    assert watched.listen(later_s=1) == [Died("step", (name,))]
    assert watched.children[0].exitcode == -9


def test_a_task_that_hangs_is_found_though_others_go_on() -> None:
    watched = Watched()
    watched.loaded()
    hung, found = ("hung", 1), list[FromChild | Died]()
    began = watched.now
    for number in range(99):
        one, next_one = (f"other-{number}", 1), (f"other-{number + 1}", 1)
        watched.children[0].say(Computing((hung, one)), Moved(one, TaskState.INFERRING, 40), Ended(one, ANSWER))
        found += watched.listen(Computing((hung, next_one)), later_s=4.0)
        if isinstance(found[-1], Died):
            break
    assert found[-1] == Died("step", (hung,))
    # its own time, and that of one step of another that it may have waited for
    assert 40.0 < watched.now - began <= 50.0


def test_a_task_that_waits_behind_a_longer_step_of_another_is_not_taken_for_hung() -> None:
    watched = Watched()
    watched.loaded()
    quick, slow = task(model_name="quick"), task(model_name="slow")
    first, second = (quick.task_id, 1), (slow.task_id, 1)
    for asked in (quick, slow):
        watched.supervisor.send(Begin(asked, 1.0))
    watched.listen(Computing((first, second)))
    assert len(watched.listen(Health(1), later_s=49.0)) == 1
    watched.listen(Ended(second, ANSWER), Computing((first,)))
    assert len(watched.listen(Health(1), later_s=19.0)) == 1
    assert watched.listen(later_s=4.0) == [Died("step", (first,))]


def test_one_that_says_nothing_is_ended() -> None:
    watched = Watched()
    watched.loaded()
    assert watched.listen(later_s=SILENT_S) == []
    assert watched.listen(later_s=1) == [Died("silent", ())]


def test_one_that_never_loads_is_ended() -> None:
    watched = Watched()
    watched.listen()
    for _ in range(3):
        watched.listen(Health(1), later_s=100)
    assert watched.listen(later_s=1) == [Died("start", ())]


def test_models_that_cannot_serve_end_the_worker_with_the_reason() -> None:
    watched = Watched()
    watched.listen()
    watched.children[0].die(78)
    with pytest.raises(ConfigurationError, match="no model can serve"):
        watched.listen()


def test_what_goes_on_beside_an_answer_has_the_patience_of_its_model() -> None:
    watched = Watched()
    watched.loaded()
    slow = task("1.1", model_name="slow")
    name = (slow.task_id, slow.attempt)
    watched.supervisor.send(Begin(slow, 3.0))
    watched.listen(Computing((name,)), Ended(name, ANSWER), Computing((name,)))
    assert watched.listen(Health(1), later_s=45) == [Health(1)]
    assert watched.listen(Computing(()), Computing((name,)), Health(1)) == [
        Computing(()),
        Computing((name,)),
        Health(1),
    ]
    assert watched.listen(Health(1), later_s=45)[-1] == Died("step", (name,)), "nothing is known of it any more"
