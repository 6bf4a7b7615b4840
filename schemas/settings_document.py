"""Settings blocks → ``docs/settings.md``: every environment variable with its default and its meaning. Pure.

Guarantee: the document says what the code reads; a test holds the two against each other.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import Final

from pydantic.fields import FieldInfo

from schemas import clinical, destinations, settings

_HEAD: Final = """# Settings

Every process reads its settings once, at start, from environment variables. Made from the code by `make contract`.
A variable that ends in `_FILE` names a file, for a secret the one that holds it. Lists and flags are written as
JSON (`["a", "b"]`, `true`). A setting that is wrong ends its process with exit code 78 and a sentence about it.
"""


def blocks() -> list[type[settings.Block]]:
    """Every block of settings, in the order of the source."""
    return [
        member
        for module in (settings, destinations, clinical)
        for member in vars(module).values()
        if inspect.isclass(member)
        and issubclass(member, settings.Block)
        and member is not settings.Block
        and member.__module__ == module.__name__
    ]


def document() -> str:
    """The whole document."""
    return _HEAD + "".join(_section(block) for block in blocks())


def _section(block: type[settings.Block]) -> str:
    about = (inspect.getdoc(block) or "").splitlines()[0]
    prefix = str(block.model_config.get("env_prefix", ""))
    rows = [
        (f"`{prefix}{name.upper()}`", _default(field), field.description or "")
        for name, field in block.model_fields.items()
    ]
    return f"\n## {about}\n\n{_table(rows)}"


def _default(field: FieldInfo) -> str:
    if field.default_factory is not None:
        return "name of the machine"
    default = field.default
    if default is None or default == () or default == "":
        return ""
    return f"`{', '.join(map(str, default)) if isinstance(default, tuple) else default}`"


def _table(rows: Iterable[tuple[str, str, str]]) -> str:
    lines = ["| variable | default | meaning |", "|---|---|---|"]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"
