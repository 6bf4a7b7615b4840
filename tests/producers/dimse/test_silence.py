from __future__ import annotations

import warnings

import pytest

from producers.dimse.data_sets import decode
from producers.dimse.silence import silence


def test_what_a_peer_sends_makes_no_lines_and_no_warnings(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        silence()
        unknown_tag, wrong_date = b"\x32\x28\x28\x28\2\0\0\0ab", b"\x10\0\x30\0\4\0\0\0now "
        assert len(list(decode(wrong_date + unknown_tag, "1.2.840.10008.1.2").iterall())) == 2
    assert not caught
    assert not caplog.records
    assert capsys.readouterr() == ("", "")
