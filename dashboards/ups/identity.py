"""Task ↔ UID of the workitem that it is seen as.

A workitem that somebody created keeps the UID that it was given; that of any other task is its UUID as an OID
(PS3.5 B.2). A task whose id is no UUID, which another producer may have named so, has one made of that.
"""

from __future__ import annotations

import uuid
from typing import Final

from dashboards.live.records import TaskView
from dashboards.live.view import LiveView
from schemas.ids import uuid_of

#: Request keys of tasks that were created as workitems.
DOOR: Final = "ups:"
_ROOT: Final = "2.25."


def workitem_uid(task: TaskView) -> str:
    """UID of the workitem of a task."""
    key = None if task.asked is None else task.asked.request_key
    if key is not None and key.startswith(DOOR):
        return key.removeprefix(DOOR)
    return f"{_ROOT}{uuid_of(task.task_id).int}"


def task_of(view: LiveView, uid: str) -> TaskView | None:
    """Task of a workitem, or ``None`` where none is known under this UID."""
    given = view.under(DOOR + uid)
    if given is not None:
        return given
    digits = uid.removeprefix(_ROOT)
    if not uid.startswith(_ROOT) or not digits.isdecimal() or len(digits) > 39 or int(digits) >= 1 << 128:
        return None
    task = view.task_of_uuid(uuid.UUID(int=int(digits)))
    return task if task is not None and workitem_uid(task) == uid else None
