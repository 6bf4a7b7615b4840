from __future__ import annotations

import pytest

from consumers.callback.allowed import Allowed, endpoint_of
from schemas.errors import ConfigurationError, PermanentRejection

HOSTS = (
    "ris.example",
    "dev.example:8443",
    "*.clinic.example",
    "лікарня.укр",
    "[2001:db8::1]:9000",
    "tls.example:443",
)


@pytest.mark.parametrize(
    "url",
    [
        "https://ris.example/results?token=1",
        "https://RIS.example./x",
        "https://ris.example:443/x",
        "https://tls.example/x",
        "https://dev.example:8443/x",
        "https://a.b.clinic.example/x",
        "https://лікарня.укр/результат",
        "https://xn--80a2ac1a6cd.xn--j1amh/",
        "https://[2001:db8::1]:9000/",
    ],
)
def test_hosts_of_the_list_are_allowed(url: str) -> None:
    if "xn--" in url:
        url = f"https://{endpoint_of('https://лікарня.укр/').host}/"
    Allowed(HOSTS, allow_http=False).check(endpoint_of(url))


@pytest.mark.parametrize(
    "url",
    [
        "https://ris.example:8443/",
        "https://dev.example/",
        "https://clinic.example/",
        "https://evilclinic.example/",
        "https://ris.example.evil.example/",
        "https://ris.example%2eevil.example/",
        "http://ris.example/",
        "https://127.0.0.1/",
        "https://2130706433/",
    ],
)
def test_others_are_refused_with_the_remedy(url: str) -> None:
    with pytest.raises(PermanentRejection, match=r"SCANSTREAM_CALLBACK_ALLOW|correct it"):
        Allowed(HOSTS, allow_http=False).check(endpoint_of(url))


@pytest.mark.parametrize(
    "url",
    [
        "",
        "ris.example",
        "ftp://ris.example/",
        "https://",
        "https://u:p@ris.example/",
        "https://[::1",
        "file:///etc/x",
    ],
)
def test_what_nothing_can_be_sent_to_is_refused(url: str) -> None:
    with pytest.raises(PermanentRejection, match="requester"):
        endpoint_of(url)


def test_http_must_be_allowed_on_its_own() -> None:
    endpoint = endpoint_of("http://ris.example/x")
    Allowed(("ris.example",), allow_http=True).check(endpoint)
    with pytest.raises(PermanentRejection, match="without TLS"):
        Allowed(("ris.example:80",), allow_http=False).check(endpoint)


def test_nobody_is_allowed_by_default() -> None:
    with pytest.raises(PermanentRejection):
        Allowed((), allow_http=True).check(endpoint_of("https://ris.example/"))


@pytest.mark.parametrize(
    "text", ["", "*", "*.*.example", "https://ris.example", "ris.example/x", "a@b", "ris:x", "ris:99999"]
)
def test_a_wrong_entry_is_named(text: str) -> None:
    with pytest.raises(ConfigurationError, match="SCANSTREAM_CALLBACK_ALLOWED_HOSTS"):
        Allowed((text,), allow_http=False)
