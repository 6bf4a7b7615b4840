"""The routes file: the example holds, and every mistake is one sentence with line, field and remedy."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.escalation.routes import DEFAULT, Routes
from consumers.escalation.routes_file import load, parse, secret
from consumers.escalation.sender import channels_of
from schemas.errors import ConfigurationError
from schemas.events import Category, Code
from schemas.terminology import Language
from schemas.topics import Priority
from tests.consumers.escalation.findings import critical

EXAMPLE = Path(__file__).parents[3] / "consumers" / "escalation" / "example-routes.yaml"
TEXT = EXAMPLE.read_text(encoding="utf-8")


def wrong(old: str, new: str) -> str:
    assert old in TEXT
    with pytest.raises(ConfigurationError) as raised:
        parse(TEXT.replace(old, new, 1), "routes.yaml")
    return str(raised.value)


def line_of(text: str) -> int:
    return next(number for number, line in enumerate(TEXT.splitlines(), 1) if text in line)


def test_the_example_is_a_whole_routes_file() -> None:
    routes = load(EXAMPLE)
    assert routes.contacts["neurosurgeon-on-call"].language is Language.UKRAINIAN
    chain = routes.chain("intracranial-haemorrhage")
    assert [level.contact for level in chain.levels] == [
        "neurosurgeon-on-call",
        "radiologist-on-call",
        "head-of-department",
    ]
    assert chain.rounds == 2
    assert chain.levels[0].channels == ("sms", "pager")
    assert {channel.kind for channel in routes.channels.values()} == {"sms", "smtp", "webhook", "hl7"}


def test_the_first_route_that_wants_a_finding_decides_and_every_critical_one_has_one() -> None:
    routes = load(EXAMPLE)

    def route(**changed: object) -> str | None:
        return routes.route_of(critical("x", **changed).findings[0], Priority.P1_EMERGENCY)

    pneumothorax = Code("36118008", "SCT", "Pneumothorax")
    assert route() == "intracranial-haemorrhage"
    assert route(probability=0.4) == DEFAULT
    assert route(probability=None) == "intracranial-haemorrhage"
    assert route(code=Code("1", "99LOCAL", "Something")) == DEFAULT
    assert route(code=pneumothorax, category=Category.URGENT) == "pneumothorax"
    assert route(category=Category.URGENT) is None
    assert route(category=Category.ROUTINE) is None
    assert route(code=pneumothorax, category=Category.INCIDENTAL) is None


@pytest.mark.parametrize(
    ("old", "new", "at", "field", "said"),
    [
        ("kind: webhook", "kind: pigeon", "pager:", "channels.pager", "kind must be one of"),
        ("port: 587", "port: 99999", "port: 587", "channels.mail.port", "less than or equal to 65535"),
        ("    sender: alarms@hospital.example\n", "", "  mail:", "channels.mail.sender", "the field is missing"),
        (
            "alarms@hospital.example",
            "alarms",
            "    sender:",
            "channels.mail.sender",
            "such as alarms@hospital.example",
        ),
        ("security: starttls", "securty: tls", "security: starttls", "channels.mail.securty", "no such field"),
        (
            "security: starttls",
            "security: ssl",
            "security: starttls",
            "channels.mail.security",
            "starttls or tls or none",
        ),
        ("max_age_h: 72", "max_age_h: 0", "max_age_h", "max_age_h", "greater than 0"),
        ("Europe/Kyiv", "Europe/Kiew", "time_zone", "time_zone", "Europe/Kyiv"),
        ('"+380441234567"', "+380441234567", "+380441234567", "ways.0.address", "valid string"),
        ('"+380441234567"', '"044-123"', "+380441234567", "ways.0", "digits only"),
        ("head@hospital.example", "head", "head@", "ways.0", "duty@hospital.example"),
        (
            "{channel: pager}\n  radio",
            "{channel: x}\n  radio",
            "- {channel: pager}",
            "ways.1.channel",
            "describe it",
        ),
        (
            "contact: emergency-desk, ",
            "contact: nobody, ",
            "contact: emergency-desk",
            "contacts.0.contact",
            "nobody",
        ),
        ('"SCT:36118008"', '"36118008"', "SCT:36118008", "routes.pneumothorax.codes.0", "such as SCT:50960005"),
        ("[critical, urgent]", "[routine]", "categories: [", "categories.0", "give critical or urgent"),
        (
            "username: alarms\n    password_file",
            "username: alarms\n    #",
            "username",
            "channels.mail.username",
            "password_env",
        ),
        (
            "token_file: /run",
            "token_env: B\n    token_file: /run",
            "token_file",
            "channels.sms.token_file",
            "not both",
        ),
        ("(OK|", "((OK|", "accept_pattern", "channels.sms.accept_pattern", "no regular expression"),
        ("  pneumothorax:", "  default:", "  pneumothorax:", "routes.default", "choose another"),
        (
            "https://sms.example",
            "https://me:pw@sms.example",
            "https://sms",
            "channels.sms.url",
            "without user and password",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line_its_field_and_the_remedy(
    old: str, new: str, at: str, field: str, said: str
) -> None:
    sentence = wrong(old, new)
    # a line that was put in before moves the mistake down by one
    assert sentence.startswith(f"routes.yaml, line {line_of(at) + new.count(chr(10)) - old.count(chr(10))}: ") or (
        sentence.startswith(f"routes.yaml, line {line_of(at)}: ")
    )
    assert f"{field}:" in sentence
    assert said in sentence
    assert sentence.endswith("; correct it")
    assert "\n" not in sentence


def test_without_a_default_somebody_could_be_told_nothing_so_it_is_required() -> None:
    begin = TEXT.index("default:       ")
    with pytest.raises(ConfigurationError, match="default: the field is missing"):
        parse(TEXT[:begin], "routes.yaml")


def test_text_that_is_no_yaml_or_says_a_thing_twice_is_one_sentence() -> None:
    assert "is not YAML" in wrong("channels:", "channels: [")
    assert "is given twice" in wrong("rehearsal: false", "rehearsal: false\nrehearsal: true")


@given(st.text(max_size=200))
def test_any_text_is_routes_or_one_sentence(text: str) -> None:
    try:
        parse(text, "routes.yaml")
    except ConfigurationError as error:
        assert "\n" not in str(error)


@given(st.integers(0, len(TEXT) - 1), st.sampled_from(["", "x", ":", "-", "\n", "'", "[", "0", "null"]))
def test_any_slip_of_the_pen_is_routes_or_one_sentence(at: int, what: str) -> None:
    try:
        routes = parse(TEXT[:at] + what + TEXT[at + 1 :], "routes.yaml")
    except ConfigurationError as error:
        assert str(error).startswith("routes.yaml")
    else:
        assert isinstance(routes, Routes)


def test_a_missing_file_or_secret_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigurationError, match="set SCANSTREAM_ESCALATION_ROUTES_FILE"):
        load(None)
    with pytest.raises(ConfigurationError, match="cannot be read"):
        load(tmp_path / "absent.yaml")
    with pytest.raises(ConfigurationError, match="set it"):
        secret("SECRET_THAT_NOBODY_SET", None, {})
    with pytest.raises(ConfigurationError, match="/run/secrets/sms-token"):
        channels_of(load(EXAMPLE))
    (tmp_path / "key").write_text("ключ\n", encoding="utf-8")
    assert secret(None, tmp_path / "key") == "ключ"
    assert secret("NAME", None, {"NAME": "x"}) == "x"
    assert secret(None, None) is None
