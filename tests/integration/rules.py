"""The release's rules, changed for small studies: three images are enough for the model."""

from __future__ import annotations

from pathlib import Path

import yaml

import streams

RELEASED_S = 0.5


def small_study_rules(folder: Path, quiet_s: float = 5.0) -> dict[str, str]:
    """Environment that names a rules file which routes small studies.

    Parameters
    ----------
    folder
        Where the file is written.
    quiet_s
        Quiet period without a released association, in seconds; long where the gateway is killed, so that a
        study whose sender has to try again stays one study.
    """
    rules = yaml.safe_load((Path(streams.__path__[0]) / "rules.yaml").read_text(encoding="utf-8"))
    for entry in rules["completeness"]:
        entry["quiet_s"] = quiet_s
        # one revision for each study: what is counted does not start in parts
        entry.pop("series_quiet_s", None)
    rules["completeness"][-1]["released_s"] = RELEASED_S
    for route in rules["routes"]:
        route["minimum_instances"] = 3
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "rules.yaml"
    path.write_text(yaml.safe_dump(rules, allow_unicode=True, sort_keys=False), encoding="utf-8")
    return {"SCANSTREAM_STREAMS_RULES_FILE": str(path)}
