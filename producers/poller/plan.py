"""What a source tells and what is known → what to do. Pure.

A study is compared by its number of instances as long as the source tells it; only a difference costs a comparison
by SOP Instance UID, and only what the gateway lacks is fetched.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

from producers.poller.sources import Filters, matches

#: Studies of a source that tells no numbers are compared again after the time that they have been quiet for.
RECHECK_MOST_S: Final = 3600.0
#: Longest list of UIDs in one C-MOVE or C-GET identifier.
UIDS_AT_ONCE: Final = 50


@dataclass(frozen=True)
class Study:
    """One study as a source lists it; holds nothing of the patient.

    Attributes
    ----------
    study_date, study_time
        DA and TM as given, for the order of fetching.
    modalities
        ModalitiesInStudy; ``None`` when the source does not tell.
    description
        StudyDescription.
    instances
        NumberOfStudyRelatedInstances; ``None`` when the source does not tell.
    """

    study_instance_uid: str
    study_date: str = ""
    study_time: str = ""
    modalities: frozenset[str] | None = None
    description: str = ""
    instances: int | None = None


@dataclass(frozen=True)
class Series:
    """One series as a source lists it; ``None`` where it does not tell."""

    series_instance_uid: str
    modality: str | None = None
    station: str | None = None


@dataclass(frozen=True)
class Instance:
    """One instance as a source lists it; the class is empty when the source does not tell."""

    series_instance_uid: str
    sop_instance_uid: str
    sop_class_uid: str = ""


class State(Enum):
    """Where a study stands in the ledger."""

    PENDING = "pending"
    COMPLETE = "complete"
    ASIDE = "set aside"


@dataclass(frozen=True)
class Known:
    """What the ledger says of a study.

    Attributes
    ----------
    counted
        What the source told at the last listing that was acted upon; ``None`` when it does not tell.
    held
        Instances that the gateway had when the study was found complete.
    changed_s, checked_s
        Unix times: when ``held`` changed last, and when it was compared last.
    """

    state: State
    counted: int | None
    held: int
    changed_s: float
    checked_s: float


def wanted(study: Study, filters: Filters) -> bool | None:
    """Whether a study passes the filters; ``None`` when only its series can tell."""
    if not matches(filters.descriptions, study.description):
        return False
    if filters.modalities and study.modalities is not None and not filters.modalities & study.modalities:
        return False
    return None if filters.stations or (filters.modalities and study.modalities is None) else True


def wanted_by_series(series: Iterable[Series], filters: Filters) -> bool:
    """Whether a study has a series of a wanted modality and a series of a wanted station."""
    listed = list(series)
    modality = not filters.modalities or any(one.modality in filters.modalities for one in listed)
    return modality and (
        not filters.stations
        or any(one.station is not None and matches(filters.stations, one.station) for one in listed)
    )


def needs_work(study: Study, known: Known | None, at_gateway: int, now_s: float) -> bool:
    """Whether a listed study must be compared by SOP Instance UIDs.

    Parameters
    ----------
    study
        As the source lists it now.
    known
        As the ledger has it.
    at_gateway
        Instances of the study that the gateway has now, from all origins.
    now_s
        Unix time.
    """
    if known is None:
        return True
    if known.state is State.PENDING:
        return True
    if known.state is State.ASIDE:
        # it has a time of its own; new images are a reason to try at once
        return study.instances != known.counted
    if at_gateway < known.held or study.instances != known.counted:
        return True
    quiet_s = known.checked_s - known.changed_s
    return study.instances is None and now_s - known.checked_s >= min(quiet_s, RECHECK_MOST_S)


@dataclass(frozen=True)
class Request:
    """One retrieval: a whole study, a whole series, or some instances of one series.

    Attributes
    ----------
    series_instance_uid
        Empty for the whole study.
    sop_instance_uids
        Empty for the whole series or study.
    instances
        What it is expected to bring.
    """

    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    instances: tuple[Instance, ...]


def requests(
    study: str, listed: Sequence[Instance], present: Collection[str], at_most: int | None = None
) -> list[Request]:
    """Retrievals that bring what the gateway lacks and nothing that it has.

    Parameters
    ----------
    study
        Study Instance UID.
    listed
        Instances at the source.
    present
        SOP Instance UIDs at the gateway.
    at_most
        Instances of one retrieval: for sources that are read at a limited rate, and 1 to find the one that fails.
        ``None`` takes whole studies and series at once.
    """
    missing = [one for one in listed if one.sop_instance_uid not in present]
    limit = len(listed) if at_most is None else at_most
    if missing and len(missing) == len(listed) <= limit:
        return [Request(study, "", (), tuple(missing))]
    whole = Counter(one.series_instance_uid for one in listed)
    lacking: dict[str, list[Instance]] = {}
    for one in missing:
        lacking.setdefault(one.series_instance_uid, []).append(one)
    found = []
    for series, instances in lacking.items():
        if len(instances) == whole[series] <= limit:
            found.append(Request(study, series, (), tuple(instances)))
            continue
        size = min(limit, UIDS_AT_ONCE)
        for start in range(0, len(instances), size):
            part = tuple(instances[start : start + size])
            found.append(Request(study, series, tuple(one.sop_instance_uid for one in part), part))
    return found
