"""A stored instance → its attributes in DICOM JSON, without bulk data (PS3.18 10.4.1.1.2). Blocking."""

from __future__ import annotations

from collections.abc import Container

from producers.dicomweb.dicom_json import Json, key, to_json
from producers.dicomweb.stored import opened
from producers.store import StoredInstance


def metadata_of(stored: StoredInstance, base_url: str, only: Container[int] | None = None) -> Json:
    """DICOM JSON of an instance; bulk data is a ``BulkDataURI`` of this service.

    Parameters
    ----------
    stored
        Instance.
    base_url
        Root of the DICOMweb service.
    only
        Tags to give; ``None`` is all.

    Raises
    ------
    OSError
        The file is gone.
    """
    url = f"{instance_url(stored, base_url)}/bulkdata"
    with opened(stored) as instance:
        document = to_json(instance.header, url, only)
        pixels = instance.pixels
        if pixels is not None and (only is None or pixels.tag in only):
            document[key(pixels.tag)] = {"vr": pixels.vr, "BulkDataURI": f"{url}/{key(pixels.tag)}"}
    return document


def instance_url(stored: StoredInstance, base_url: str) -> str:
    """Resource of an instance."""
    return (
        f"{base_url}/studies/{stored.study_instance_uid}/series/{stored.series_instance_uid}"
        f"/instances/{stored.sop_instance_uid}"
    )
