"""YAML file of known application entities → who may do what here, and where they listen.

Without a file everyone may do everything, as on a closed modality network. Guarantee: a mistake in the file is a
sentence that names the entry and the field, never a gateway that lets in more than the file says.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Network, IPv6Network
from pathlib import Path
from typing import Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.errors import ConfigurationError

Right = Literal["store", "find", "move", "get", "worklist", "commit", "procedure-step", "availability"]
RIGHTS: tuple[Right, ...] = (
    "store",
    "find",
    "move",
    "get",
    "worklist",
    "commit",
    "procedure-step",
    "availability",
)


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
    certificate_sha256
        Fingerprints of the certificates that it may show, hexadecimal; empty asks for none.
    max_associations
        Of this entity at the same time; ``None`` is only the limit of all.
    urgent
        What it sends is published before everything else (an emergency department's scanner).
    may
        Operations; C-ECHO is always allowed.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    ae_title: str = Field(min_length=1, max_length=16, pattern=r"^[ -\[\]-~]+$")
    host: str | None = None
    port: int | None = Field(default=None, ge=1, le=65535)
    tls: bool = False
    networks: tuple[IPv4Network | IPv6Network, ...] = ()
    certificate_sha256: tuple[str, ...] = ()
    max_associations: int | None = Field(default=None, ge=1)
    urgent: bool = False
    may: frozenset[Right] = frozenset(RIGHTS)

    @model_validator(mode="after")
    def _whole_address(self) -> Self:
        if (self.host is None) != (self.port is None):
            raise ValueError("host and port belong together: give both or none")
        return self


class Peers(BaseModel):
    """All entries; ``others`` says what an entity may do that has none (``[]`` refuses it)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    others: frozenset[Right] | None = frozenset(RIGHTS)
    peers: tuple[Peer, ...] = ()

    def find(self, ae_title: str) -> Peer | None:
        """Entry of an AE title."""
        return next((peer for peer in self.peers if peer.ae_title == ae_title.strip()), None)

    def destination(self, ae_title: str) -> Peer | None:
        """Entry of an AE title that listens somewhere."""
        peer = self.find(ae_title)
        return peer if peer is not None and peer.host is not None else None


def load(path: Path | None) -> Peers:
    """Peers of a file; without one, everyone may do everything and nobody can be called.

    Raises
    ------
    ConfigurationError
        The file cannot be read, or says something that cannot be.
    """
    if path is None:
        return Peers()
    try:
        return Peers.model_validate(yaml.safe_load(path.read_text(encoding="utf-8")) or {})
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(
            f"SCANSTREAM_GATEWAY_PEERS_FILE {path} cannot be read ({type(error).__name__}): name a YAML file"
        ) from error
    except ValidationError as error:
        raise ConfigurationError(f"{path}: {_first(error.errors())}") from error


def _first(errors: Sequence[object]) -> str:
    """The first mistake, with its place."""
    first = errors[0]
    if not isinstance(first, dict):  # pragma: no cover - pydantic's own type
        return str(first)
    return f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
