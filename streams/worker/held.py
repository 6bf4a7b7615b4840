"""Tasks that this worker holds, by name. Pure.

The same task may lie in the topics twice, such as after a replay: the second waits here until the first is
answered, because the computing process knows tasks by their name.
"""

from __future__ import annotations

from collections.abc import Iterator

from streams.worker.job import Job
from streams.worker.protocol import Name


class Held:
    """All jobs from reading to written answer."""

    def __init__(self) -> None:
        self._tasks: dict[str, list[Job]] = {}

    def __iter__(self) -> Iterator[Job]:
        for jobs in self._tasks.values():
            yield from jobs

    def add(self, job: Job) -> bool:
        """Hold a job; whether it may compete, and need not wait for one of the same name."""
        jobs = self._tasks.setdefault(job.task.task_id, [])
        jobs.append(job)
        return self._first(job.name) is job

    def of_task(self, task_id: str) -> list[Job]:
        """Jobs of a task that compete, are begun or are answered."""
        jobs = self._tasks.get(task_id, [])
        return [job for job in jobs if self._first(job.name) is job]

    def remove(self, job: Job) -> Job | None:
        """Let a job go; the next of its name, which may compete from now on."""
        jobs = self._tasks.get(job.task.task_id, [])
        if job not in jobs:
            return None
        was_first = self._first(job.name) is job
        jobs.remove(job)
        if not jobs:
            del self._tasks[job.task.task_id]
        return self._first(job.name) if was_first else None

    def _first(self, name: Name) -> Job | None:
        return next((job for job in self._tasks.get(name[0], []) if job.name == name), None)
