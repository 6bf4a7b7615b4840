"""First visible GPU → a context, a stream and memory for one model, by PyCUDA.

Only this module and :mod:`engines.tensorrt_engine` touch the GPU; nothing is imported before a device is opened.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.memory import says_out_of_memory
from engines.tensorrt_plan import Gpu
from schemas.errors import OutOfMemory, TransientFailure


def unavailable() -> str | None:
    """Why no GPU can be used here, or ``None``."""
    if importlib.util.find_spec("pycuda") is None:
        return "pycuda is not installed: install scanstream[gpu] on a machine with an NVIDIA driver"
    try:
        import pycuda.driver as driver

        driver.init()
        count = driver.Device.count()
    except Exception as error:  # noqa: BLE001  # a missing driver shows as an ImportError or as PyCUDA's own errors
        return f"CUDA cannot be started ({error}): install the NVIDIA driver, or run the worker on the CPU"
    if count == 0:
        return "no GPU is visible: look at CUDA_VISIBLE_DEVICES and at nvidia-smi"
    return None


class Cuda:
    """The first visible GPU: its primary context, which all of this process shares, and a stream of its own."""

    def __init__(self) -> None:
        import pycuda.driver as driver

        self._driver = driver
        device = driver.Device(0)
        major, minor = device.compute_capability()
        self.gpu = Gpu(str(device.name()), f"{major}.{minor}")
        self._context = device.retain_primary_context()
        with self.current():
            self._stream = driver.Stream()
        self.stream = int(self._stream.handle)

    @contextmanager
    def current(self) -> Iterator[None]:
        """Make the context this thread's; PyCUDA's errors leave as ours.

        Raises
        ------
        OutOfMemory
            The GPU has no memory for it.
        TransientFailure
            A call to CUDA failed.
        """
        self._context.push()
        try:
            yield
        except self._driver.MemoryError as error:
            raise OutOfMemory(f"the GPU: {error}; a smaller batch is tried, then another node") from error
        except self._driver.Error as error:
            kind = OutOfMemory if says_out_of_memory(str(error)) else TransientFailure
            raise kind(f"CUDA failed: {error}; it is tried again") from error
        finally:
            self._context.pop()

    def device_memory(self, size: int) -> Any:
        """``size`` bytes of the GPU; ``int()`` of it is its address."""
        return self._driver.mem_alloc(size)

    def pinned(self, size: int) -> NDArray[np.uint8]:
        """``size`` bytes of the host that the GPU copies from and to without a stop in between."""
        block: NDArray[np.uint8] = self._driver.pagelocked_empty(size, np.uint8)
        return block

    def to_device(self, memory: Any, block: NDArray[np.uint8]) -> None:
        """Copy, in the order of the stream; ``block`` must be pinned."""
        self._driver.memcpy_htod_async(memory, block, self._stream)

    def to_host(self, block: NDArray[np.uint8], memory: Any) -> None:
        """Copy, in the order of the stream; ``block`` must be pinned."""
        self._driver.memcpy_dtoh_async(block, memory, self._stream)

    def wait(self) -> None:
        """Wait until the stream is empty."""
        self._stream.synchronize()
