"""Current schemas → the files that are made from them: released schemas, AsyncAPI document, README table.

Run ``make contract`` after a change of an ``.avsc`` file or of the topic table. Writing is all it does; whether a
change is compatible is judged by the tests.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
import sys
from pathlib import Path
from typing import Final

import yaml

from schemas import asyncapi, registry, settings_document
from schemas.topics import TOPICS

ROOT: Final = Path(__file__).parent.parent
SETTINGS_FILE: Final = ROOT / "docs" / "settings.md"
ASYNCAPI_FILE: Final = ROOT / "docs" / "asyncapi.yaml"
README_FILE: Final = ROOT / "README.md"
TABLE_MARKS: Final = ("<!-- topic table: begin -->\n", "<!-- topic table: end -->")


def asyncapi_text() -> str:
    """The AsyncAPI document as committed."""
    document = asyncapi.document(importlib.metadata.version("scanstream"))
    # JSON round trip: no YAML aliases for parts that occur twice
    plain = json.loads(json.dumps(document))
    return yaml.dump(plain, sort_keys=False, allow_unicode=True, width=110, Dumper=_NoAliases)


class _NoAliases(yaml.SafeDumper):
    def ignore_aliases(self, data: object) -> bool:  # noqa: ARG002 (signature of the base class)
        return True


def with_topic_table(readme: str) -> str:
    """The README with its topic table made anew.

    Raises
    ------
    ValueError
        The marks around the table are missing.
    """
    begin, end = TABLE_MARKS
    if begin not in readme or end not in readme:
        raise ValueError(f"README.md has no {begin.strip()} … {end} around the topic table")
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    return pattern.sub(lambda _: begin + asyncapi.topic_table() + end, readme)


def released_file(record: str) -> Path:
    """Where the current schema of a record is frozen."""
    return registry.RELEASED_DIR / f"{record}.{registry.fingerprint_of(record).hex()}.avsc"


def main() -> int:
    """Write everything that is made from the contract."""
    registry.RELEASED_DIR.mkdir(exist_ok=True)
    records = {record for spec in TOPICS for record in spec.records}
    for record in sorted(records):
        text = json.dumps(registry.current(record), indent=1, ensure_ascii=False) + "\n"
        released_file(record).write_text(text, encoding="utf-8")
    ASYNCAPI_FILE.parent.mkdir(exist_ok=True)
    ASYNCAPI_FILE.write_text(asyncapi_text(), encoding="utf-8")
    SETTINGS_FILE.write_text(settings_document.document(), encoding="utf-8")
    README_FILE.write_text(with_topic_table(README_FILE.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
