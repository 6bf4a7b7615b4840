"""REST API, FHIR facade and worklist page over the live view.

``app`` puts it together, ``routes`` has one file per subject, ``models`` is what goes over the wire, ``problems``
turns every error into RFC 9457, ``server`` listens.
"""


def main() -> int:
    """Run the API process; returns its exit code."""
    from dashboards.api.__main__ import main as run_api

    return run_api()
