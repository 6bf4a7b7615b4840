"""The peer of ``throughput.py``: what one writes first, pydicom and onnxruntime in a loop.

``python -m benchmarks.plain_inference WORK.json``: fetch a series by WADO-RS, stack its pixels, resample, infer,
resample back, threshold, keep the largest component, save the mask; then the next. Where the model is on a server,
the volume is sent window by window as it is. It prints the seconds for all series, without the loading of the
model. Nothing is checked, nothing is durable, nobody is told.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from dicomweb_client.api import DICOMwebClient
from numpy.typing import NDArray
from scipy import ndimage

from engines.base import Engine
from engines.triton_http import TritonHttpEngine


def segment(client: Any, session: Any, study: str, series: str, grid: int, folder: Path) -> None:
    """One series."""
    volume = volume_of(client, study, series)
    spec = session.get_inputs()[0]
    small = ndimage.zoom(volume, [grid / size for size in volume.shape], order=1)
    shape = [size if isinstance(size, int) else 1 for size in spec.shape]
    (answer,) = session.run(None, {spec.name: (small / small.max()).reshape(shape)})
    back = [size / grid for size in volume.shape]
    mask = ndimage.zoom(answer.reshape(grid, grid, grid), back, order=1) >= 0.5
    save(mask, folder / f"{series}.npy")


def by_windows(client: Any, engine: Engine, study: str, series: str, folder: Path) -> None:
    """One series, on a server."""
    volume = volume_of(client, study, series)
    volume = (volume / volume.max()).transpose(2, 1, 0)
    (spec,) = engine.inputs()
    window = [int(size) for size in spec.dims[1:4]]
    answer = np.empty(volume.shape, np.float32)
    for x, y, z in product(*(range(0, size, step) for size, step in zip(volume.shape, window, strict=True))):
        part = slice(x, x + window[0]), slice(y, y + window[1]), slice(z, z + window[2])
        tensor = np.ascontiguousarray(volume[part])[None, ..., None]
        answer[part] = engine.infer({spec.name: tensor})["out"][0, ..., 0]
    save(answer.transpose(2, 1, 0) >= 0.5, folder / f"{series}.npy")


def volume_of(client: Any, study: str, series: str) -> NDArray[np.float32]:
    """Slices, rows, columns."""
    images = client.retrieve_series(study, series, media_types=(("application/dicom", "*"),))
    images.sort(key=lambda image: float(image.ImagePositionPatient[2]))
    return np.stack([image.pixel_array for image in images]).astype(np.float32)


def save(mask: NDArray[np.bool_], file: Path) -> None:
    """The largest part of a mask."""
    labels, count = ndimage.label(mask)
    if count:
        mask = labels == 1 + np.argmax(np.bincount(labels.ravel())[1:])
    np.save(file, mask)


def main() -> int:
    """See the module."""
    work = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    client = DICOMwebClient(work["dicom_web"])
    server = TritonHttpEngine(work["server"], work["name"]) if work["server"] else None
    session = None if server else onnxruntime.InferenceSession(work["model"], providers=["CPUExecutionProvider"])
    with tempfile.TemporaryDirectory() as folder:
        started = time.perf_counter()
        for study, series in work["series"]:
            if server is not None:
                by_windows(client, server, study, series, Path(folder))
            else:
                segment(client, session, study, series, work["grid"], Path(folder))
        sys.stdout.write(f"{time.perf_counter() - started}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
