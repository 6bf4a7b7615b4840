from __future__ import annotations

import pytest

from producers.strict_yaml import NotYaml, parse


def test_a_good_file_is_read() -> None:
    assert parse("a: [1, {b: 'x'}]\nd: 2026-01-02\n")["a"] == [1, {"b": "x"}]
    assert parse("") is None
    assert parse("base: &base {a: 1}\nmore: {<<: *base, b: 2}")["more"] == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    "text",
    [
        "a: [",
        "a: 2026-99-99",
        "a: 0x_",
        "a: !!float ''",
        "? [a, b]\n: c",
        "? {a: b}\n: c",
        "<<: 3",
        "\0",
        "[" * 100_000,
        "!!python/object/apply:os.system ['true']",
    ],
)
def test_whatever_it_holds_is_one_error(text: str) -> None:
    with pytest.raises(NotYaml) as error:
        parse(text)
    assert str(error.value)
    assert "\n" not in str(error.value)


def test_a_key_that_is_given_twice_is_a_mistake_with_its_line() -> None:
    with pytest.raises(NotYaml, match="line 3: others is given twice"):
        parse("others: []\npeers: []\nothers: [store]\n")
