"""Text of a YAML file that people write → its content, or one sentence that says where the mistake is.

Guarantee: whatever the text holds, nothing but :class:`NotYaml` is raised; a key that is given twice is a mistake,
as the first one would be lost without a word.
"""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, Final

import yaml

_Safe: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


#: Deeper than any file of ours; the loader in C would use up the stack of the process.
_MAX_DEPTH: Final = 50


class NotYaml(Exception):
    """The text cannot be read; the message says why, and where."""


class _Loader(_Safe):  # type: ignore[misc] # in C where it was built so
    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        """Mapping of a node."""
        seen: set[str] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                line = key.start_mark.line + 1
                raise yaml.constructor.ConstructorError(None, None, f"line {line}: {key.value} is given twice")
            seen.add(key.value)
        mapping: dict[Hashable, Any] = super().construct_mapping(node, deep)
        return mapping


def parse(text: str) -> Any:
    """Content of a text, ``None`` when it is empty.

    Raises
    ------
    NotYaml
        It is no YAML, or has a key twice.
    """
    try:
        _require_shallow(text)
        return yaml.load(text, Loader=_Loader)  # noqa: S506 - a safe loader, stricter
    except NotYaml:
        raise
    except yaml.YAMLError as error:
        raise NotYaml(" ".join(str(error).split())) from error
    except Exception as error:
        # a date that does not exist, a number without digits, a list as a key
        raise NotYaml(f"a value of it cannot be read, {type(error).__name__}") from error


def _require_shallow(text: str) -> None:
    depth, line = 0, 1
    for event in yaml.parse(text, Loader=_Safe):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        line = line if event.start_mark is None else event.start_mark.line + 1
        if depth > _MAX_DEPTH:
            raise NotYaml(f"line {line} is nested too deeply")
