"""An outage of the broker, scaled down: how fast the backlog goes out, and what live traffic feels of it.

Studies arrive while no broker is there; it comes back, and an urgent and a normal instance are sent in turn until
all is published, and for a while after that on the quiet system. A latency runs from the acknowledgement of an
instance to its arrival at a subscriber of ``imaging.instances``.

    python -m benchmarks.outage --studies 2000
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from benchmarks.report import Row, arguments, percentile, publish
from producers.topic_admin import create_topics
from schemas.settings import KafkaSettings
from tests.integration.outage import Figures, run
from tests.services import kafka_broker


def rows_of(figures: Figures) -> list[Row]:
    """Figures as a table."""
    instances = sum(len(sops) for sops in figures.sops.values())
    rows = [
        Row("studies received without a broker", len(figures.studies), "studies"),
        Row("received at", instances / figures.received_s, "instances/s"),
        Row("events published after its return", figures.rows(), "events"),
        Row("catch-up", figures.catch_up_s, "s"),
        Row("relay during catch-up", figures.rows() / figures.catch_up_s, "events/s"),
    ]
    for lane in ("urgent", "normal"):
        for name, share in (("p50", 0.5), ("p95", 0.95)):
            during = percentile(figures.catch_up[lane], share) * 1000
            quiet = percentile(figures.quiet[lane], share) * 1000
            rows.append(Row(f"live {lane} instance to subscriber, {name}", during, "ms", "quiet system", quiet))
    return rows


def main() -> int:
    """Command line."""
    parser = arguments("Catch-up after an outage of the broker")
    parser.add_argument("--studies", type=int, default=2000)
    parser.add_argument("--rate", type=float, default=1000, help="old events per second (default: 1000)")
    options = parser.parse_args()
    studies = 500 if options.quick else options.studies
    with (
        tempfile.TemporaryDirectory(prefix="scanstream-") as folder,
        kafka_broker(Path(folder)) as servers,
    ):
        create_topics(KafkaSettings(bootstrap_servers=servers))
        state = Path(folder) / "state"
        state.mkdir()
        figures = run(servers, state, studies=studies, catch_up_per_s=options.rate, old_s=2.0, quiet_s=10.0)
    publish(
        f"Outage of the broker, catch-up bounded to {options.rate:,.0f} events/s", rows_of(figures), options.json
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
