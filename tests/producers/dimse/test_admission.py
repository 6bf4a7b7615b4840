from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from producers.dimse.acse import APPLICATION_CONTEXT, AssociationRequest
from producers.dimse.admission import Admitted, Caller, admit
from producers.dimse.negotiation import Rejection
from producers.dimse.peers import EVERYONE, Peers

REQUEST = AssociationRequest(1, APPLICATION_CONTEXT, "SCANSTREAM", "CT1", ())
HERE = Caller("10.1.2.3")
PRINT = "ab" * 32


def peers(others: list[str] | None = None, **values: Any) -> Peers:
    content: dict[str, Any] = {"peers": [{"ae_title": "CT1", **values}]}
    if others is not None:
        content["others"] = others
    return Peers.model_validate(content)


def codes(answer: Admitted | Rejection) -> tuple[int, int, int] | None:
    return None if isinstance(answer, Admitted) else (answer.result, answer.source, answer.reason)


@pytest.mark.parametrize(
    ("known", "caller", "title", "expected"),
    [
        (EVERYONE, HERE, "ANY", None),
        (peers(), HERE, "ANY", (1, 1, 3)),
        (peers(others=[]), HERE, "ANY", (1, 1, 3)),
        (peers(others=[]), HERE, "CT1", None),
        (peers(others=[]), HERE, "ct1", (1, 1, 3)),
        (peers(networks=["10.0.0.0/8"]), HERE, "CT1", None),
        (peers(networks=["10.0.0.0/8"]), Caller("::ffff:10.1.2.3"), "CT1", None),
        (peers(networks=["fe80::/10"]), Caller("fe80::1%eth0"), "CT1", None),
        (peers(networks=["10.9.0.0/16", "fe80::/10"]), HERE, "CT1", (1, 1, 3)),
        (peers(networks=["10.0.0.0/8"]), Caller(""), "CT1", (1, 1, 3)),
        (peers(certificate_sha256=["AB:" * 31 + "AB"]), Caller("10.1.2.3", PRINT), "CT1", None),
        (peers(certificate_sha256=[PRINT]), Caller("10.1.2.3", "cd" * 32), "CT1", (1, 1, 3)),
        (peers(certificate_sha256=[PRINT]), HERE, "CT1", (1, 1, 3)),
        (peers(called_ae_titles=["SCANSTREAM"]), HERE, "CT1", None),
        (peers(called_ae_titles=["ARCHIVE"]), HERE, "CT1", (1, 1, 7)),
    ],
)
def test_who_may_hold_an_association(
    known: Peers, caller: Caller, title: str, expected: tuple[int, int, int] | None
) -> None:
    assert codes(admit(replace(REQUEST, calling_ae_title=title), caller, known, {}, 10)) == expected


def test_limits_are_transient_and_come_after_what_is_forbidden() -> None:
    known = peers(others=["find"], max_associations=2, urgent=True, may=["store"])
    assert admit(REQUEST, HERE, known, {"CT1": 1}, 10) == Admitted(frozenset({"store"}), urgent=True)
    assert codes(admit(REQUEST, HERE, known, {"CT1": 2}, 10)) == (2, 3, 2)
    other = replace(REQUEST, calling_ae_title="WS")
    assert admit(other, HERE, known, {"CT1": 2}, 10) == Admitted(frozenset({"find"}))
    assert codes(admit(other, HERE, known, {"CT1": 2, "X": 8}, 10)) == (2, 3, 2)
    full = {"X": 10}
    assert codes(admit(other, HERE, peers(others=[]), full, 10)) == (1, 1, 3)
