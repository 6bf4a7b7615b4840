"""The computing process of a worker: tasks down one pipe, answers up the other.

:func:`start` spawns it. It fetches, decodes, infers, and keeps artifacts; it never speaks to Kafka. Guarantee: it
ends when its pipe closes, whatever it computes, and only then; signals to its group do not reach it.
"""

from __future__ import annotations

from streams.worker.child.link import ChildLink, Setup, start

__all__ = ["ChildLink", "Setup", "start"]
