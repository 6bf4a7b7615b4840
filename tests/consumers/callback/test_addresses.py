from __future__ import annotations

from collections.abc import Sequence
from ipaddress import ip_address

import pytest

from consumers.callback.addresses import checked, is_allowed, resolve
from consumers.destination import SourceUnavailable
from schemas.errors import PermanentRejection

INSIDE = [
    "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "100.64.0.1", "::1", "fd00::1", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "64:ff9b::7f00:1", "64:ff9b::a00:1", "2002:7f00:1::", "2002:a00:1::1",
    "fec0::1", "192.0.0.9", "192.88.99.1",
]  # fmt: skip
NEVER = [
    "169.254.169.254", "fe80::1", "0.0.0.0", "::", "224.0.0.1", "ff02::1", "255.255.255.255", "240.0.0.1",
    "::ffff:169.254.169.254", "64:ff9b::a9fe:a9fe",
    "100.100.100.200", "192.0.0.192", "::ffff:100.100.100.200", "fd00:ec2::254",
]  # fmt: skip
OUTSIDE = ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"]


@pytest.mark.parametrize("text", INSIDE + NEVER)
def test_nothing_inside_is_called_by_default(text: str) -> None:
    assert not is_allowed(ip_address(text), allow_private=False)


@pytest.mark.parametrize("text", OUTSIDE)
def test_the_open_internet_may_be_called(text: str) -> None:
    assert is_allowed(ip_address(text), allow_private=False)
    assert is_allowed(ip_address(text), allow_private=True)


@pytest.mark.parametrize("text", INSIDE)
def test_private_addresses_where_the_site_allows_them(text: str) -> None:
    assert is_allowed(ip_address(text), allow_private=True)


@pytest.mark.parametrize("text", NEVER)
def test_some_are_never_called(text: str) -> None:
    assert not is_allowed(ip_address(text), allow_private=True)


@pytest.mark.parametrize("answer", [["8.8.8.8", "10.0.0.1"], [], ["fe80::1%eth0"]])
def test_a_name_with_one_address_inside_is_refused(answer: Sequence[str]) -> None:
    with pytest.raises(PermanentRejection, match="SCANSTREAM_CALLBACK_ALLOW_PRIVATE"):
        checked("ris.example", 443, lambda host, port: answer, allow_private=False)


@pytest.mark.parametrize("host", ["2130706433", "0x7f.1", "0177.0.0.1", "127.1", "localhost"])
def test_other_spellings_of_loopback_are_refused(host: str) -> None:
    with pytest.raises((PermanentRejection, SourceUnavailable)):
        checked(host, 443, resolve, allow_private=False)


def test_a_name_that_cannot_be_resolved_is_waited_for() -> None:
    def broken(host: str, port: int) -> Sequence[str]:
        raise OSError("no such host")

    with pytest.raises(SourceUnavailable, match=r"ris\.example cannot be resolved"):
        checked("ris.example", 443, broken, allow_private=False)
