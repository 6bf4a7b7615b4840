"""YAML file of known application entities → who may do what here, and where they listen.

Without a file everyone may do everything, as on a closed modality network. Guarantee: a mistake in the file is a
sentence that names the entry and the field, never a gateway that lets in more than the file says.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)

from producers import strict_yaml
from producers.dimse.rights import RIGHTS, Right
from schemas.errors import ConfigurationError


def _fingerprint(value: object) -> object:
    """Programs write fingerprints with colons and in capitals, or without."""
    return value.replace(":", "").strip().lower() if isinstance(value, str) else value


#: AE of PS3.5 6.2: at most 16 characters without control characters and backslash; spaces at its ends are padding.
AeTitle = Annotated[
    str, StringConstraints(strip_whitespace=True, min_length=1, max_length=16, pattern=r"^[ -\[\]-~]+$")
]
Fingerprint = Annotated[str, BeforeValidator(_fingerprint), StringConstraints(pattern=r"^[0-9a-f]{64}$")]


class Peer(BaseModel):
    """One application entity.

    Attributes
    ----------
    ae_title
        Its title.
    host, port
        Where it listens, for C-MOVE sub-operations and N-EVENT-REPORT; ``None`` when it does not.
    tls
        Whether we connect to it with TLS.
    networks
        Addresses that it may call from; empty is any.
    called_ae_titles
        Titles by which it may call us; empty is any that we answer to.
    certificate_sha256
        Fingerprints of the certificates of which it must show one, hexadecimal, when it calls us and when we call
        it with TLS; empty asks for none.
    max_associations
        Of this entity at the same time; ``None`` is only the limit of all.
    urgent
        What it sends is published before everything else (an emergency department's scanner).
    may
        Operations; C-ECHO is always allowed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ae_title: AeTitle
    host: str | None = None
    port: int | None = Field(default=None, ge=1, le=65535)
    tls: bool = False
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    called_ae_titles: tuple[AeTitle, ...] = ()
    certificate_sha256: tuple[Fingerprint, ...] = ()
    max_associations: int | None = Field(default=None, ge=1)
    urgent: bool = False
    may: frozenset[Right] = RIGHTS

    @model_validator(mode="after")
    def _whole_address(self) -> Self:
        if (self.host is None) != (self.port is None):
            raise ValueError("host and port belong together: give both or none")
        return self


class Peers(BaseModel):
    """All entries; ``others`` says what an entity may do that has none.

    A file that does not say it rejects their associations: else who has few rights would call by another title.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    others: frozenset[Right] = frozenset()
    peers: tuple[Peer, ...] = ()

    @model_validator(mode="after")
    def _one_entry_each(self) -> Self:
        titles = [peer.ae_title for peer in self.peers]
        twice = sorted({title for title in titles if titles.count(title) > 1})
        if twice:
            raise ValueError(f"{twice[0]} has two entries: give each AE title one")
        return self

    def find(self, ae_title: str) -> Peer | None:
        """Entry of an AE title."""
        return self._by_title.get(ae_title.strip())

    def destination(self, ae_title: str) -> Peer | None:
        """Entry of an AE title that listens somewhere."""
        peer = self.find(ae_title)
        return peer if peer is not None and peer.host is not None else None

    @cached_property
    def _by_title(self) -> dict[str, Peer]:
        return {peer.ae_title: peer for peer in self.peers}


#: No file: a closed network, in which everyone may do everything.
EVERYONE: Final = Peers(others=RIGHTS)


def load(path: Path | None) -> Peers:
    """Peers of a file; without one, everyone may do everything and nobody can be called.

    Raises
    ------
    ConfigurationError
        The file cannot be read, or says something that cannot be.
    """
    if path is None:
        return EVERYONE
    try:
        content = strict_yaml.parse(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"SCANSTREAM_GATEWAY_PEERS_FILE {path} cannot be read ({type(error).__name__}): name a YAML file"
        ) from error
    except strict_yaml.NotYaml as error:
        raise ConfigurationError(
            f"SCANSTREAM_GATEWAY_PEERS_FILE {path} cannot be read ({error}): correct it"
        ) from error
    if content is None:
        # An editor that empties the file before it writes must not open the gateway to everyone.
        raise ConfigurationError(f"{path} is empty: list the peers, or unset SCANSTREAM_GATEWAY_PEERS_FILE")
    try:
        return Peers.model_validate(content)
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {_first(error.errors())}") from error


def _first(errors: Sequence[object]) -> str:
    """The first mistake, with its place."""
    first = errors[0]
    if not isinstance(first, dict):  # pragma: no cover - pydantic's own type
        return str(first)
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
