"""Order → may it be done: the model is one that a worker has, and the callback one that may be called."""

from __future__ import annotations

from datetime import datetime
from typing import Final

from consumers.callback.addresses import Resolver, checked
from consumers.callback.allowed import Allowed, endpoint_of
from consumers.destination import SourceUnavailable
from dashboards.live.nodes import Nodes
from dashboards.orders.order import Refused
from schemas.errors import PermanentRejection
from schemas.events import VersionState

_RETRY_S: Final = 5
#: Versions that a task may be pinned to.
_ASKABLE: Final = frozenset({VersionState.SERVING, VersionState.CANARY, VersionState.STANDBY})


def check_model(nodes: Nodes, model: str, version: str | None, now: datetime) -> list[str]:
    """Make sure that a model is known by a worker's heartbeat; returns what the requester should know.

    Raises
    ------
    Refused
        No worker has it, or not this version of it.
    """
    known = nodes.models()
    alive = nodes.alive(now)
    if model not in known:
        if not alive:
            raise Refused(
                422,
                f"the model {model[:64]!r} is not known, and no worker is alive that could say which are: "
                "start one (scanstream worker) and ask again",
                field="model",
            )
        names = ", ".join(known) or "none"
        raise Refused(
            422, f"no worker has a model {model[:64]!r}: those that they have are {names}", field="model"
        )
    of_model = [one for _, one in known[model]]
    usable = [one for one in of_model if one.state in _ASKABLE]
    if not usable:
        reasons = "; ".join(sorted({one.reason or one.state.value for one in of_model}))
        raise Refused(
            422, f"no worker answers with the model {model!r} ({reasons}): see GET /v1/models", field="model"
        )
    if version is not None and version not in {one.version for one in usable}:
        names = ", ".join(sorted({one.version for one in usable}))
        raise Refused(
            422, f"no worker has version {version[:32]!r} of {model!r}: there is {names}", field="model_version"
        )
    if not nodes.answering(model, now):
        return [f"no worker that answers with {model} is alive now: the task waits for one"]
    return []


class Callbacks:
    """Callback addresses of requesters, by the rules of the callback writer.

    Parameters
    ----------
    allowed
        Who may be called.
    allow_private
        Whether addresses inside the site are allowed.
    resolver
        Host and port → addresses.
    """

    def __init__(self, allowed: Allowed, *, allow_private: bool, resolver: Resolver) -> None:
        self._allowed = allowed
        self._allow_private = allow_private
        self._resolver = resolver

    def check(self, url: str) -> None:
        """Make sure that a callback may be sent to a URL.

        Raises
        ------
        Refused
            It may not, or its host cannot be resolved now.
        """
        try:
            endpoint = endpoint_of(url)
            self._allowed.check(endpoint)
            checked(endpoint.host, endpoint.port, self._resolver, allow_private=self._allow_private)
        except PermanentRejection as error:
            raise Refused(422, f"callback_url: {error}", field="callback_url") from error
        except SourceUnavailable as error:
            raise Refused(503, f"callback_url: {error}", _RETRY_S, "callback_url") from error
