"""Environment and rules file → what the site decides of every order."""

from __future__ import annotations

from dataclasses import dataclass

from consumers.callback.addresses import resolve
from consumers.callback.allowed import Allowed
from dashboards.orders.checks import Callbacks
from schemas.destinations import CallbackSettings
from schemas.settings import StreamsSettings
from schemas.topics import Priority
from streams.rules_file import load_rules


@dataclass(frozen=True)
class Site:
    """What the site decides of every order.

    Attributes
    ----------
    deadline_s
        Seconds until results must be stored, for each class.
    rule_revision
        Of the rules that say so.
    default_priority
        Of a study whose own tasks say nothing.
    callbacks
        Who may be called.
    """

    deadline_s: dict[Priority, float]
    rule_revision: str
    default_priority: Priority
    callbacks: Callbacks


def site_of_environment() -> Site:
    """The rules of the streams process and the list of the callback writer.

    Raises
    ------
    ConfigurationError
        The rules file or the list of hosts is wrong.
    """
    rules = load_rules(StreamsSettings().rules_file)
    settings = CallbackSettings()
    allowed = Allowed(settings.allowed_hosts, allow_http=settings.allow_http)
    return Site(
        {priority: rules.deadlines_s.of(priority) for priority in Priority},
        rules.revision,
        rules.default_priority,
        Callbacks(allowed, allow_private=settings.allow_private, resolver=resolve),
    )
