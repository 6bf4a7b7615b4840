"""``rollout.json`` beside the versions of a model → which of them serve, as canary, shadow, or as the one before.

Without the file the newest version serves and the one below it is the previous one, so that a dropped folder
needs nothing more. Guarantee: the file is replaced in one step, so a reader sees the old or the new rollout.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Collection
from pathlib import Path
from typing import Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from schemas.errors import ConfigurationError

FILE: Final = "rollout.json"


class Canary(BaseModel):
    """A version that gets a share of the tasks."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: int = Field(ge=1)
    share: float = Field(gt=0, le=1, description="of the tasks, from 0 to 1")


class Rollout(BaseModel):
    """Versions are the numbers of their folders."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    serving: int | None = Field(default=None, ge=1, description="none: a model that nobody promoted yet")
    previous: int | None = Field(default=None, ge=1, description="takes over when the serving one is refused")
    canary: Canary | None = None
    shadow: tuple[int, ...] = Field(default=(), description="run unseen beside the serving one")

    @model_validator(mode="after")
    def _roles_differ(self) -> Self:
        if self.serving is None and (self.previous or self.canary or self.shadow):
            raise ValueError("serving must be given before previous, canary and shadow")
        if self.previous is not None and self.previous == self.serving:
            raise ValueError("previous must be another version than serving")
        if self.canary is not None and self.canary.version == self.serving:
            raise ValueError("canary must be another version than serving")
        if self.serving in self.shadow or len(set(self.shadow)) < len(self.shadow):
            raise ValueError("shadow must name other versions than serving, each once")
        return self

    def serve(self, version: int) -> Rollout:
        """The version serves from now on, and the one that served is the previous one."""
        return Rollout(
            serving=version,
            previous=self.previous if version == self.serving else self.serving,
            canary=None if self.canary is not None and self.canary.version == version else self.canary,
            shadow=tuple(other for other in self.shadow if other != version),
        )

    def try_on(self, version: int, share: float) -> Rollout:
        """The version gets a share of the tasks, no longer as shadow; of an earlier canary nothing is left."""
        return Rollout(
            serving=self.serving,
            previous=self.previous,
            canary=Canary(version=version, share=share),
            shadow=tuple(other for other in self.shadow if other != version),
        )

    def watch(self, version: int) -> Rollout:
        """The version runs unseen beside the serving one, and no longer as canary."""
        canary = None if self.canary is not None and self.canary.version == version else self.canary
        return Rollout(
            serving=self.serving,
            previous=self.previous,
            canary=canary,
            shadow=(*(other for other in self.shadow if other != version), version),
        )

    def back(self) -> Rollout:
        """The canary ends; without one the previous version serves again, and the one that served does not return.

        Raises
        ------
        ConfigurationError
            There is nothing to go back to.
        """
        if self.canary is not None:
            return Rollout(serving=self.serving, previous=self.previous, shadow=self.shadow)
        if self.previous is None:
            raise ConfigurationError(
                f"no version served before version {self.serving}: promote the version that shall serve"
            )
        return Rollout(
            serving=self.previous, shadow=tuple(other for other in self.shadow if other != self.previous)
        )


def newest(versions: Collection[int]) -> Rollout:
    """Rollout of a model that has no file: Triton's default policy, the highest number serves."""
    ordered = sorted(versions, reverse=True)
    return Rollout(serving=ordered[0], previous=ordered[1] if len(ordered) > 1 else None)


def read_rollout(folder: Path, versions: Collection[int]) -> Rollout:
    """What ``rollout.json`` in the folder of a model says, or :func:`newest` without one.

    Raises
    ------
    ConfigurationError
        The file cannot be read, says what it must not, or names a version that is not there.
    """
    path = folder / FILE
    try:
        rollout = Rollout.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return newest(versions)
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read ({error.strerror}): correct its permissions") from error
    except ValidationError as error:
        problems = "; ".join(f"{'.'.join(map(str, item['loc']))}: {item['msg']}" for item in error.errors())
        raise ConfigurationError(f"{path} is wrong ({problems}): correct it, or promote a version") from error
    named = {"serving": rollout.serving, "previous": rollout.previous}
    if rollout.canary is not None:
        named["canary"] = rollout.canary.version
    named |= {f"shadow.{index}": version for index, version in enumerate(rollout.shadow)}
    for field, version in named.items():
        if version is not None and version not in versions:
            raise ConfigurationError(
                f"{path}: {field} is version {version}, and there are {', '.join(map(str, sorted(versions)))}: "
                "promote one of them"
            )
    return rollout


def write_rollout(folder: Path, rollout: Rollout) -> None:
    """Replace ``rollout.json`` in one step.

    Raises
    ------
    ConfigurationError
        The folder cannot be written.
    """
    path = folder / FILE
    temporary = path.with_name(f".{FILE}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(rollout.model_dump_json(indent=2) + "\n")
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise ConfigurationError(
            f"{path} cannot be written ({error.strerror}): use a model repository that you may change"
        ) from error


def is_canary(task_id: str, share: float) -> bool:
    """Whether a task is of the canary's share: always the same answer for a task, on every node."""
    drawn = int.from_bytes(hashlib.sha256(task_id.encode()).digest()[:8], "big")
    return drawn < share * 2**64
