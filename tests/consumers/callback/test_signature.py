from __future__ import annotations

from datetime import UTC, datetime

import pytest

from consumers.callback.signature import headers, key_of
from schemas.errors import ConfigurationError


def test_the_example_that_receivers_libraries_are_tested_with() -> None:
    made = headers(
        key_of("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        b'{"test": 2432232314}',
        datetime.fromtimestamp(1614265330, UTC),
    )
    assert made == {
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        "Idempotency-Key": '"msg_p5jXN8AQM9LWM0D4loKWxJek"',
    }


@pytest.mark.parametrize("secret", [None, "", "short", "whsec_", "whsec_%%%", "whsec_YWJj", "x" * 65])
def test_a_missing_or_weak_secret_is_refused_with_the_remedy(secret: str | None) -> None:
    with pytest.raises(ConfigurationError, match="SCANSTREAM_CALLBACK_SECRET_FILE"):
        key_of(secret)


def test_a_long_text_is_a_key_as_it_is() -> None:
    assert key_of("Ключ, якого ніхто не знає") == "Ключ, якого ніхто не знає".encode()
