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
from consumers.dicom.texts import long_string, short_text, unlimited_text
from schemas.events import InferenceResult, ModelIdentity

#: (0008,0070) of everything that we make: our gateway knows its own objects by it and starts no inference on them.
MANUFACTURER: Final = "scanstream"

_LIBRARY: Final = "Highdicom open-source contributors"


def general_equipment(model: ModelIdentity) -> dict[str, Any]:
    """Enhanced General Equipment module (PS3.3 C.7.5.2), all four attributes with a value (type 1)."""
    return {
        "manufacturer": MANUFACTURER,
        "manufacturer_model_name": _name(model),
        "software_versions": _version(model),
        "device_serial_number": long_string(model.sha256[:16], model.device_uid),
    }


def contributing_equipment(result: InferenceResult, identity: ObjectIdentity) -> Any:
    """Item of Contributing Equipment Sequence (0018,A001) for the algorithm, with its Device UID (0018,1002)."""
    model = result.model
    warned = (*result.warnings, *result.image_quality_warnings, *result.out_of_domain_warnings)
    said = "; ".join(part for part in (result.limitations, *warned) if part)
    item = hd.ContributingEquipment(
        _manufacturer(model),
        PROCESSING_EQUIPMENT,
        manufacturer_model_name=_name(model),
        software_versions=_version(model),
        contribution_datetime=identity.date_time,
        contribution_description=short_text(said) or None,
    )
    item.DeviceUID = model.device_uid
    if model.udi:
        udi = Dataset()
        udi.UniqueDeviceIdentifier = unlimited_text(model.udi)
        udi.DeviceDescription = _name(model)
        item.UDISequence = Sequence([udi])
    return item


def algorithm_sequence(model: ModelIdentity) -> Any:
    """Algorithm Identification macro (PS3.3 10.16) of a segment."""
    return hd.AlgorithmIdentificationSequence(
        name=_name(model),
        family=ARTIFICIAL_INTELLIGENCE,
        version=_version(model),
        source=_manufacturer(model),
    )


def algorithm_template(model: ModelIdentity) -> Any:
    """Algorithm Identification (PS3.16 TID 4019) of a measurement."""
    return hd.sr.AlgorithmIdentification(
        name=_name(model),
        version=_version(model),
        family=ARTIFICIAL_INTELLIGENCE,
        manufacturer=_manufacturer(model),
    )


def observer(model: ModelIdentity) -> Any:
    """Observer context of a device (PS3.16 TID 1002, 1004)."""
    return hd.sr.ObserverContext(
        observer_type=DEVICE,
        observer_identifying_attributes=hd.sr.DeviceObserverIdentifyingAttributes(
            uid=model.device_uid,
            name=_name(model),
            manufacturer_name=_manufacturer(model),
            model_name=_name(model),
            serial_number=general_equipment(model)["device_serial_number"],
        ),
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


def _name(model: ModelIdentity) -> str:
    return long_string(model.name, "unnamed")


def _version(model: ModelIdentity) -> str:
    return long_string(model.version, "unknown")


def _manufacturer(model: ModelIdentity) -> str:
    return long_string(model.manufacturer, "unknown")
