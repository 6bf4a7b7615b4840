"""Protobuf text format → a tree of fields, and typed access to it.

A small parser: scalar and message fields, with and without ``:`` before a message, lists, adjacent strings,
comments, ``;`` and ``,`` separators (https://protobuf.dev/reference/protobuf/textformat-spec/). Guarantee: what is
not understood is refused with its line, and a field of a wrong kind with its name, never skipped.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Final, TypeVar

from schemas.errors import ConfigurationError

Scalar = str | int | float | bool
#: Every field is repeated in the text form; the reader of a field says how many it takes.
Message = dict[str, list["Scalar | Message"]]

_T = TypeVar("_T", str, int, bool)

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


class Fields:
    """Typed access to one message; every error names the file and the way to the field.

    Parameters
    ----------
    message
        What was parsed.
    where
        File, or file and the fields above, for messages.
    """

    def __init__(self, message: Message, where: str) -> None:
        self._message = message
        self._where = where

    @property
    def where(self) -> str:
        """File, or file and the fields above."""
        return self._where

    def has(self, field: str) -> bool:
        """Whether the field is there, were it empty."""
        return field in self._message

    def only(self, known: Collection[str]) -> None:
        """Refuse a field of another name.

        Raises
        ------
        ConfigurationError
            There is one, most often misspelt.
        """
        for field in self._message:
            if field not in known:
                raise self.wrong(field, f"is no field here; known are {', '.join(sorted(known))}")

    def text(self, field: str, default: str | None = None) -> str:
        """One string or name of an enumeration."""
        return self._one(field, str, default)

    def integer(self, field: str, default: int | None = None) -> int:
        """One whole number."""
        return self._one(field, int, default)

    def flag(self, field: str, default: bool | None = None) -> bool:
        """One truth value."""
        return self._one(field, bool, default)

    def integers(self, field: str) -> tuple[int, ...]:
        """Any number of whole numbers."""
        return self._all(field, int)

    def texts(self, field: str) -> tuple[str, ...]:
        """Any number of strings."""
        return self._all(field, str)

    def message(self, field: str) -> Fields | None:
        """One message, or none."""
        found = self.messages(field)
        if len(found) > 1:
            raise self.wrong(field, "is there more than once; keep one")
        return found[0] if found else None

    def messages(self, field: str) -> tuple[Fields, ...]:
        """Any number of messages."""
        entries = []
        for value in self._message.get(field, []):
            if not isinstance(value, dict):
                raise self.wrong(field, f"must be a message {{ … }}, not {value!r}")
            entries.append(Fields(value, f"{self._where}: {field}"))
        return tuple(entries)

    def wrong(self, field: str, problem: str) -> ConfigurationError:
        """Error about one field, to be raised."""
        return ConfigurationError(f"{self._where}: {field} {problem}")

    def _one(self, field: str, kind: type[_T], default: _T | None) -> _T:
        values = self._message.get(field, [])
        if not values and default is not None:
            return default
        if len(values) != 1 or not _is(values[0], kind):
            raise ConfigurationError(
                f"{self._where}: exactly one {field} ({kind.__name__}) is needed, found {values}"
            )
        return values[0]  # type: ignore[return-value]  # _is has looked

    def _all(self, field: str, kind: type[_T]) -> tuple[_T, ...]:
        values = self._message.get(field, [])
        for value in values:
            if not _is(value, kind):
                raise self.wrong(field, f"holds {value!r}, where only {kind.__name__} goes")
        return tuple(values)  # type: ignore[arg-type]  # _is has looked


def _is(value: Scalar | Message, kind: type[str | int]) -> bool:
    return isinstance(value, kind) and (kind is bool or not isinstance(value, bool))
