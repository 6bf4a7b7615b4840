"""The peer of ``throughput.py``: what one writes first, pydicom and onnxruntime in a loop.

``python -m benchmarks.plain_inference WORK.json``: fetch a series by WADO-RS, stack its pixels, resample, infer,
resample back, threshold, keep the largest component, save the mask; then the next. It prints the seconds for all
series, without the loading of the model. Nothing is checked, nothing is durable, nobody is told.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from dicomweb_client.api import DICOMwebClient
from scipy import ndimage


def segment(client: Any, session: Any, study: str, series: str, grid: int, folder: Path) -> None:
    """One series."""
    images = client.retrieve_series(study, series, media_types=(("application/dicom", "*"),))
    images.sort(key=lambda image: float(image.ImagePositionPatient[2]))
    volume = np.stack([image.pixel_array for image in images]).astype(np.float32)
    spec = session.get_inputs()[0]
    small = ndimage.zoom(volume, [grid / size for size in volume.shape], order=1)
    shape = [size if isinstance(size, int) else 1 for size in spec.shape]
    (answer,) = session.run(None, {spec.name: (small / small.max()).reshape(shape)})
    back = [size / grid for size in volume.shape]
    mask = ndimage.zoom(answer.reshape(grid, grid, grid), back, order=1) >= 0.5
    labels, count = ndimage.label(mask)
    if count:
        mask = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    np.save(folder / f"{series}.npy", mask)


def main() -> int:
    """See the module."""
    work = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    client = DICOMwebClient(work["dicom_web"])
    session = onnxruntime.InferenceSession(work["model"], providers=["CPUExecutionProvider"])
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        for study, series in work["series"]:
            segment(client, session, study, series, work["grid"], Path(folder))
        sys.stdout.write(f"{time.perf_counter() - started}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
