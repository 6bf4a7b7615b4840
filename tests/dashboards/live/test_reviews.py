"""What radiologists decided is kept per task, the latest of each finding, within bounds."""

from __future__ import annotations

from dataclasses import replace

from dashboards.live.reviews import Place, Reviews
from schemas.events import Adjudication, Decision
from tests.dashboards.story import Story


def verdict(story: Story, decision: Decision, seconds: float) -> Adjudication:
    result = story.result()
    finding = replace(result.findings[0], decision=decision)
    return Adjudication(
        event_id=f"{decision}-{seconds}",
        occurred_at=story.at(seconds),
        finding_id=finding.finding_id,
        task_id=story.task_id,
        study_instance_uid=story.uid,
        decision=decision,
        reviewer="r",
        result=replace(result, findings=(finding,)),
    )


def test_the_latest_verdict_counts_in_whatever_order_they_are_read() -> None:
    story = Story("1.2")
    reviews = Reviews()
    events = [verdict(story, Decision.CONFIRMED, 10), verdict(story, Decision.REJECTED, 20)]
    for event in (*reversed(events), *events):
        reviews.note_verdict(event)
    reviews.note_result(story.result(), Place("t", 0, 7))
    review = reviews.find(story.task_id)
    assert review is not None
    assert review.place == Place("t", 0, 7)
    (finding,) = review.over(story.result()).findings
    assert finding.decision is Decision.REJECTED
    assert review.verdicts[finding.finding_id].given.result is None


def test_memory_is_bounded_and_what_moved_last_stays() -> None:
    reviews = Reviews(most=10)
    stories = [Story(f"1.{number}") for number in range(40)]
    for story in stories:
        reviews.note_result(story.result(), None)
        reviews.note_verdict(verdict(stories[0], Decision.CONFIRMED, 1))
    assert reviews.find(stories[0].task_id) is not None
    assert reviews.find(stories[5].task_id) is None
    assert sum(reviews.find(story.task_id) is not None for story in stories) <= 11
