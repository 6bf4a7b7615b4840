"""A study and a route → the series that its model sees, or every reason why it sees none. Pure.

Reasons quote rules and numbers of rules, never texts of the study, so that none of a patient is among them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace

from schemas.events import SeriesContent, StudyReady
from streams.criteria import image_count
from streams.facts import CANCELLED, GRANTED, REFUSED, Clinical
from streams.matching import first_match
from streams.rules import Route
from streams.sop_classes import is_image


@dataclass(frozen=True)
class Assessment:
    """The series that was chosen, or ``None``; and why, in sentences."""

    series: SeriesContent | None
    reasons: tuple[str, ...]


def assess(ready: StudyReady, route: Route, clinical: Clinical, site: str) -> Assessment:
    """Whether a model runs on a study.

    Of several series that it may see, it gets the one with most images; of equals, that with the lowest UID.

    Parameters
    ----------
    ready
        The study.
    route
        What the model wants.
    clinical
        What orders say about the study.
    site
        Name of this site.
    """
    images = [series for series in ready.series if is_image(series.sop_class_uid)]
    shown = [series for series in images if not is_localizer(series)]
    objections = _study_objections(ready, route, clinical, site)
    if route.requires is not None and not route.requires.holds(shown):
        objections.append(f"the study does not have what the route requires: {route.requires.sentence()}")
    refused = {series.series_instance_uid: route.objections(series) for series in shown}
    taken = [series for series in shown if not refused[series.series_instance_uid]]
    if not objections and taken:
        chosen = min(taken, key=lambda series: (-image_count(series), series.series_instance_uid))
        why = "" if len(taken) == 1 else ", of which this one has most images"
        return Assessment(chosen, (f"{len(taken)} of {_series(len(ready.series))} meet the route{why}",))
    if not taken:
        objections += _series_objections(len(ready.series) - len(images), len(images) - len(shown), refused)
    return Assessment(None, tuple(objections))


def lacks_context(ready: StudyReady, route: Route, clinical: Clinical, site: str) -> bool:
    """Whether a model that does not run now might, once orders or admissions tell consent or age.

    Parameters are those of :func:`assess`.
    """
    knows_age = ready.patient_age_years is not None or clinical.patient_age_years is not None
    if clinical.consent is None:
        clinical = replace(clinical, consent=GRANTED)
    if not knows_age:
        route = route.model_copy(update={"age_years": None})
    return assess(ready, route, clinical, site).series is not None


def is_localizer(series: SeriesContent) -> bool:
    """Whether all images are localizers, by value 3 of (0008,0008) (PS3.3 C.8.2.1.1.1, C.8.3.1.1.1)."""
    return bool(series.image_types) and all(
        any(part.strip().upper() == "LOCALIZER" for part in value.split("\\")) for value in series.image_types
    )


def _study_objections(ready: StudyReady, route: Route, clinical: Clinical, site: str) -> list[str]:
    found = []
    if clinical.order_status == CANCELLED:
        found.append("the order was cancelled")
    if ready.quality_control and not route.quality_control:
        found.append("a phantom or a calibration, which this route holds back")
    if clinical.consent == REFUSED:
        found.append("consent was refused")
    elif route.consent == GRANTED and clinical.consent != GRANTED:
        found.append("no consent is known, and this route requires it")
    if route.sites and first_match(route.sites, (site,), whole=True) is None:
        found.append(f"the route is not for site {site}")
    if route.age_years is not None:
        age = clinical.patient_age_years if ready.patient_age_years is None else ready.patient_age_years
        found.append(route.age_years.objection(age, "age in years") or "")
    found.append(route.study_description.objection(ready.study_description, "study description") or "")
    return [reason for reason in found if reason]


def _series_objections(others: int, localizers: int, refused: dict[str, list[str]]) -> list[str]:
    """Each reason once, with the number of series that it holds for."""
    if not refused and not localizers:
        return ["the study has no images"]
    counted = Counter(reason for reasons in refused.values() for reason in reasons)
    found = [f"{_series(number)}: {reason}" for reason, number in counted.items()]
    if localizers:
        found.append(f"{_series(localizers)}: localizer")
    if others:
        found.append(f"{_series(others)}: no images")
    return found


def _series(number: int) -> str:
    return f"{number} series"
