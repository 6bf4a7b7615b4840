"""Who is told of which finding, in which order, over which channel: the routes file as frozen types. Pure.

Secrets are never part of it: a channel names the environment variable or the file that holds its secret.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Final, Literal
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from schemas.events import Category, Code, Finding
from schemas.terminology import Language
from schemas.topics import Priority

NAME_PATTERN: Final = r"^[a-z0-9][a-z0-9-]{0,39}$"
CODE_PATTERN: Final = r"^[^:\s]{1,16}:\S{1,64}$"
URL_PATTERN: Final = r"^https?://[^\s/?#@]+([/?][^\s#]*)?$"
MAILBOX_PATTERN: Final = r"^[^\s@<>,]+@[^\s@<>,]+$"

#: Of contacts, channels and routes; they stand in events, logs and links.
Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
#: ``SCT:50960005``: coding scheme designator and code value.
CodeText = Annotated[str, StringConstraints(pattern=CODE_PATTERN)]
WebUrl = Annotated[str, StringConstraints(pattern=URL_PATTERN)]
Seconds = Annotated[float, Field(gt=0, le=86_400)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Channel(_Part):
    """What all channels have: the longest wait for an answer, in seconds."""

    timeout_s: Annotated[float, Field(gt=0, le=120)] = 10.0


class WebhookChannel(_Channel):
    """POST of JSON to a URL, or to the address of each contact.

    Attributes
    ----------
    secret_env, secret_file
        Key of the HMAC-SHA256 signature over time and body; unset: not signed.
    token_env, token_file
        Bearer token (RFC 6750).
    """

    kind: Literal["webhook"]
    url: WebUrl | None = None
    secret_env: str | None = None
    secret_file: Path | None = None
    token_env: str | None = None
    token_file: Path | None = None


class MailChannel(_Channel):
    """Mail over SMTP (RFC 5321); STARTTLS unless said otherwise.

    Attributes
    ----------
    security
        ``starttls`` (RFC 3207), ``tls`` from the first byte (RFC 8314), or ``none``.
    ca_file
        PEM of what signed the server's certificate; default: what the system trusts.
    """

    kind: Literal["smtp"]
    host: str = Field(min_length=1)
    port: int = Field(default=587, ge=1, le=65535)
    sender: str = Field(pattern=MAILBOX_PATTERN)
    security: Literal["starttls", "tls", "none"] = "starttls"
    ca_file: Path | None = None
    username: str | None = None
    password_env: str | None = None
    password_file: Path | None = None


class SmsChannel(_Channel):
    """Text message through a gateway's HTTP interface.

    Attributes
    ----------
    body
        What is posted, as JSON or as a form; ``{to}``, ``{text}`` and ``{id}`` in its texts are filled in.
    accept_pattern
        Regular expression that the answer to an accepted message matches, for a gateway that says 200 to
        everything; unset: every 2xx is an acceptance.
    max_chars
        Longest text; the link is never cut.
    """

    kind: Literal["sms"]
    url: WebUrl
    encoding: Literal["json", "form"] = "json"
    body: dict[str, Any] = Field(min_length=1)
    accept_pattern: str | None = None
    max_chars: int = Field(default=402, ge=160, le=1600)
    username: str | None = None
    password_env: str | None = None
    password_file: Path | None = None
    token_env: str | None = None
    token_file: Path | None = None


class Hl7Channel(_Channel):
    """Unsolicited observation (HL7 2.5.1 chapter 7, ORU^R01) over MLLP, for a paging or nurse call system."""

    kind: Literal["hl7"]
    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65535)
    tls: bool = False
    ca_file: Path | None = None
    receiving_application: str = "ALARM"
    receiving_facility: str = ""


Channel = Annotated[WebhookChannel | MailChannel | SmsChannel | Hl7Channel, Field(discriminator="kind")]


class Way(_Part):
    """One way to reach a contact: a channel, and the address there (none where the channel has its own)."""

    channel: Name
    address: str = Field(default="", max_length=500)


class Contact(_Part):
    """A person or a role; ways are tried in their order until one takes the notice."""

    language: Language = Language.ENGLISH
    ways: tuple[Way, ...] = Field(min_length=1)


class Turn(_Part):
    """A contact of a route, and how long it has to acknowledge before the next one is told, in seconds."""

    contact: Name
    wait_s: Seconds = 300.0


class Route(_Part):
    """Contacts in their order, for findings that meet every condition; an empty condition is always met.

    Attributes
    ----------
    codes, sites
        Concept and anatomic site of the finding.
    min_probability
        Below it the next routes are looked at; a finding without a probability is not below it.
    repeats
        How often the row of contacts begins anew when nobody answered.
    verdict_acknowledges
        Whether a radiologist's confirming or amending verdict ends the alarm: right where the contacts are
        radiologists, wrong where they are those who treat the patient and have not heard yet.
    """

    codes: frozenset[CodeText] = frozenset()
    finding_types: frozenset[str] = frozenset()
    sites: frozenset[CodeText] = frozenset()
    categories: frozenset[Literal[Category.CRITICAL, Category.URGENT]] = frozenset({Category.CRITICAL})
    priorities: frozenset[Priority] = frozenset()
    min_probability: float | None = Field(default=None, ge=0, le=1)
    contacts: tuple[Turn, ...] = Field(min_length=1)
    repeats: int = Field(default=0, ge=0, le=100)
    verdict_acknowledges: bool = False

    def wants(self, finding: Finding, priority: Priority) -> bool:
        """Whether the finding meets every condition."""
        return (
            finding.category in self.categories
            and (not self.codes or _text(finding.code) in self.codes)
            and (not self.finding_types or finding.finding_type in self.finding_types)
            and (not self.sites or (finding.site is not None and _text(finding.site) in self.sites))
            and (not self.priorities or priority in self.priorities)
            and not (
                self.min_probability is not None
                and finding.probability is not None
                and finding.probability < self.min_probability
            )
        )


DEFAULT: Final = "default"


@dataclass(frozen=True)
class Level:
    """One contact of a chain with the channels that are tried in turn."""

    contact: str
    channels: tuple[str, ...]
    wait_s: float


@dataclass(frozen=True)
class Chain:
    """A route as the alarm sees it: levels from 1, as often as they are gone through."""

    levels: tuple[Level, ...]
    rounds: int
    retry_after_s: tuple[float, ...]

    def level(self, number: int) -> Level | None:
        """Level of a number from 1, through all rounds; ``None`` after the last."""
        if not 1 <= number <= len(self.levels) * self.rounds:
            return None
        return self.levels[(number - 1) % len(self.levels)]


class Routes(_Part):
    """The whole file.

    Attributes
    ----------
    routes
        The first that wants a finding decides; ``default`` takes every critical finding that none wants.
    retry_after_s
        When a notice that failed for a passing reason is tried again, in seconds, while nobody has answered.
    max_age_h
        A result that is read later than this is not alarmed about, but noted as withdrawn: else a first start
        would wake people for months of old results. In hours.
    link_valid_h
        How long a link acknowledges, in hours.
    time_zone
        IANA name of the zone in which people are told times.
    """

    rehearsal: bool = False
    max_age_h: float = Field(default=72.0, gt=0)
    retry_after_s: tuple[Seconds, ...] = (30.0, 60.0, 120.0, 300.0)
    link_valid_h: float = Field(default=48.0, gt=0, le=720)
    time_zone: str = "UTC"
    channels: dict[Name, Channel] = Field(min_length=1)
    contacts: dict[Name, Contact] = Field(min_length=1)
    routes: dict[Name, Route] = Field(default_factory=dict)
    default: tuple[Turn, ...] = Field(min_length=1)

    @field_validator("time_zone")
    @classmethod
    def _known_zone(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"{name!r} is not known on this machine: give a name such as Europe/Kyiv") from error
        return name

    def route_of(self, finding: Finding, priority: Priority) -> str | None:
        """Name of the route of a finding; ``None`` where nobody is told of it."""
        for name, route in self.routes.items():
            if route.wants(finding, priority):
                return name
        return DEFAULT if finding.category is Category.CRITICAL else None

    def chain(self, name: str) -> Chain:
        """Chain of a route; that of ``default`` for a name that the file no longer has."""
        route = self.routes.get(name)
        turns = self.default if route is None else route.contacts
        levels = tuple(
            Level(turn.contact, tuple(way.channel for way in self.contacts[turn.contact].ways), turn.wait_s)
            for turn in turns
        )
        return Chain(levels, 1 + (0 if route is None else route.repeats), self.retry_after_s)

    def verdict_acknowledges(self, name: str) -> bool:
        """Whether a radiologist's confirming verdict ends alarms of this route."""
        route = self.routes.get(name)
        return route is not None and route.verdict_acknowledges

    def unknown_names(self) -> Iterator[tuple[tuple[str | int, ...], str]]:
        """Where the file names something that it does not describe: place in the file, and a sentence."""
        if DEFAULT in self.routes:
            yield ("routes", DEFAULT), "this name belongs to the contacts under the key default: choose another"
        for name, contact in self.contacts.items():
            for number, way in enumerate(contact.ways):
                if way.channel not in self.channels:
                    yield ("contacts", name, "ways", number, "channel"), _unknown("channel", way.channel)
        turns = [("default", number, turn) for number, turn in enumerate(self.default)]
        for where, number, turn in turns:
            if turn.contact not in self.contacts:
                yield (where, number, "contact"), _unknown("contact", turn.contact)
        for name, route in self.routes.items():
            for number, turn in enumerate(route.contacts):
                if turn.contact not in self.contacts:
                    yield ("routes", name, "contacts", number, "contact"), _unknown("contact", turn.contact)


def _unknown(what: str, name: str) -> str:
    return f"there is no {what} {name!r}: describe it under {what}s or name another"


def _text(code: Code) -> str:
    return f"{code.scheme}:{code.value}"
