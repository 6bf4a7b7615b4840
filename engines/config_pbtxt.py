"""``config.pbtxt`` text → typed model configuration (Triton ModelConfig, protobuf text format).

A small parser of the text format: scalar and message fields, with and without ``:`` before a message, lists,
adjacent strings, comments, ``;`` and ``,`` separators. Guarantee: what is not understood is refused with its line,
never skipped.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from schemas.errors import ConfigurationError

Scalar = str | int | float | bool
#: Every field is repeated in the text form; the reader of a field says how many it takes.
Message = dict[str, list["Scalar | Message"]]

_T = TypeVar("_T", str, int)

_TOKEN: Final = re.compile(
    r"""(?P<space>[ \t\r\f]+|\#[^\n]*)
      | (?P<newline>\n)
      | (?P<string>"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*')
      | (?P<number>[-+]?(?:0[xX][0-9a-fA-F]+|(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)f?\b)
      | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
      | (?P<mark>[{}<>\[\]:;,])""",
    re.VERBOSE,
)
_CLOSING: Final = {"{": "}", "<": ">"}
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'"}

#: Triton data type → numpy dtype name.
DTYPES: Final = {
    "TYPE_BOOL": "bool",
    "TYPE_UINT8": "uint8",
    "TYPE_INT8": "int8",
    "TYPE_INT16": "int16",
    "TYPE_INT32": "int32",
    "TYPE_INT64": "int64",
    "TYPE_FP16": "float16",
    "TYPE_FP32": "float32",
    "TYPE_FP64": "float64",
}


@dataclass(frozen=True)
class TensorSpec:
    """One input or output; ``dims`` with the batch axis, ``-1`` where any size goes; ``dtype`` as in numpy."""

    name: str
    dtype: str
    dims: tuple[int, ...]


@dataclass(frozen=True)
class ModelConfig:
    """The part of Triton's ModelConfig that decides how a model is run here."""

    name: str
    platform: str
    max_batch_size: int
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]


def model_config(text: str, where: str = "config.pbtxt") -> ModelConfig:
    """Typed configuration of a ``config.pbtxt``.

    Parameters
    ----------
    text
        Contents of the file.
    where
        Name for messages.

    Raises
    ------
    ConfigurationError
        The text is not protobuf text format, or a field that we need is missing or has the wrong type.
    """
    message = parse(text, where)
    max_batch_size = _one(message, "max_batch_size", int, where, 0)
    return ModelConfig(
        name=_one(message, "name", str, where),
        platform=_one(message, "platform", str, where),
        max_batch_size=max_batch_size,
        inputs=_tensors(message, "input", max_batch_size, where),
        outputs=_tensors(message, "output", max_batch_size, where),
    )


def parse(text: str, where: str = "config.pbtxt") -> Message:
    """Message tree of protobuf text format; enumeration values are strings.

    Raises
    ------
    ConfigurationError
        The text is not protobuf text format; the message names the line.
    """
    return _Parser(text, where).message(None)


@dataclass(frozen=True)
class _Token:
    kind: str
    text: str
    line: int


class _Parser:
    def __init__(self, text: str, where: str) -> None:
        self._where = where
        self._tokens = list(self._scan(text))
        self._at = 0

    def _scan(self, text: str) -> Iterator[_Token]:
        line, at = 1, 0
        while at < len(text):
            match = _TOKEN.match(text, at)
            if match is None:
                raise self._error(line, f"{text[at]!r} is not expected here")
            at = match.end()
            kind = str(match.lastgroup)
            if kind == "newline":
                line += 1
            elif kind != "space":
                yield _Token(kind, match.group(), line)
        yield _Token("end", "the end of the file", line)

    def message(self, closing: str | None) -> Message:
        found: Message = {}
        while True:
            token = self._next()
            if token.text == closing or (closing is None and token.kind == "end"):
                return found
            if token.kind != "word":
                raise self._error(token.line, f"a field name is expected, not {token.text}")
            self._field(found.setdefault(token.text, []))
            if self._peek().text in {",", ";"}:
                self._next()

    def _field(self, values: list[Scalar | Message]) -> None:
        has_colon = self._peek().text == ":"
        if has_colon:
            self._next()
        if self._peek().text == "[":
            self._next()
            self._list(values)
            return
        if not has_colon and self._peek().text not in _CLOSING:
            raise self._error(self._peek().line, "a ':' is missing after the field name")
        values.append(self._value())

    def _list(self, values: list[Scalar | Message]) -> None:
        if self._peek().text == "]":
            self._next()
            return
        while True:
            values.append(self._value())
            token = self._next()
            if token.text == "]":
                return
            if token.text != ",":
                raise self._error(token.line, f"',' or ']' is expected, not {token.text}")

    def _value(self) -> Scalar | Message:
        token = self._next()
        if token.kind == "string":
            return self._string(token)
        if token.kind == "number":
            return _number(token.text)
        if token.kind == "word":
            return {"true": True, "false": False}.get(token.text, token.text)
        if token.text in _CLOSING:
            return self.message(_CLOSING[token.text])
        raise self._error(token.line, f"a value is expected, not {token.text}")

    def _string(self, first: _Token) -> str:
        parts = [_unquoted(first.text)]
        while self._peek().kind == "string":
            parts.append(_unquoted(self._next().text))
        return "".join(parts)

    def _peek(self) -> _Token:
        return self._tokens[self._at]

    def _next(self) -> _Token:
        token = self._tokens[self._at]
        self._at = min(self._at + 1, len(self._tokens) - 1)
        return token

    def _error(self, line: int, problem: str) -> ConfigurationError:
        return ConfigurationError(
            f"{self._where}, line {line}: {problem}; correct the file (protobuf text format)"
        )


def _number(text: str) -> int | float:
    try:
        return int(text, 0)
    except ValueError:
        return float(text.rstrip("fF"))


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match.group(1), match.group(0)), text[1:-1])


def _tensors(message: Message, field: str, max_batch_size: int, where: str) -> tuple[TensorSpec, ...]:
    specs = []
    for entry in message.get(field, []):
        if not isinstance(entry, dict):
            raise ConfigurationError(f"{where}: {field} must be a message with name, data_type and dims")
        data_type = _one(entry, "data_type", str, f"{where}: {field}")
        if data_type not in DTYPES:
            raise ConfigurationError(f"{where}: {field} has data_type {data_type}: use one of {', '.join(DTYPES)}")
        dims = tuple(dim for dim in entry.get("dims", []) if isinstance(dim, int))
        batch = (-1,) if max_batch_size > 0 else ()
        specs.append(TensorSpec(_one(entry, "name", str, f"{where}: {field}"), DTYPES[data_type], batch + dims))
    if not specs:
        raise ConfigurationError(f"{where}: no {field} is described: add {field} [ {{ name, data_type, dims }} ]")
    return tuple(specs)


def _one(message: Message, field: str, kind: type[_T], where: str, default: _T | None = None) -> _T:
    values = message.get(field, [])
    if not values and default is not None:
        return default
    if len(values) != 1 or not isinstance(values[0], kind) or isinstance(values[0], bool):
        raise ConfigurationError(f"{where}: exactly one {field} ({kind.__name__}) is needed, found {values}")
    return values[0]
