"""Nodes of an ONNX graph that works on volumes (1, 1, x, y, z): masks, smoothing, growth, boxes.

What :mod:`engines.hyperdensity_graph` is written with. Guarantee: the same calls give the same nodes and names.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

AXES: Final = (2, 3, 4)
SIDES: Final = (2, 3)


class Graph:
    """Nodes and constants, each under a name of its own."""

    def __init__(self, prefix: str = "") -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self._prefix = prefix

    def constant(self, value: NDArray[np.generic]) -> str:
        """An array."""
        name = f"{self._prefix}c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def number(self, value: float) -> str:
        """A float32."""
        return self.constant(np.array(value, np.float32))

    def whole(self, *values: int) -> str:
        """An array of int64."""
        return self.constant(np.array(values, np.int64))

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """A node with one output, whose name is returned."""
        name = f"{self._prefix}n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    # ---- masks are float32, 0 or 1

    def at_least(self, value: str, limit: float) -> str:
        """Where a value is so large."""
        return self.mask(self.add("GreaterOrEqual", value, self.number(limit)))

    def mask(self, truth: str) -> str:
        """A mask of booleans."""
        return self.add("Cast", truth, to=TensorProto.FLOAT)

    def without(self, mask: str) -> str:
        """What is not in a mask."""
        return self.add("Sub", self.number(1), mask)

    def both(self, one: str, other: str) -> str:
        """Product: of masks, what is in both."""
        return self.add("Mul", one, other)

    def dilated(self, mask: str, voxels: int) -> str:
        """By a cube, one axis after the other."""
        for axis in range(3):
            kernel, pads = [1, 1, 1], [0] * 6
            kernel[axis], pads[axis], pads[axis + 3] = 2 * voxels + 1, voxels, voxels
            mask = self.add("MaxPool", mask, kernel_shape=kernel, pads=pads)
        return mask

    def faced(self, mask: str) -> str:
        """By one voxel through its faces."""
        parts = [mask]
        for axis in range(3):
            kernel, pads = [1, 1, 1], [0] * 6
            kernel[axis], pads[axis], pads[axis + 3] = 3, 1, 1
            parts.append(self.add("MaxPool", mask, kernel_shape=kernel, pads=pads))
        return self.add("Max", *parts)

    def mean_around(self, value: str, voxels: int) -> str:
        """Mean over a cube; beyond the volume lie zeros."""
        size = 2 * voxels + 1
        return self._filtered(value, np.full(size, 1 / size, np.float32))

    def smoothed(self, value: str, sigma: float) -> str:
        """Gaussian with a standard deviation in voxels; beyond the volume lie zeros."""
        taps = np.exp(-(np.arange(-2, 3) ** 2) / (2 * sigma**2))
        return self._filtered(value, (taps / taps.sum()).astype(np.float32))

    def _filtered(self, value: str, taps: NDArray[np.float32]) -> str:
        """Along one axis after the other, which convolutions do twice as fast as poolings."""
        reach = len(taps) // 2
        for axis in range(3):
            shape, pads = [1, 1, 1, 1, 1], [0] * 6
            shape[axis + 2], pads[axis], pads[axis + 3] = len(taps), reach, reach
            value = self.add("Conv", value, self.constant(taps.reshape(shape)), pads=pads)
        return value

    def first_from_sides(self, mask: str) -> str:
        """Voxels of a mask that are the first on their way from one of the four sides."""
        found = ""
        for axis in SIDES:
            for reverse in (0, 1):
                count = self.add("CumSum", mask, self.constant(np.array(axis, np.int64)), reverse=reverse)
                first = self.both(mask, self.mask(self.add("Less", count, self.number(1.5))))
                found = first if not found else self.add("Max", found, first)
        return found

    def sides(self, like: str) -> str:
        """The four faces of the volume that are no end of the stack."""
        inner = like
        for axis in SIDES:
            whole = self.add("Shape", inner, start=axis, end=axis + 1)
            last = self.add("Sub", whole, self.whole(1))
            inner = self.add("Slice", inner, self.whole(1), last, self.whole(axis))
        # zeros inside, padded by ones along x and y
        zeros = self.add("Mul", inner, self.number(0))
        pads = self.whole(0, 0, 1, 1, 0, 0, 0, 1, 1, 0)
        return self.add("Pad", zeros, pads, self.number(1))

    def any_of_eight(self, mask: str) -> str:
        """On voxels twice as long."""
        return self.add("MaxPool", mask, kernel_shape=[2, 2, 2], strides=[2, 2, 2])

    def mean_of_eight(self, value: str) -> str:
        """On voxels twice as long."""
        taps = self.constant(np.full((1, 1, 2, 2, 2), 1 / 8, np.float32))
        return self.add("Conv", value, taps, strides=[2, 2, 2])

    def doubled(self, value: str) -> str:
        """On voxels half as long, eight of each. Far quicker than Resize, which is written for pictures."""
        shape = self.add("Shape", value)
        apart = self.add("Unsqueeze", value, self.whole(3, 5, 7))
        eight = self.add("Expand", apart, self.whole(1, 1, 1, 2, 1, 2, 1, 2))
        return self.add("Reshape", eight, self.add("Mul", shape, self.whole(1, 1, 2, 2, 2)))

    def box(self, mask: str, margin: int) -> tuple[str, str]:
        """First and last corner of what a mask holds, with a margin (even); of an empty one, a small corner."""
        some = self.add("Cast", self.add("ReduceMax", mask, keepdims=0), to=TensorProto.INT64)
        starts: list[str] = []
        ends: list[str] = []
        for axis in range(2, 5):
            others = self.whole(*(other for other in range(5) if other != axis))
            profile = self.add("ReduceMax", mask, others, keepdims=0)
            size = self.add("Shape", mask, start=axis, end=axis + 1)
            for last, found in ((0, starts), (1, ends)):
                index = self.add("ArgMax", profile, axis=0, keepdims=1, select_last_index=last)
                index = self.add("Mul", index, some)
                moved = self.add("Add", index, self.whole(margin + 1 if last else -margin))
                inside = self.add("Max", self.whole(0), self.add("Min", moved, size))
                odd = self.add("Mod", inside, self.whole(2))
                found.append(self.add("Add" if last else "Sub", inside, odd))
        return self.add("Concat", *starts, axis=0), self.add("Concat", *ends, axis=0)

    def cut(self, value: str, box: tuple[str, str]) -> str:
        """What lies in a box."""
        return self.add("Slice", value, *box, self.whole(*AXES))

    def put_back(self, part: str, box: tuple[str, str], like: str) -> str:
        """A volume of zeros with what lies in a box."""
        size = self.add("Shape", like, start=2, end=5)
        none = self.whole(0, 0)
        pads = self.add("Concat", none, box[0], none, self.add("Sub", size, box[1]), axis=0)
        return self.add("Pad", part, pads, self.number(0))

    def grown(self, seed: str, allowed: str, steps: int) -> str:
        """What can be reached from a seed within a mask, voxel by voxel, until nothing new is reached."""
        body = Graph(f"{self._prefix}b{len(self.nodes)}_")
        wider = body.both(body.faced("reached"), allowed)
        more = body.add(
            "Greater", body.add("ReduceSum", wider, keepdims=0), body.add("ReduceSum", "reached", keepdims=0)
        )
        volume: list[str | int | None] = [1, 1, "x", "y", "z"]
        loop = helper.make_graph(
            body.nodes,
            "grow",
            [
                helper.make_tensor_value_info("step", TensorProto.INT64, []),
                helper.make_tensor_value_info("going", TensorProto.BOOL, []),
                helper.make_tensor_value_info("reached", TensorProto.FLOAT, volume),
            ],
            [
                helper.make_tensor_value_info(more, TensorProto.BOOL, []),
                helper.make_tensor_value_info(wider, TensorProto.FLOAT, volume),
            ],
            body.constants,
        )
        count = self.constant(np.array(steps, np.int64))
        return self.add("Loop", count, self.constant(np.array(True)), self.both(seed, allowed), body=loop)
