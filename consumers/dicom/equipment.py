"""Model identity → how DICOM objects name the algorithm that made them (IHE AIR 6.5.3.1).

Contributing Equipment, algorithm identification, device observer and general equipment say the same names, as the
consistency table of IHE AIR asks.
"""

from __future__ import annotations

from typing import Any, Final

import highdicom as hd
from pydicom import Dataset
from pydicom.sequence import Sequence

from consumers.dicom.concepts import ARTIFICIAL_INTELLIGENCE, DEVICE, PROCESSING_EQUIPMENT
from consumers.dicom.identity import ObjectIdentity
from schemas.events import InferenceResult, ModelIdentity

#: (0008,0070) of everything that we make: our gateway knows its own objects by it and starts no inference on them.
MANUFACTURER: Final = "scanstream"

_LIBRARY: Final = "Highdicom open-source contributors"
_ST_LENGTH: Final = 1024


def general_equipment(model: ModelIdentity) -> dict[str, Any]:
    """Enhanced General Equipment module (PS3.3 C.7.5.2), all four attributes with a value (type 1)."""
    return {
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": model.name[:64],
        "software_versions": model.version[:64],
        "device_serial_number": model.sha256[:16] or model.device_uid,
    }


def contributing_equipment(result: InferenceResult, identity: ObjectIdentity) -> Any:
    """Item of Contributing Equipment Sequence (0018,A001) for the algorithm, with its Device UID (0018,1002)."""
    model = result.model
    said = "; ".join(part for part in (result.limitations, *result.warnings) if part)
    item = hd.ContributingEquipment(
        model.manufacturer[:64],
        PROCESSING_EQUIPMENT,
        manufacturer_model_name=model.name[:64],
        software_versions=model.version[:64],
        contribution_datetime=identity.date_time,
        contribution_description=said[:_ST_LENGTH] or None,
    )
    item.DeviceUID = model.device_uid
    return item


def algorithm_sequence(model: ModelIdentity) -> Any:
    """Algorithm Identification macro (PS3.3 10.16) of a segment."""
    return hd.AlgorithmIdentificationSequence(
        name=model.name[:64],
        family=ARTIFICIAL_INTELLIGENCE,
        version=model.version[:64],
        source=model.manufacturer[:64],
    )


def algorithm_template(model: ModelIdentity) -> Any:
    """Algorithm Identification (PS3.16 TID 4019) of a measurement."""
    return hd.sr.AlgorithmIdentification(
        name=model.name, version=model.version, family=ARTIFICIAL_INTELLIGENCE, manufacturer=model.manufacturer
    )


def observer(model: ModelIdentity) -> Any:
    """Observation context of a device (PS3.16 TID 1001, 1004)."""
    return hd.sr.ObservationContext(
        observer_device_context=hd.sr.ObserverContext(
            observer_type=DEVICE,
            observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
                uid=model.device_uid,
                name=model.name,
                manufacturer_name=model.manufacturer,
                model_name=model.name,
                serial_number=general_equipment(model)["device_serial_number"],
            ),
        )
    )


def finish(dataset: Dataset, identity: ObjectIdentity) -> None:
    """Give an object of highdicom our fixed times, and leave our equipment as the only processing equipment.

    highdicom writes the present time into the creation attributes and adds itself as a second processing
    equipment: both would make two renderings differ, the latter with every release of the library.
    """
    dataset.InstanceCreationDate = dataset.ContentDate = dataset.SeriesDate = identity.date
    dataset.InstanceCreationTime = dataset.ContentTime = dataset.SeriesTime = identity.time
    dataset.TimezoneOffsetFromUTC = identity.offset
    dataset.ContributingEquipmentSequence = Sequence(
        item for item in dataset.ContributingEquipmentSequence if item.get("Manufacturer") != _LIBRARY
    )
