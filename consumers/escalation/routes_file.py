"""YAML file of contacts, channels and routes → :class:`Routes`, or a sentence with line, field and remedy."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import yaml
from pydantic import ValidationError

from consumers.escalation.routes import (
    CODE_PATTERN,
    MAILBOX_PATTERN,
    NAME_PATTERN,
    URL_PATTERN,
    MailChannel,
    Routes,
    SmsChannel,
    WebhookChannel,
)
from producers import strict_yaml
from schemas.errors import ConfigurationError

VARIABLE: Final = "SCANSTREAM_ESCALATION_ROUTES_FILE"

_Loader: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)

Place = Sequence[str | int]


def load(path: Path | None) -> Routes:
    """Routes of a file.

    Raises
    ------
    ConfigurationError
        There is no file, it cannot be read, or it says something that cannot be.
    """
    if path is None:
        raise ConfigurationError(f"nobody would be told of critical findings: set {VARIABLE} to a YAML file")
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{VARIABLE} {path} cannot be read ({type(error).__name__}): name a YAML file that this user may read"
        ) from error
    return parse(text, str(path))


def parse(text: str, name: str) -> Routes:
    """Routes of a text; ``name`` is what an error calls it. See :func:`load`."""
    try:
        content = strict_yaml.parse(text)
    except strict_yaml.NotYaml as error:
        raise ConfigurationError(f"{name} is not YAML: {error}; correct it") from error
    try:
        routes = Routes.model_validate({} if content is None else content)
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        raise _mistake(text, name, problem["loc"], _said(problem)) from error
    for problems in (routes.unknown_names(), _impossible(routes)):
        for place, sentence in problems:
            raise _mistake(text, name, place, sentence)
    return routes


def secret(value_env: str | None, file: Path | None, environment: Mapping[str, str] = os.environ) -> str | None:
    """Secret that a channel names by a variable or a file; ``None`` when it names neither.

    Raises
    ------
    ConfigurationError
        It is not there.
    """
    if value_env is not None:
        if not environment.get(value_env):
            raise ConfigurationError(f"the routes file names the environment variable {value_env}: set it")
        return environment[value_env]
    if file is None:
        return None
    try:
        return file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"the secret's file {file} cannot be read ({type(error).__name__}): name one that this user may read"
        ) from error


def _impossible(routes: Routes) -> Iterator[tuple[Place, str]]:
    """What no single field can tell: ways that lack an address, patterns that are none, two secrets at once."""
    for name, channel in routes.channels.items():
        place = ("channels", name)
        for key in ("secret", "token", "password"):
            if getattr(channel, f"{key}_env", None) and getattr(channel, f"{key}_file", None):
                yield (*place, f"{key}_file"), f"give {key}_env or {key}_file, not both"
        if isinstance(channel, SmsChannel) and channel.accept_pattern is not None:
            try:
                re.compile(channel.accept_pattern)
            except re.error as error:
                yield (*place, "accept_pattern"), f"this is no regular expression ({error})"
        if isinstance(channel, MailChannel | SmsChannel) and _lacks_password(channel):
            yield (*place, "username"), "give password_env or password_file too"
    for name, contact in routes.contacts.items():
        for number, way in enumerate(contact.ways):
            if sentence := _address_problem(routes, way.channel, way.address):
                yield ("contacts", name, "ways", number), sentence


def _lacks_password(channel: MailChannel | SmsChannel) -> bool:
    return channel.username is not None and not (channel.password_env or channel.password_file)


def _address_problem(routes: Routes, channel_name: str, address: str) -> str | None:
    channel = routes.channels[channel_name]
    if isinstance(channel, SmsChannel) and not re.fullmatch(r"\+?[0-9]{5,15}", address):
        return 'give an address such as "+380441234567" (digits only, in quotes)'
    if isinstance(channel, MailChannel) and not re.match(MAILBOX_PATTERN, address):
        return "give an address such as duty@hospital.example"
    if isinstance(channel, WebhookChannel):
        if not address and channel.url is None:
            return f"give an address, or channel {channel_name} a url"
        if address and not re.match(URL_PATTERN, address):
            return "give an http or https URL as address"
    return None


def _mistake(text: str, name: str, place: Place, sentence: str) -> ConfigurationError:
    line, known = _line_of(text, place)
    where = ".".join(known) or "the file"
    return ConfigurationError(f"{name}, line {line}: {where}: {sentence}; correct it")


def _line_of(text: str, place: Place) -> tuple[int, list[str]]:
    """Line of the innermost node on the way to a place, from 1, and the way; union tags are no part of it."""
    node = yaml.compose(text, Loader=_Loader)
    line, known = 1, []
    for number, part in enumerate(place):
        if isinstance(node, yaml.MappingNode):
            found = [(key, value) for key, value in node.value if str(key.value) == str(part)]
            if found:
                line, node = found[0][0].start_mark.line + 1, found[0][1]
            elif number < len(place) - 1 or part in _KINDS:
                continue
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        known.append(str(part))
    return line, known


_QUOTED: Final = r"'([^']+)'"

#: What the patterns of the file's types want.
_FORMS: Final = {
    NAME_PATTERN: "a name of at most 40 letters a-z, digits and hyphens",
    CODE_PATTERN: "scheme and value such as SCT:50960005",
    URL_PATTERN: "an http or https URL without user and password",
    MAILBOX_PATTERN: "an address such as alarms@hospital.example",
}

_KINDS: Final = ("webhook", "smtp", "sms", "hl7")


def _said(problem: Any) -> str:
    match problem["type"]:
        case "extra_forbidden":
            return "there is no such field"
        case "missing":
            return "the field is missing"
        case "union_tag_not_found":
            return f"the field kind is missing, one of {', '.join(_KINDS)}"
        case "union_tag_invalid":
            return f"kind must be one of {', '.join(_KINDS)}"
        case "string_pattern_mismatch":
            return f"{problem['input']!r} has not the right form: give {_FORMS[problem['ctx']['pattern']]}"
        case "literal_error" | "enum":
            return f"give {' or '.join(re.findall(_QUOTED, problem['ctx']['expected']))}"
    return str(problem["msg"]).removeprefix("Value error, ")
