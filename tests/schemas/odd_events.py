"""Types of the contract → events of any content that Avro allows, however little sense it makes."""

from __future__ import annotations

import dataclasses
import types
import typing
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from enum import Enum
from functools import cache
from typing import Any

from hypothesis import strategies as st

from schemas.events import Event

_EPOCH = datetime(2026, 1, 1, tzinfo=UTC)
_UTF8 = st.characters(codec="utf-8")
TEXTS = ["", "1.2.3", "0D2C9F0E-51A1-4A5B-9D0E-6A0CF1F77F54", "a|b", "ї /?#%", "x" * 200, "2.25.17", "<b>\r\n\0"]
TEXTS += ["http://[", "http://x:99999/y", "a\\b^c"]
#: Few, so that events speak of the same thing.
TASKS = ["1.2.3-0", "0d2c9f0e-51a1-4a5b-9d0e-6a0cf1f77f54"]

_texts = st.sampled_from(TEXTS) | st.text(_UTF8, max_size=12)
_moments = st.integers(0, 10_000).map(lambda s: _EPOCH + timedelta(seconds=s)) | st.sampled_from(
    [
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC),
    ]
)
_PLAIN: dict[type, st.SearchStrategy[Any]] = {
    str: _texts,
    bool: st.booleans(),
    int: st.integers(-2, 20) | st.sampled_from([2**31 - 1, -(2**31), 2**63 - 1, -(2**63)]),
    float: st.floats(-5, 100) | st.sampled_from([float("nan"), float("inf"), float("-inf"), 1e300]),
    bytes: st.binary(max_size=5),
    datetime: _moments,
    type(None): st.none(),
}


@cache
def odd(cls: type[Any]) -> st.SearchStrategy[Any]:
    """Any value of a record."""
    hints = typing.get_type_hints(cls)
    return st.builds(cls, **{one.name: _of(hints[one.name]) for one in dataclasses.fields(cls)})


def odd_events(kinds: Sequence[type[Any]], most: int) -> st.SearchStrategy[list[Event]]:
    """Some events of these kinds, most of them of one study and of the tasks of :data:`TASKS`."""

    @st.composite
    def events(draw: st.DrawFn) -> list[Event]:
        found = []
        for event in draw(st.lists(st.one_of(*(odd(kind) for kind in kinds)), min_size=2, max_size=most)):
            same = {"task_id": draw(st.sampled_from(TASKS)), "study_instance_uid": "1.2.9"}
            names = {one.name for one in dataclasses.fields(event)} & same.keys()
            kept = {name for name in sorted(names) if draw(st.integers(0, 4)) == 0}
            found.append(dataclasses.replace(event, **{name: same[name] for name in names - kept}))
        return found

    return events()


def _of(kind: Any) -> st.SearchStrategy[Any]:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(*map(_of, arguments))
    if origin is tuple and arguments[1:] == (...,):
        return st.lists(_of(arguments[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(_of, arguments))
    if origin is dict:
        return st.dictionaries(*map(_of, arguments), max_size=3)
    if kind in _PLAIN:
        return _PLAIN[kind]
    if issubclass(kind, Enum):
        return st.sampled_from(list(kind))
    return odd(kind)
