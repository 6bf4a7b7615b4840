"""From the first image of a head CT to somebody's phone: C-STORE, assembly, inference, finding, alarm.

The whole stack on this machine, one phantom with a large lesion after the other. The clock runs from just before
the first association is asked for to the request at a local web server. The peer is the same model on the same
images in one process, pixels in memory: what no way could do without.

    python -m benchmarks.critical_path --heads 20
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Final

from pydicom import Dataset

from benchmarks.report import Row, arguments, percentile, publish
from engines.pipeline import run
from engines.records import Records
from engines.repository import RELEASED, load_version
from engines.runtimes import engine_of
from engines.steps import drive
from tests.consumers.escalation.receiver import Receiver, receiver
from tests.engines.models.phantoms import Head, Lesion, phantom, series
from tests.integration.alarms import environment
from tests.integration.sender import send_until_stored
from tests.integration.stack import LiveStack, live_stack, wait_for

BLEEDING: Final = Lesion((-36.0, 0.0, 25.0), (18.0, 16.0, 15.0), 68)
HEADS: Final = 20
QUICK: Final = 5
PEER: Final = "model alone, one process"


def main() -> None:
    """Send the heads and publish the figures."""
    parser = arguments(__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--heads", type=int, default=HEADS)
    options = parser.parse_args()
    count = QUICK if options.quick else options.heads
    studies = [series(phantom(Head(seed, (BLEEDING,), ())), f"critical-path-{seed}") for seed in range(count + 1)]
    alone = _alone(studies[1:])
    with receiver() as ward, tempfile.TemporaryDirectory() as folder:
        made = environment(Path(folder), ward)
        with live_stack(Path(folder) / "state", made) as stack:
            _way(stack, ward, studies[0])  # the first one of a stack loads and compiles
            ways = [_way(stack, ward, study) for study in studies[1:]]
    rows = [
        Row(f"first C-STORE to notice, {name}", percentile(ways, share), "s", PEER, percentile(alone, share))
        for name, share in (("p50", 0.5), ("p95", 0.95), ("max", 1.0))
    ]
    rows.append(Row("images of each study", len(studies[0]), "images"))
    publish(f"Critical findings of {count} head CTs", rows, options.json)


def _way(stack: LiveStack, ward: Receiver, images: list[Dataset]) -> float:
    """Seconds until the notice about one study."""
    host, _, port = stack.endpoint("gateway_dimse").rpartition(":")
    uid = str(images[0].StudyInstanceUID)
    started = time.time()
    send_until_stored(images, host, int(port), calling="ED_CT1")
    wait_for(lambda: bool(ward.of(uid)), 120, stack.log_tail)
    return ward.of(uid)[0].at - started


def _alone(studies: list[list[Dataset]]) -> list[float]:
    model = load_version(RELEASED / "ct-hyperdensity", 1, engine_of, Records())
    taken = []
    for images in studies:
        started = time.perf_counter()
        drive(run(images, model), model.engine.infer)
        taken.append(time.perf_counter() - started)
    return taken


if __name__ == "__main__":
    main()
