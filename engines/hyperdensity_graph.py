"""Writes the graph of ``ct-hyperdensity``: CT of a head in HU → how likely each voxel is denser than brain.

``python -m engines.hyperdensity_graph FILE`` (needs the package ``onnx``). Nothing in it was learned: every number
is below. Voxels are 2 mm long; the skull is looked for on voxels of 4 mm. Guarantee: the same release of ``onnx``
writes the same bytes.

1. Smoothed values above ``DENSE_HU`` are bone or calcium. Skull is what is connected to the outermost of it.
2. Outside is what can be reached from the sides of the field of view without coming within ``SEAL_VOXELS`` of the
   skull: orbits, sutures and the foramen magnum are too narrow for that. Of what remains, the part that holds a
   place ``SEED_VOXELS`` from the skull is the inside of the head; it is grown back to the bone.
3. Smoothing that leaves bone out gives the value that counts: between ``LOW_HU`` and ``HIGH_HU``, away from the
   bone, where partial volume and beam hardening deceive. What was found so is grown up to the bone, and then by
   one voxel where the value itself lies between the limits: smoothing alone makes things smaller.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

LOW_HU: Final = 50.0
HIGH_HU: Final = 90.0
#: How quickly the probability rises at either limit.
SLOPE_HU: Final = 2.0
#: Above it, after smoothing, lies bone or calcium.
DENSE_HU: Final = 120.0
#: A voxel above it within the skull is calcium that the thickness of the slice blurred; so is what is around it.
CALCIUM_HU: Final = 110.0
#: Standard deviation of the smoothing, in voxels of 2 mm.
SIGMA: Final = 0.75
#: In voxels of 4 mm.
SEAL_VOXELS: Final = 4
SEED_VOXELS: Final = 7
#: Steps of growth at most: more than any head is long.
STEPS: Final = 96

_OPSET: Final = 21
_IR_VERSION: Final = 10
_AXES: Final = (2, 3, 4)
_SIDES: Final = (2, 3)


class _Graph:
    """Nodes and constants, each under a name of its own."""

    def __init__(self, prefix: str = "") -> None:
        self.nodes: list[NodeProto] = []
        self.constants: list[TensorProto] = []
        self._prefix = prefix

    def constant(self, value: NDArray[np.generic]) -> str:
        name = f"{self._prefix}c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(value, name))
        return name

    def number(self, value: float) -> str:
        return self.constant(np.array(value, np.float32))

    def whole(self, *values: int) -> str:
        return self.constant(np.array(values, np.int64))

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        name = f"{self._prefix}n{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    # ---- masks are float32, 0 or 1

    def at_least(self, value: str, limit: float) -> str:
        return self.mask(self.add("GreaterOrEqual", value, self.number(limit)))

    def mask(self, truth: str) -> str:
        return self.add("Cast", truth, to=TensorProto.FLOAT)

    def without(self, mask: str) -> str:
        return self.add("Sub", self.number(1), mask)

    def both(self, one: str, other: str) -> str:
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
        found = mask
        for axis in range(3):
            kernel, pads = [1, 1, 1], [0] * 6
            kernel[axis], pads[axis], pads[axis + 3] = 3, 1, 1
            found = self.add("Max", found, self.add("MaxPool", mask, kernel_shape=kernel, pads=pads))
        return found

    def smoothed(self, value: str) -> str:
        """Gaussian; beyond the volume lie zeros."""
        reach = 2
        taps = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * SIGMA**2))
        taps = (taps / taps.sum()).astype(np.float32)
        for axis in range(3):
            shape, pads = [1, 1, 1, 1, 1], [0] * 6
            shape[axis + 2], pads[axis], pads[axis + 3] = len(taps), reach, reach
            value = self.add("Conv", value, self.constant(taps.reshape(shape)), pads=pads)
        return value

    def first_from_sides(self, mask: str) -> str:
        """Voxels of a mask that are the first on their way from one of the four sides."""
        found = ""
        for axis in _SIDES:
            for reverse in (0, 1):
                count = self.add("CumSum", mask, self.constant(np.array(axis, np.int64)), reverse=reverse)
                first = self.both(mask, self.mask(self.add("Less", count, self.number(1.5))))
                found = first if not found else self.add("Max", found, first)
        return found

    def sides(self, like: str) -> str:
        """The four faces of the volume that are no end of the stack."""
        inner = like
        for axis in _SIDES:
            whole = self.add("Shape", inner, start=axis, end=axis + 1)
            last = self.add("Sub", whole, self.whole(1))
            inner = self.add("Slice", inner, self.whole(1), last, self.whole(axis))
        # zeros inside, padded by ones along x and y
        zeros = self.add("Mul", inner, self.number(0))
        pads = self.whole(0, 0, 1, 1, 0, 0, 0, 1, 1, 0)
        return self.add("Pad", zeros, pads, self.number(1))

    def grown(self, seed: str, allowed: str, steps: int) -> str:
        """What can be reached from a seed within a mask, voxel by voxel, until nothing new is reached."""
        body = _Graph(f"{self._prefix}b{len(self.nodes)}_")
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


def build() -> ModelProto:
    """The graph: ``hu`` (1, 1, x, y, z) in HU → ``probability`` (1, 2, x, y, z): dense, inside; x, y, z even."""
    graph = _Graph()
    values = graph.add("Clip", "hu", graph.number(-200), graph.number(500))
    dense = graph.at_least(graph.smoothed(values), DENSE_HU)
    inside = _inside(graph, dense)

    free = graph.without(dense)
    weight = graph.add("Max", graph.smoothed(free), graph.number(1e-3))
    smooth = graph.add("Div", graph.smoothed(graph.both(values, free)), weight)
    likely = graph.both(_in_range(graph, smooth), inside)
    blurred = graph.both(graph.at_least(values, CALCIUM_HU), inside)
    apart = graph.both(graph.without(graph.dilated(dense, 1)), graph.without(graph.dilated(blurred, 2)))
    sure = graph.both(graph.at_least(likely, 0.5), apart)
    grown = graph.both(likely, graph.dilated(sure, 2))
    taken = graph.dilated(graph.at_least(grown, 0.5), 1)
    edge = graph.both(graph.both(_in_range(graph, values), graph.dilated(inside, 1)), taken)
    output = graph.add("Max", grown, edge)
    graph.nodes.append(helper.make_node("Concat", [output, inside], ["probability"], axis=1))

    made: GraphProto = helper.make_graph(
        graph.nodes,
        "ct-hyperdensity",
        [helper.make_tensor_value_info("hu", TensorProto.FLOAT, [1, 1, "x", "y", "z"])],
        [helper.make_tensor_value_info("probability", TensorProto.FLOAT, [1, 2, "x", "y", "z"])],
        graph.constants,
    )
    opsets = [helper.make_opsetid("", _OPSET)]
    model = helper.make_model(made, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="scanstream")
    checker.check_model(model)
    return model


def _in_range(graph: _Graph, value: str) -> str:
    """How likely a value lies between the limits."""
    slope = graph.number(SLOPE_HU)
    rising = graph.add("Div", graph.add("Sub", value, graph.number(LOW_HU)), slope)
    falling = graph.add("Div", graph.add("Sub", graph.number(HIGH_HU), value), slope)
    return graph.both(graph.add("Sigmoid", rising), graph.add("Sigmoid", falling))


def _inside(graph: _Graph, dense: str) -> str:
    """Space within the skull, without what is dense."""
    coarse = graph.add("MaxPool", dense, kernel_shape=[2, 2, 2], strides=[2, 2, 2])
    skull = graph.grown(graph.first_from_sides(coarse), coarse, STEPS)
    far = graph.without(graph.dilated(skull, SEAL_VOXELS))
    outside = graph.grown(graph.sides(skull), far, STEPS * 2)
    enclosed = graph.both(far, graph.without(outside))
    seed = graph.both(enclosed, graph.without(graph.dilated(skull, SEED_VOXELS)))
    core = graph.grown(seed, enclosed, STEPS)
    reach = graph.both(graph.dilated(core, SEAL_VOXELS), graph.without(skull))
    room = graph.grown(core, reach, 2 * SEAL_VOXELS)
    free = graph.without(dense)
    scales = graph.constant(np.array([1, 1, 2, 2, 2], np.float32))
    fine = graph.add(
        "Resize",
        room,
        "",
        scales,
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    )
    fine = graph.both(fine, free)
    for _ in range(3):
        fine = graph.both(graph.faced(fine), free)
    return fine


def main() -> None:
    """Write the graph to the file that the command line names."""
    Path(sys.argv[1]).write_bytes(build().SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
