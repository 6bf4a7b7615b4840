"""Kill -9 of streams, worker, writers and gateway at random while small studies arrive; then count everything.

Every study must have exactly one result, one report and one set of objects, and every event exactly one audit
row. Prints the counts and ends with 1 when anything is missing or doubled.

    python -m benchmarks.exactly_once --studies 200 --kills 30
"""

from __future__ import annotations

import random
import sys
import tempfile
import threading
import time
from pathlib import Path

from benchmarks.report import Row, arguments, publish
from tests.integration.census import delivered, take
from tests.integration.log_dump import dump
from tests.integration.rules import small_study_rules
from tests.integration.sender import send_until_stored
from tests.integration.stack import LiveStack, live_stack, wait_for
from tests.studies import small_study

VICTIMS = ("gateway", "streams", "worker", "writer-stow", "writer-fhir", "writer-audit")


def killer(stack: LiveStack, kills: int, chance: random.Random, done: threading.Event, killed: list[str]) -> None:
    """Kill a random process every one to three seconds until told to stop."""
    while len(killed) < kills and not done.wait(chance.uniform(1.0, 3.0)):
        victim = chance.choice(VICTIMS)
        if stack.kill(victim):
            killed.append(victim)


def run(studies: int, kills: int, seed: int, folder: Path) -> tuple[list[Row], list[str]]:
    """Send, kill, wait, count.

    Returns
    -------
    tuple
        Figures, and what is wrong (nothing, hopefully).
    """
    chance = random.Random(seed)
    with live_stack(folder / "state", small_study_rules(folder, quiet_s=60)) as stack:
        host, _, port = stack.endpoint("gateway_dimse").rpartition(":")
        done, killed, sent = threading.Event(), [], {}
        thread = threading.Thread(target=killer, args=(stack, kills, chance, done, killed), daemon=True)
        started = time.monotonic()
        thread.start()
        for number in range(studies):
            study = small_study(f"{seed}.{number + 1}", slices=5, size=32)
            send_until_stored(study, host, int(port), timeout_s=300)
            sent[study[0].StudyInstanceUID] = {image.SOPInstanceUID for image in study}
        thread.join(max(0.0, 3.0 * kills))
        done.set()

        def all_delivered() -> bool:
            log = delivered(dump(stack.endpoint("kafka")))
            return all(log.get(uid, set()) >= {"stow", "fhir"} for uid in sent)

        wait_for(all_delivered, 600 + 5 * studies, stack.log_tail)
        took = time.monotonic() - started
        settled = time.monotonic() + 60
        census = take(stack, sent)
        # audit rows follow the log by one batch
        while census.problems and time.monotonic() < settled:
            time.sleep(2)
            census = take(stack, sent)
        rows = [
            Row("studies sent", len(sent), "studies"),
            Row("processes killed", len(killed), "kill -9"),
            Row("inference results", census.results, "results"),
            Row("diagnostic reports", census.reports, "reports"),
            Row("SEG and SR objects", census.objects, "objects"),
            Row("audit rows", census.audit_rows, "rows", "messages on the log", census.audited_messages),
            Row("problems", len(census.problems), "problems"),
            Row("duration", took, "s"),
        ]
        return rows, census.problems


def main() -> int:
    """Command line."""
    parser = arguments("Exactly once under kill -9")
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    studies, kills = (20, 8) if options.quick else (options.studies, options.kills)
    sys.stderr.write(f"seed {options.seed}: {studies} studies, {kills} kills\n")
    with tempfile.TemporaryDirectory(prefix="scanstream-") as folder:
        rows, problems = run(studies, kills, options.seed, Path(folder))
    publish("Exactly once under kill -9", rows, options.json)
    for problem in problems[:20]:
        sys.stderr.write(f"{problem}\n")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
