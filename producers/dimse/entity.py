"""Our application entity: which services it offers, under which title and limits. Conformance in code."""

from __future__ import annotations

from producers.dimse.command import CommandField
from producers.dimse.limits import Limits
from producers.dimse.negotiation import Policy
from producers.dimse.server import DimseServer
from producers.dimse.service import Registry
from producers.dimse.silence import silence
from producers.dimse.storage import STORAGE_CLASSES, STORAGE_TRANSFER_SYNTAXES, Hint, Storage
from producers.dimse.verification import TRANSFER_SYNTAXES, VERIFICATION, Verification
from producers.store.store import InstanceStore
from producers.telemetry import Telemetry
from schemas.settings import GatewaySettings


def application_entity(
    settings: GatewaySettings, store: InstanceStore, hint: Hint, telemetry: Telemetry
) -> DimseServer:
    """DICOM listener, not yet listening.

    Parameters
    ----------
    settings
        Title and limits.
    store
        Where instances go.
    hint
        Makes the messages for the end of an association.
    telemetry
        Shows the number of associations.
    """
    silence()
    registry = Registry()
    registry.register(Verification(), CommandField.C_ECHO_RQ, [VERIFICATION], TRANSFER_SYNTAXES)
    registry.register(Storage(store, hint), CommandField.C_STORE_RQ, STORAGE_CLASSES, STORAGE_TRANSFER_SYNTAXES)
    return DimseServer(
        Policy(settings.ae_title, settings.require_called_ae_title, registry.offers),
        registry,
        Limits(settings.max_pdu_bytes, settings.artim_timeout_s, settings.idle_timeout_s),
        settings.max_associations,
        telemetry,
    )
