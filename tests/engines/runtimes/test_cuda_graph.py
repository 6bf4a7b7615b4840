"""The calls to the CUDA driver, made to a library that was compiled here and writes down what reaches it."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

from engines.cuda_graph import CudaGraph, typed
from schemas.errors import TransientFailure
from tests.tools import missing

SOURCE = r"""
#include <stdint.h>
#include <stdio.h>
char said[1000]; int at = 0; int refuse = 0;
#define SAY(...) at += snprintf(said + at, sizeof said - at, __VA_ARGS__)
int cuStreamBeginCapture_v2(void *s, int mode) { SAY("begin %llx %d;", (long long)(intptr_t)s, mode); return 0; }
int cuStreamEndCapture(void *s, void **g) { SAY("end;"); *g = (void *)0x7ffffffff001ULL; return refuse; }
int cuGraphInstantiateWithFlags(void **e, void *g, unsigned long long f)
{ SAY("make %llx %llu;", (long long)(intptr_t)g, f); *e = (void *)0x7ffffffff002ULL; return 0; }
int cuGraphLaunch(void *e, void *s) { SAY("launch %llx %llx;", (long long)(intptr_t)e, (long long)(intptr_t)s); return 0; }
int cuGraphDestroy(void *g) { SAY("forget %llx;", (long long)(intptr_t)g); return 0; }
int cuGraphExecDestroy(void *e) { SAY("end %llx;", (long long)(intptr_t)e); return 0; }
"""  # noqa: E501
#: A handle that does not fit into 32 bits, as those of CUDA do not.
STREAM = 0x7FFFFFFFF000


@pytest.fixture
def driver(tmp_path: Path) -> ctypes.CDLL:
    if (compiler := shutil.which("cc")) is None:
        missing("cc is not installed (Debian: gcc)")
    (tmp_path / "cuda.c").write_text(SOURCE)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", tmp_path / "cuda.so", tmp_path / "cuda.c"], check=True)
    return typed(ctypes.CDLL(str(tmp_path / "cuda.so")))


def said(driver: ctypes.CDLL) -> str:
    return ctypes.string_at(ctypes.addressof(ctypes.c_char.in_dll(driver, "said"))).decode()


def test_work_is_captured_once_and_launched_often(driver: ctypes.CDLL) -> None:
    enqueued = []
    graph = CudaGraph(driver, STREAM, lambda: enqueued.append(said(driver)))
    graph.launch()
    graph.launch()
    graph.close()
    graph.close()
    assert enqueued == ["begin 7ffffffff000 1;"]
    assert said(driver) == (
        "begin 7ffffffff000 1;end;make 7ffffffff001 0;forget 7ffffffff001;"
        "launch 7ffffffff002 7ffffffff000;launch 7ffffffff002 7ffffffff000;end 7ffffffff002;"
    )


def test_a_capture_that_fails_is_ended_all_the_same(driver: ctypes.CDLL) -> None:
    def enqueue() -> None:
        raise TransientFailure("within")

    with pytest.raises(TransientFailure, match="within"):
        CudaGraph(driver, STREAM, enqueue)
    assert said(driver) == "begin 7ffffffff000 1;end;"


def test_what_the_driver_refuses_is_said(driver: ctypes.CDLL) -> None:
    ctypes.c_int.in_dll(driver, "refuse").value = 901
    with pytest.raises(TransientFailure, match="cuStreamEndCapture failed with CUresult 901"):
        CudaGraph(driver, STREAM, lambda: None)
