"""Refusals → OperationOutcome (FHIR R4 3.1.0.1.5)."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


class FhirRefusal(Exception):
    """A request that cannot be served.

    Parameters
    ----------
    status
        HTTP status.
    code
        Issue type (FHIR R4 ``issue-type``), such as ``not-found``.
    text
        What is wrong and what to do, without the values of the request's resources.
    expression
        FHIRPath of the element, if one is at fault.
    """

    def __init__(self, status: int, code: str, text: str, expression: str | None = None) -> None:
        super().__init__(text)
        self.status = status
        self.code = code
        self.text = text
        self.expression = expression

    def outcome(self) -> Json:
        """OperationOutcome of this refusal."""
        issue: Json = {"severity": "error", "code": self.code, "diagnostics": self.text}
        if self.expression:
            issue["expression"] = [self.expression]
        return {"resourceType": "OperationOutcome", "issue": [issue]}
