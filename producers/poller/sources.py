"""What a source is: a PACS, how it is asked, what of it is wanted, and how gently. Typed and frozen.

Secrets are never part of it: it names the environment variable or the file that holds them.
"""

from __future__ import annotations

import re
from datetime import timedelta
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Annotated, Final, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StringConstraints,
    model_validator,
)

from producers.clock_time import ClockTime
from producers.dimse.peers import AeTitle
from producers.poller.pace import Hours

Code = Annotated[str, StringConstraints(pattern=r"^[A-Z0-9_ ]{1,16}$")]
Pattern = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]

_WEB_URL: Final = re.compile(r"https?://[^\s/?#]+[^\s?#]*")


def _web_url(text: str) -> str:
    if _WEB_URL.fullmatch(text) is None:
        raise ValueError("give an http or https URL without query")
    return text


WebUrl = Annotated[str, AfterValidator(_web_url)]


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=True)


class Filters(_Part):
    """Which studies are wanted; an empty field wants all. Patterns are those of a shell, in any case.

    Attributes
    ----------
    modalities
        Any of ModalitiesInStudy (0008,0061).
    stations
        StationName (0008,1010) of any series; a source that does not tell it has no match.
    descriptions
        StudyDescription (0008,1030).
    """

    modalities: frozenset[Code] = frozenset()
    stations: tuple[Pattern, ...] = ()
    descriptions: tuple[Pattern, ...] = ()


class OffPeak(_Part):
    """Hours in which images may be read; modalities of an emergency are read at all hours.

    Attributes
    ----------
    begin, end
        On the clock of the source's time zone, such as 20:00 and 06:00.
    urgent_modalities
        Studies with one of them do not wait.
    """

    begin: ClockTime
    end: ClockTime
    urgent_modalities: frozenset[Code] = frozenset()


class Rate(_Part):
    """Upper limits of what is read, on average over a minute."""

    instances_per_minute: float | None = Field(default=None, gt=0)
    studies_per_minute: float | None = Field(default=None, gt=0)


class Tls(_Part):
    """Files for TLS: who we trust, and who we are (PEM)."""

    ca_file: Path | None = None
    certificate_file: Path | None = None
    key_file: Path | None = None

    @model_validator(mode="after")
    def _whole_identity(self) -> Self:
        if (self.certificate_file is None) != (self.key_file is None):
            raise ValueError("certificate_file and key_file belong together: give both or none")
        return self


class _Source(_Part):
    """What all kinds have.

    Attributes
    ----------
    time_zone
        IANA name of the zone that the dates of the source are in.
    start_days
        How far back the first poll looks.
    overlap_hours
        How far every later poll looks back for studies and images that came late. Shorter than the gateway's
        retention: a study that is no longer there is fetched again as long as it lies in the overlap.
    poll_interval_s
        Between two polls.
    max_concurrent
        Studies that are fetched at the same time.
    max_results
        A query that finds so many is taken for cut off and asked again in parts.
    timeout_s
        Longest silence of the source before it counts as away.
    """

    time_zone: str = "UTC"
    start_days: float = Field(default=1, ge=0, le=36525)
    overlap_hours: float = Field(default=24, ge=0, le=8760)
    poll_interval_s: float = Field(default=60, gt=0)
    max_concurrent: int = Field(default=1, ge=1, le=16)
    max_results: int = Field(default=500, ge=1)
    timeout_s: float = Field(default=60, gt=0)
    filters: Filters = Filters()
    rate: Rate = Rate()
    off_peak: OffPeak | None = None

    @model_validator(mode="after")
    def _known_zone(self) -> Self:
        try:
            self.zone()
        except (ZoneInfoNotFoundError, ValueError, OSError) as error:
            raise ValueError(
                f"time_zone {self.time_zone!r} is not known on this machine: give a name such as Europe/Kyiv"
            ) from error
        return self

    def zone(self) -> ZoneInfo:
        """Time zone of the source's dates."""
        return ZoneInfo(self.time_zone)

    @property
    def overlap(self) -> timedelta:
        """How far every poll looks back."""
        return timedelta(hours=self.overlap_hours)

    def hours(self) -> Hours | None:
        """Hours in which images may be read; ``None`` is always."""
        return None if self.off_peak is None else Hours(self.off_peak.begin, self.off_peak.end, self.zone())


class WebSource(_Source):
    """QIDO-RS and WADO-RS (PS3.18).

    Attributes
    ----------
    url
        DICOMweb root.
    username, password_env, password_file
        RFC 7617; the password is in a variable or a file.
    token_env, token_file
        Bearer token (RFC 6750); like the password, a file is read anew for each request.
    """

    kind: Literal["dicomweb"]
    url: WebUrl
    username: str | None = None
    password_env: str | None = None
    password_file: Path | None = None
    token_env: str | None = None
    token_file: Path | None = None
    tls: Tls | None = None

    @model_validator(mode="after")
    def _one_secret(self) -> Self:
        passwords = [item for item in (self.password_env, self.password_file) if item is not None]
        tokens = [item for item in (self.token_env, self.token_file) if item is not None]
        if len(passwords) + len(tokens) > 1:
            raise ValueError("give one of password_env, password_file, token_env and token_file")
        if (self.username is None) != (not passwords):
            raise ValueError("username belongs together with password_env or password_file")
        return self


class _DimseSource(_Source):
    """C-FIND, Study Root (PS3.4 C).

    Attributes
    ----------
    ae_title, host, port
        Of the PACS.
    calling_ae_title
        Our own title, as the PACS knows it.
    """

    ae_title: AeTitle
    host: str = Field(min_length=1)
    port: int = Field(ge=1, le=65535)
    calling_ae_title: AeTitle = "SCANSTREAM"
    tls: Tls | None = None


class MoveSource(_DimseSource):
    """C-MOVE to the gateway, whose AE title the PACS must know."""

    kind: Literal["c-move"]
    destination: AeTitle = "SCANSTREAM"


class GetSource(_DimseSource):
    """C-GET, for a PACS that cannot open a connection to us."""

    kind: Literal["c-get"]


Source = Annotated[WebSource | MoveSource | GetSource, Field(discriminator="kind")]
#: It becomes the name of a directory and a label of metrics.
SourceName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9_-]{0,62}$")]


class Sources(_Part):
    """The whole file: sources by name."""

    sources: dict[SourceName, Source] = Field(min_length=1)


def matches(patterns: tuple[str, ...], text: str) -> bool:
    """Whether a text matches any pattern, in any case; no pattern is always a match."""
    return not patterns or any(fnmatchcase(text.casefold(), pattern.casefold()) for pattern in patterns)
