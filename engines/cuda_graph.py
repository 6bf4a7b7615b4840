"""Work put on a CUDA stream → a graph that puts it there again with one call.

PyCUDA has no graphs, so the six calls are made to the driver itself (CUDA Driver API, "Graph Management"); their
names and arguments have been the same since CUDA 11.4.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any, Final

from schemas.errors import TransientFailure

#: CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: what other threads do meanwhile is none of this capture's business.
_THREAD_LOCAL: Final = 1
_ARGUMENTS: Final[dict[str, tuple[Any, ...]]] = {
    "cuStreamBeginCapture_v2": (ctypes.c_void_p, ctypes.c_int),
    "cuStreamEndCapture": (ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p)),
    "cuGraphInstantiateWithFlags": (ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p, ctypes.c_ulonglong),
    "cuGraphLaunch": (ctypes.c_void_p, ctypes.c_void_p),
    "cuGraphDestroy": (ctypes.c_void_p,),
    "cuGraphExecDestroy": (ctypes.c_void_p,),
}


def library() -> Any:
    """The CUDA driver.

    Raises
    ------
    OSError
        It is not installed.
    """
    return typed(ctypes.CDLL("libcuda.so.1"))


def typed(loaded: ctypes.CDLL) -> ctypes.CDLL:
    """The same library, with the types of the calls that are made here."""
    for name, arguments in _ARGUMENTS.items():
        call = getattr(loaded, name)
        call.argtypes, call.restype = arguments, ctypes.c_int
    return loaded


class CudaGraph:
    """What was put on a stream once, ready to be put there again; the context must be current for every call.

    Parameters
    ----------
    driver
        :func:`library`.
    stream
        Handle of the stream.
    enqueue
        Puts the work on the stream; must neither allocate nor wait.

    Raises
    ------
    TransientFailure
        The work cannot be captured.
    """

    def __init__(self, driver: Any, stream: int, enqueue: Callable[[], None]) -> None:
        self._driver, self._stream = driver, stream
        graph, self._ready = ctypes.c_void_p(), ctypes.c_void_p()
        self._call("cuStreamBeginCapture_v2", stream, _THREAD_LOCAL)
        try:
            enqueue()
        finally:
            # a stream whose capture is not ended takes no other work
            ended = driver.cuStreamEndCapture(stream, ctypes.byref(graph))
        _check("cuStreamEndCapture", ended)
        try:
            self._call("cuGraphInstantiateWithFlags", ctypes.byref(self._ready), graph, 0)
        finally:
            driver.cuGraphDestroy(graph)

    def launch(self) -> None:
        """Put the work on the stream."""
        self._call("cuGraphLaunch", self._ready, self._stream)

    def close(self) -> None:
        """Give the graph back; harmless when it is said twice."""
        if self._ready.value is not None:
            self._driver.cuGraphExecDestroy(self._ready)
            self._ready = ctypes.c_void_p()

    def _call(self, name: str, *arguments: Any) -> None:
        _check(name, getattr(self._driver, name)(*arguments))


def _check(name: str, status: int) -> None:
    if status != 0:
        raise TransientFailure(f"{name} failed with CUresult {status}: the model runs without a graph")
