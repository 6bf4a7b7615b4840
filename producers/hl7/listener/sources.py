"""Who may send, and what was agreed on with each: the content of the file of sources."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from producers import strict_yaml
from producers.hl7.charset import UNICODE_UTF8, known_codec
from schemas.errors import ConfigurationError

VARIABLE: Final = "SCANSTREAM_HL7_SOURCES_FILE"
Network = IPv4Network | IPv6Network
Address = IPv4Address | IPv6Address
Place = Annotated[str, StringConstraints(pattern=r"^(IPC-1|OBR-(2|3|18|19|20)|ORC-(2|3|4))$")]


class Source(BaseModel):
    """One sender, or several alike; see docs/hl7-orders.md."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(min_length=1, max_length=64, pattern=r"^[\w.-]+$")
    addresses: tuple[Network, ...] = ()
    sending_application: str | None = None
    sending_facility: str | None = None
    receiving_application: str | None = None
    receiving_facility: str | None = None
    character_set: str = UNICODE_UTF8
    time_zone: str = "UTC"
    assigning_authority: str = ""
    accession_issuer: str = ""
    accession: tuple[Place, ...] = ("IPC-1", "OBR-18", "OBR-3", "ORC-3")
    stations: dict[str, str] = Field(default_factory=dict)
    modalities: dict[str, str] = Field(default_factory=dict)
    consent_types: tuple[str, ...] = ()
    processing: tuple[Literal["P", "T", "D"], ...] = ("P",)

    @model_validator(mode="after")
    def _known(self) -> Self:
        if known_codec(self.character_set) is None:
            raise ValueError(
                f"character_set {self.character_set!r} is not known: write windows-1251 or UNICODE UTF-8"
            )
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(f"time_zone {self.time_zone!r} is none: write one such as Europe/Kyiv") from error
        if not self.accession:
            raise ValueError("accession names no field: name one such as OBR-18")
        return self

    @cached_property
    def codec(self) -> str:
        """Python's codec where MSH-18 is empty."""
        return known_codec(self.character_set) or "utf-8"

    @cached_property
    def zone(self) -> ZoneInfo:
        """Time zone of times without an offset."""
        return ZoneInfo(self.time_zone)

    def is_at(self, address: Address) -> bool:
        """Whether it may send from there; without addresses from everywhere."""
        return not self.addresses or any(
            address in network for network in self.addresses if network.version == address.version
        )

    def is_from(self, application: str, facility: str) -> bool:
        """Whether MSH-3 and MSH-4 are its own."""
        return self.sending_application in (None, application) and self.sending_facility in (None, facility)


#: Without a file everybody who reaches the port may send.
ANYBODY: Final = (Source(name="any"),)


class _File(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    sources: tuple[Source, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _named_once(self) -> Self:
        names = [source.name for source in self.sources]
        if len(set(names)) != len(names):
            raise ValueError("two sources have the same name: rename one")
        return self


def load(path: Path | None) -> Sequence[Source]:
    """Sources of a file, in its order; the first that fits counts.

    Raises
    ------
    ConfigurationError
        It cannot be read, or says something that cannot be.
    """
    if path is None:
        return ANYBODY
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"{VARIABLE} {path} cannot be read ({type(error).__name__}): name a YAML file that this user may read"
        ) from error
    return parse(text, str(path))


def parse(text: str, name: str) -> Sequence[Source]:
    """Sources of a text; ``name`` is what an error calls it. See :func:`load`."""
    try:
        content: Any = strict_yaml.parse(text)
    except strict_yaml.NotYaml as error:
        raise ConfigurationError(f"{name} is not YAML: {error}; correct it") from error
    try:
        return _File.model_validate({} if content is None else content).sources
    except ValidationError as error:
        problem = error.errors(include_url=False)[0]
        place = ".".join(map(str, problem["loc"])) or "the file"
        said = str(problem["msg"]).removeprefix("Value error, ")
        raise ConfigurationError(f"{name}: {place}: {said}; correct it") from error


def at(sources: Sequence[Source], address: str) -> tuple[Source, ...]:
    """Sources that may send from an address; one of IPv4 written as IPv6 is what it is."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return ()
    plain = found.ipv4_mapped if isinstance(found, IPv6Address) and found.ipv4_mapped else found
    return tuple(source for source in sources if source.is_at(plain))
