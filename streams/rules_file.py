"""Rules file (YAML) → :class:`streams.rules.Rules`, or one sentence that names field, line and remedy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from schemas.errors import ConfigurationError
from streams.criteria import TAG
from streams.rules import Rules

DEFAULT_FILE: Final = Path(__file__).parent / "rules.yaml"

_REMEDY: Final = "correct it and start again (streams/rules.yaml of the release shows every field)"


def load_rules(path: Path | None = None) -> Rules:
    """Rules of a file.

    Parameters
    ----------
    path
        UTF-8 YAML; ``None`` for the rules of the release.

    Raises
    ------
    ConfigurationError
        The file cannot be read, is not YAML, or has a wrong, missing, unknown or doubled field.
    """
    path = path or DEFAULT_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"rules file {path} cannot be read as UTF-8 text ({error}): set SCANSTREAM_STREAMS_RULES_FILE"
        ) from error
    return parse_rules(text, str(path))


def parse_rules(text: str, name: str) -> Rules:
    """Rules of a text; ``name`` is what an error calls it. See :func:`load_rules`."""
    try:
        document = yaml.compose(text, Loader=yaml.SafeLoader)
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigurationError(f"rules file {name} is not YAML: {_one_line(error)}; {_REMEDY}") from error
    _refuse_doubled(document, name)
    try:
        # By way of JSON, the strict mode takes lists for tuples and texts for enumerations, and nothing looser.
        return Rules.model_validate_json(json.dumps(content, default=str))
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        where, line = _place(document, problem["loc"])
        raise ConfigurationError(
            f"rules file {name}, line {line}, {where or 'the file'}: {_said(problem)}; {_REMEDY}"
        ) from error


def _said(problem: Any) -> str:
    if problem["type"] == "extra_forbidden":
        return "there is no such field"
    if problem["type"] == "missing":
        return "the field is missing"
    return str(problem["msg"]).removeprefix("Value error, ")


def _place(document: yaml.Node | None, location: tuple[int | str, ...]) -> tuple[str, int]:
    """Dotted path and 1-based line of the deepest node of a location that the file has."""
    node, line = document, 1
    named = [part for part in location if not str(part).startswith(TAG)]
    for part in named:
        child = _child(node, part)
        if child is None:
            break
        line, node = child
    return ".".join(str(part) for part in named), line


def _child(node: yaml.Node | None, part: int | str) -> tuple[int, yaml.Node] | None:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == part:
                return key.start_mark.line + 1, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        item = node.value[part]
        return item.start_mark.line + 1, item
    return None


def _refuse_doubled(node: yaml.Node | None, name: str) -> None:
    """YAML readers keep the last of two equal keys in silence; here that is an error."""
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if key.value in seen:
                line = key.start_mark.line + 1
                raise ConfigurationError(f"rules file {name}, line {line}, {key.value}: given twice; {_REMEDY}")
            seen.add(key.value)
            _refuse_doubled(value, name)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_doubled(item, name)


def _one_line(error: yaml.YAMLError) -> str:
    return " ".join(str(error).split())
