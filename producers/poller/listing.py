"""A window → all studies in it, also from a source that tells only a part of them at once, or too many.

A window whose answer is cut off, or too much for the source, is halved and asked again. What a cut answer had is
kept, because a study without a time is in neither half of a day.
"""

from __future__ import annotations

from typing import Final

from producers.poller.archive import Archive, SourceMisconfigured
from producers.poller.plan import Study
from producers.poller.windows import Window
from schemas.errors import DestinationUnavailable, PermanentRejection, ScanstreamError

_TOO_LARGE: Final = 413


async def studies_of(archive: Archive, window: Window, max_results: int) -> tuple[list[Study], bool]:
    """Studies of a window, each once.

    Parameters
    ----------
    archive
        The source.
    window
        What to ask for; studies outside of it, from a source that ignores dates, are left out.
    max_results
        So many results are taken for a list that was cut off.

    Returns
    -------
    tuple
        Studies, and whether the source told all of them.

    Raises
    ------
    ScanstreamError
        The source is away, or fails for the smallest window too.
    """
    found: dict[str, Study] = {}
    whole = True
    waiting = [window]
    while waiting:
        asked = waiting.pop()
        halves = asked.halves()
        try:
            listed, complete = await archive.studies(asked, None if halves is None else max_results)
        except ScanstreamError as error:
            if halves is None or not await _is_too_much(archive, error):
                raise
            waiting += reversed(halves)
            continue
        if halves is not None and not all(asked.holds(one.study_date, one.study_time) for one in listed):
            # it matches no ranges (of times, or not even of dates): cutting would bring the same again
            asked, waiting = (window, []) if asked.study_time() == "" else (asked.days(), waiting)
            halves = None
            listed, complete = await archive.studies(asked, None)
        found |= {one.study_instance_uid: one for one in listed if window.holds(one.study_date, one.study_time)}
        if halves is None:
            whole = whole and complete
        elif not complete or len(listed) >= max_results:
            waiting += reversed(halves)
    return list(found.values()), whole


async def _is_too_much(archive: Archive, error: ScanstreamError) -> bool:
    """Whether a failed query may succeed for less: the source answers otherwise (A700, PS3.4 C.4.1.1.4)."""
    if isinstance(error, PermanentRejection):
        return error.code == _TOO_LARGE
    if not isinstance(error, DestinationUnavailable) or isinstance(error, SourceMisconfigured):
        return False
    if error.retry_after_s is not None:
        return False
    try:
        await archive.probe()
    except ScanstreamError:
        return False
    return True
