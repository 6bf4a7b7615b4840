"""Orders and commands → the log, and what became of them from the live view.

Guarantee: an order under a request key makes one task, however often and to however many processes of the API it
is sent; another order under the same key is refused. That holds as long as the task is remembered: while it is
open, and 72 hours after it has finished.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

from dashboards.live.records import StudyView, TaskView
from dashboards.live.reviews import Place
from dashboards.live.view import LiveView
from dashboards.orders.checks import check_model
from dashboards.orders.making import Terms, task_of
from dashboards.orders.once import Once, Output
from dashboards.orders.order import Order, Refused
from dashboards.orders.site import Site
from schemas.errors import DestinationUnavailable, InvalidMessage
from schemas.events import Code, CommandKind, Event, StudyReady, TaskCommand
from schemas.ids import event_id
from schemas.topics import TASK_TOPICS, Priority, Topic
from streams.routing import queued

_RETRY_S: Final = 5


@dataclass(frozen=True)
class Placed:
    """An order that was taken.

    ``new`` is false where the same order had been taken before; ``remarks`` are what the requester should know.
    """

    task: TaskView
    new: bool
    remarks: tuple[str, ...] = ()


class Desk:
    """Takes orders and commands.

    Parameters
    ----------
    view
        Studies, tasks and nodes.
    missing
        What keeps the view from being trusted.
    recall
        Reads an event of the log again.
    once
        Writes a task at most once.
    publish
        Writes one event.
    site
        What the site decides.
    now
        Clock, UTC.
    """

    def __init__(
        self,
        view: LiveView,
        missing: Callable[[], list[str]],
        recall: Callable[[Place], Event],
        once: Once,
        publish: Callable[[Topic, str, Event], None],
        site: Site,
        now: Callable[[], datetime],
    ) -> None:
        self._view = view
        self._missing = missing
        self._recall = recall
        self._once = once
        self._publish = publish
        self._site = site
        self._now = now

    def order(self, order: Order, request_key: str | None = None) -> Placed:
        """Take an order.

        Parameters
        ----------
        order
            What is asked for.
        request_key
            The requester's own identifier of it, as :func:`dashboards.orders.order.key_of` gives it; ``None``:
            each call is a task of its own.

        Raises
        ------
        Refused
            It cannot be done, or Kafka is away.
        """
        missing = self._missing()
        if missing:
            raise Refused(503, f"{'; '.join(missing)}: send it again", _RETRY_S)
        taken = self._under(request_key, order)
        if taken is not None:
            return Placed(taken, new=False)
        remarks = check_model(self._view.nodes, order.model, order.model_version, self._now())
        if order.callback_url is not None:
            self._site.callbacks.check(order.callback_url)
        study = self._study(order)
        request = request_key or str(uuid4())
        priority = self._priority_of(study)
        terms = Terms(priority, self._site.deadline_s, self._site.rule_revision)
        try:
            ready = self._ready(study)
            task = task_of(order, ready, terms, request, request_key, self._now())
            status = queued(task, task.occurred_at)
            outputs: list[Output] = [
                (TASK_TOPICS[task.priority], task.study_instance_uid, task),
                (Topic.STATUS, task.task_id, status),
            ]
            new = self._once(request, lambda: self._under(request_key, order) is not None, lambda: outputs)
        except DestinationUnavailable as error:
            raise Refused(503, f"{error}; the same request again makes no second task", _RETRY_S) from error
        if new:
            self._view.learn(task, status)
        placed = self._under(request_key, order) or self.task(task.task_id)
        return Placed(placed, new, (*remarks, *self._doubts(ready, order.model)) if new else ())

    def command(
        self,
        task_id: str,
        kind: CommandKind,
        actor: str,
        reason: str | None = None,
        priority: Priority | None = None,
        *,
        codes: tuple[Code, ...] = (),
        contact_name: str | None = None,
        contact_uri: str | None = None,
    ) -> TaskView:
        """Ask the worker of a task to obey; asking twice for the same changes nothing.

        ``codes`` say why beside the ``reason``; the contact is whom to ask about it.

        Raises
        ------
        Refused
            The task is not known, has finished, or this cannot be asked of it; or Kafka is away.
        """
        task = self.task(task_id)
        if task.finished:
            raise Refused(409, f"task {task_id} has {task.state.value}: nothing can be changed any more")
        if _done_already(task, kind, priority):
            return task
        if kind is CommandKind.UPGRADE:
            _check_upgrade(task, priority)
        now = self._now()
        now = max(now.replace(microsecond=now.microsecond // 1000 * 1000), _last_word(task))
        deadline = None if priority is None else now + timedelta(seconds=self._site.deadline_s[priority])
        command = TaskCommand(
            event_id=event_id("task-command", task_id, kind.value, *_occasion(kind, priority, now)),
            occurred_at=now,
            task_id=task_id,
            study_instance_uid=task.study_instance_uid,
            kind=kind,
            actor=actor,
            reason=reason,
            priority=priority,
            priority_reason=None if priority is None else f"asked for by {actor}",
            rule_revision=None if priority is None else self._site.rule_revision,
            deadline=deadline,
            reason_codes=codes,
            contact_name=contact_name,
            contact_uri=contact_uri,
        )
        try:
            self._publish(Topic.COMMANDS, task_id, command)
        except DestinationUnavailable as error:
            raise Refused(503, str(error), _RETRY_S) from error
        self._view.apply(command)
        return self.task(task_id)

    def task(self, task_id: str) -> TaskView:
        """A task that is known.

        Raises
        ------
        Refused
            It is not.
        """
        found = self._view.task(task_id)
        if found is None:
            raise Refused(404, f"no task {task_id[:64]} is known: GET /v1/tasks lists those that are")
        return found

    def under(self, request_key: str) -> TaskView | None:
        """Task that was ordered under a key."""
        return self._view.under(request_key)

    def _under(self, request_key: str | None, order: Order) -> TaskView | None:
        task = None if request_key is None else self._view.under(request_key)
        if task is None or task.asked is None:
            return None
        if task.asked.request_digest != order.digest():
            raise Refused(
                422,
                f"this identifier was used for another request before (task {task.task_id}): "
                "take a new one, or send what was sent then",
                field="idempotency-key",
            )
        return task

    def _study(self, order: Order) -> StudyView:
        uid = order.study_instance_uid
        of_series = {one: self._view.study_of_series(one) for one in order.series_instance_uids}
        if uid is None:
            found = {study for study in of_series.values() if study is not None}
            if len(found) > 1:
                raise Refused(
                    422,
                    "the series are of several studies: ask for each study by itself",
                    field="series_instance_uids",
                )
            uid = next(iter(found), None)
        study = None if uid is None else self._view.study(uid)
        if study is None or study.revision == 0:
            what = f"study {uid}" if uid is not None else f"series {', '.join(order.series_instance_uids)[:200]}"
            raise Refused(
                404,
                f"no {what} is known: send its images to the gateway (scanstream send, C-STORE or STOW-RS) and "
                "wait until it is complete; finished studies are remembered for 72 hours",
                field="series_instance_uids" if uid is None else "study_instance_uid",
            )
        return study

    def _ready(self, study: StudyView) -> StudyReady:
        if study.place is None:
            raise DestinationUnavailable("the study's place in the log is not known yet")
        try:
            event = self._recall(study.place)
        except InvalidMessage as error:
            raise Refused(
                404,
                f"the list of its images is no longer in the log ({error}): send the study again",
                field="study_instance_uid",
            ) from error
        if not isinstance(event, StudyReady) or event.study_instance_uid != study.study_instance_uid:
            raise DestinationUnavailable("the log has another event in the place of the study: restart the API")
        return event

    def _priority_of(self, study: StudyView) -> Priority:
        own = [task.priority for task in self._view.tasks_of(study) if task.asked and not task.asked.request_key]
        return min(own, key=lambda one: one.rank, default=self._site.default_priority)

    def _doubts(self, ready: StudyReady, model: str) -> list[str]:
        decisions = self._view.decisions.of(ready.study_instance_uid)
        against = [one for one in decisions if one.model_name == model and not one.eligible]
        return [f"the rules would not choose {model} for this study: {'; '.join(one.reasons)}" for one in against]


def _done_already(task: TaskView, kind: CommandKind, priority: Priority | None) -> bool:
    match kind:
        case CommandKind.CANCEL:
            return task.cancelled is not None
        case CommandKind.HOLD:
            return task.held is not None
        case CommandKind.RELEASE:
            return task.held is None
        case CommandKind.UPGRADE:
            return priority is not None and task.upgraded is priority


def _check_upgrade(task: TaskView, priority: Priority | None) -> None:
    if priority is None or priority.rank >= task.priority.rank:
        raise Refused(409, f"task {task.task_id} is {task.priority.value} already: name a more urgent class")


def _occasion(kind: CommandKind, priority: Priority | None, now: datetime) -> tuple[str, ...]:
    """What makes a command one of its own: a task is cancelled once, but held and released again and again."""
    match kind:
        case CommandKind.CANCEL:
            return ()
        case CommandKind.UPGRADE:
            return (str(priority),)
        case _:
            return (now.isoformat(),)


def _last_word(task: TaskView) -> datetime:
    """A command is later than the one before it, whatever the clocks say."""
    last = task.commanded_at
    return task.created_at if last is None else last + timedelta(milliseconds=1)
