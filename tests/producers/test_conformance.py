"""The conformance statement says what the code does."""

from __future__ import annotations

import pytest

from producers import conformance
from producers.store.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from schemas.settings import GatewaySettings


def test_the_tables_are_up_to_date() -> None:
    text = conformance.FILE.read_text(encoding="utf-8")
    assert text == conformance.document(text), "run `make contract`"


def test_every_service_and_its_user_are_named_in_the_overview() -> None:
    overview = conformance.FILE.read_text(encoding="utf-8").partition("## 2 ")[0]
    for name in (
        "Verification",
        "Storage Commitment",
        "Patient Root",
        "Worklist",
        "Performed Procedure Step",
        "STOW-RS",
    ):
        assert name in overview


def test_the_prose_names_our_implementation_and_settings_that_exist() -> None:
    text = conformance.FILE.read_text(encoding="utf-8")
    assert f"| Implementation Class UID | {IMPLEMENTATION_CLASS_UID} |" in text
    assert f"| Implementation Version Name | {IMPLEMENTATION_VERSION_NAME} |" in text
    prefix = "`SCANSTREAM_GATEWAY_"
    named = {part.partition("`")[0].lower() for part in text.split(prefix)[1:]}
    assert named == set(GatewaySettings.model_fields)


def test_a_table_that_is_missing_in_the_document_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="services"):
        conformance.document("no tables")
