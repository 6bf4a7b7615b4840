"""One study of the source → all of its instances at the gateway, or an error that says what is missing.

Guarantee: it returns only when the gateway's own search finds every instance that the source lists, and the source
lists as many as it tells of, or did not in three attempts. What the gateway has already is not read again.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from producers.poller.archive import Archive, Object
from producers.poller.gateway import Gateway
from producers.poller.ledger import Job
from producers.poller.limits import Limits
from producers.poller.plan import requests, wanted_by_series
from producers.poller.sources import Filters
from schemas.errors import PermanentRejection, TransientFailure
from schemas.logs import fields

log = logging.getLogger(__name__)

#: From this attempt on instances are asked for one by one, so that the one that fails is alone.
_SINGLY_FROM: Final = 2
#: PS3.18 annex I.2.2, PS3.4 B.2.3.
_MEANING: Final = {
    0x0110: "processing failure",
    0x0122: "SOP class not supported",
    0x0124: "not authorised",
    0xA700: "out of resources",
    0xA900: "data set does not match its SOP class, or its study",
    0xC000: "cannot understand",
}


@dataclass(frozen=True)
class Brought:
    """What became of a study.

    Attributes
    ----------
    held
        Instances of the source that the gateway has now.
    fetched
        Of them, those that it did not have before.
    """

    held: int
    fetched: int


async def bring(
    archive: Archive,
    gateway: Gateway,
    job: Job,
    filters: Filters | None,
    limits: Limits,
    count_bytes: Callable[[int], None],
) -> Brought:
    """Make the gateway have a study.

    Parameters
    ----------
    archive, gateway
        From where to where.
    job
        Which study.
    filters
        Those that only the study's series can answer; ``None`` for none.
    limits
        How fast the source may be read.
    count_bytes
        Told of what passes through here.

    Raises
    ------
    DestinationUnavailable
        The source or the gateway is away.
    PermanentRejection, TransientFailure
        Something of this study did not arrive.
    """
    study = job.study_instance_uid
    if filters is not None and not wanted_by_series(await archive.series(study), filters):
        return Brought(0, 0)
    listed = await archive.instances(study)
    if not listed and job.listed:
        raise TransientFailure(f"the source tells of {job.listed} instances and lists none: see its log")
    short = job.listed is not None and len(listed) < job.listed
    before = await gateway.instances(study)
    reasons: Counter[str] = Counter()

    async def store(objects: AsyncIterator[Object]) -> None:
        for code in await gateway.store(study, _counted(objects, count_bytes)):
            reasons[f"the gateway refuses {_MEANING.get(code, 'it')} ({code:04X}H)"] += 1

    at_most = 1 if job.attempts >= _SINGLY_FROM else limits.at_most
    for request in requests(study, listed, before, at_most):
        await limits.instances(len(request.instances))
        try:
            await archive.retrieve(request, store)
        except (PermanentRejection, TransientFailure) as error:
            reasons[str(error)] += len(request.instances)
    now = await gateway.instances(study)
    missing = sum(one.sop_instance_uid not in now for one in listed)
    if missing:
        why = "; ".join(reason for reason, _ in reasons.most_common(2)) or "the source did not send them"
        raise TransientFailure(f"{missing} of {len(listed)} instances are not at the gateway: {why}")
    if short:
        told = f"the source tells of {job.listed} instances and lists {len(listed)}"
        if job.attempts < _SINGLY_FROM:
            raise TransientFailure(f"{told}: see its log, and its limit of results")
        # some count what they never list
        log.warning("a study is taken for whole", extra=fields(study_instance_uid=study, reason=told))
    return Brought(len(listed), sum(one.sop_instance_uid not in before for one in listed))


async def _counted(objects: AsyncIterator[Object], count_bytes: Callable[[int], None]) -> AsyncIterator[Object]:
    async for one in objects:
        yield _counted_bytes(one, count_bytes)


async def _counted_bytes(one: Object, count_bytes: Callable[[int], None]) -> Object:
    async for chunk in one:
        count_bytes(len(chunk))
        yield chunk
