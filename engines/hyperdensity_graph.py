"""Writes the graph of ``ct-hyperdensity``: CT of a head in HU → how much of each voxel is denser than brain.

``python -m engines.hyperdensity_graph FILE`` (needs the package ``onnx``). Nothing in it was learned: every number
is below. Voxels are 2 mm long; the skull is looked for on voxels of 4 mm. Guarantee: the same release of ``onnx``
writes the same bytes.

1. Smoothed values above ``DENSE_HU`` are bone or calcium. Skull is what is connected to the outermost of it.
2. Outside is what can be reached from the sides of the field of view without coming within ``SEAL_VOXELS`` of the
   skull: orbits, sutures and the foramen magnum are too narrow for that. Of what remains, the part that holds a
   place ``SEED_VOXELS`` from the skull is the inside of the head; it is grown back to the bone.
3. Found: smoothing that leaves bone out gives a value between ``LOW_HU`` and ``HIGH_HU``, away from the bone,
   where partial volume and beam hardening deceive, in a place that is thicker than a falx, or that lies as a broad
   layer on the bone.
4. Measured: what was found is grown on values that are hardly smoothed, to where the value is midway between what
   is found nearby and the brain around it; at bone, midway between what is found and the bone. So the edge lies
   where it is in the patient, whatever the density, and blurring takes nothing away.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Final

from onnx import GraphProto, ModelProto, TensorProto, checker, helper

from engines.hyperdensity_nodes import Graph

LOW_HU: Final = 50.0
HIGH_HU: Final = 90.0
#: Above it, after smoothing, lies bone or calcium.
DENSE_HU: Final = 120.0
#: A voxel above it within the skull is calcium that the thickness of the slice blurred; so is what is around it.
CALCIUM_HU: Final = 110.0
#: Standard deviation of the smoothing, in voxels of 2 mm: to find, and to measure.
SIGMA: Final = 0.75
FINE_SIGMA: Final = 0.5
#: In voxels of 4 mm.
SEAL_VOXELS: Final = 4
SEED_VOXELS: Final = 7
#: Steps of growth at most: more than any head is long.
STEPS: Final = 96

#: Share of the 27 voxels around a place that lie in the range: sheets and vessels have less.
THICK_SHARE: Final = 0.74
#: Sheets as well where they are denser than a falx of their thickness.
SHEET_SHARE: Final = 0.6
SHEET_HU: Final = 63.0
#: At least three of the 27 voxels around a place are such places: noise makes single ones.
CLUMP_SHARE: Final = 0.1
#: Share of a cube that lies in the range and next to bone: a layer has more than a sinus.
LAYER_SHARE: Final = 0.0175
#: In voxels of 4 mm.
LAYER_REACH_VOXELS: Final = 3
#: How far from such a place its surroundings belong to it, in voxels.
REACH_VOXELS: Final = 6

#: Of the way from the brain to what was found. Half is right for flat edges without noise; chosen on phantoms.
EDGE: Final = 0.48
#: How much of what a smoothing of ``SIGMA`` takes away is given back: blurring makes what is curved smaller.
SHARPENING: Final = 1.0
#: How quickly the output rises at the edge, per way from the brain to what was found.
STEEPNESS: Final = 2.0
#: Of the brain, where nothing of it is around, and the least that what was found must be above it.
BRAIN_HU: Final = 32.0
LEAST_CONTRAST_HU: Final = 12.0
#: Above it a neighbour is bone or calcium, and the edge is midway to it.
BONE_HU: Final = 150.0
#: Steps from what was found to its edge in the brain, and then on to that at the bone.
EDGE_STEPS: Final = 3
BONE_STEPS: Final = 3
#: Voxels around what was found that are looked at to measure it: growth, smoothing and surroundings.
MARGIN: Final = 14

_OPSET: Final = 21
_IR_VERSION: Final = 10


def build() -> ModelProto:
    """The graph: ``hu`` (1, 1, x, y, z) in HU → ``probability`` (1, 2, x, y, z): dense, inside; x, y, z even."""
    graph = Graph()
    values = graph.add("Clip", "hu", graph.number(-200), graph.number(500))
    dense = graph.at_least(graph.smoothed(values, SIGMA), DENSE_HU)
    inside = _inside(graph, dense)

    free = graph.without(dense)
    weight = graph.add("Max", graph.smoothed(free, SIGMA), graph.number(1e-3))
    smooth = graph.add("Div", graph.smoothed(graph.both(values, free), SIGMA), weight)
    blurred = graph.both(graph.at_least(values, CALCIUM_HU), inside)
    bony = graph.dilated(dense, 1)
    apart = graph.both(inside, graph.without(graph.add("Max", bony, graph.dilated(blurred, 2))))
    ranged = graph.both(graph.at_least(smooth, LOW_HU), graph.without(graph.at_least(smooth, HIGH_HU)))
    sure = graph.both(ranged, apart)
    layer = graph.both(graph.both(inside, graph.dilated(bony, 1)), graph.without(bony))
    share = graph.mean_around(sure, 1)
    sheet = graph.both(graph.at_least(share, SHEET_SHARE), graph.at_least(smooth, SHEET_HU))
    thick = graph.both(graph.add("Max", graph.at_least(share, THICK_SHARE), sheet), sure)
    thick = graph.both(thick, graph.at_least(graph.mean_around(thick, 1), CLUMP_SHARE))
    nearby = graph.mean_around(graph.mean_of_eight(graph.both(sure, layer)), LAYER_REACH_VOXELS)
    broad = graph.doubled(graph.at_least(nearby, LAYER_SHARE))
    # Noise tears a thin layer into pieces, so all of them nearby belong to it.
    pieces = graph.both(graph.dilated(graph.both(broad, sure), 4), layer)
    seed = graph.both(graph.add("Max", thick, broad, pieces), sure)

    # What follows is dear and concerns little of the head, and nothing of most heads.
    box = graph.box(seed, MARGIN)
    parts = [graph.cut(part, box) for part in ("hu", smooth, bony, layer, apart, sure, seed)]
    output = graph.put_back(_measured(graph, *parts), box, inside)
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


def _measured(graph: Graph, hu: str, smooth: str, bony: str, layer: str, apart: str, sure: str, seed: str) -> str:
    """How much of each voxel belongs to what was found: at least a half within its edge."""
    found = graph.grown(seed, sure, REACH_VOXELS)
    share = graph.mean_around(found, 1)
    weight = graph.both(_eighth_power(graph, share), found)
    lesion = _mean_nearby(graph, smooth, weight, 0.0, 0.0)
    around = graph.both(apart, graph.without(graph.dilated(graph.add("Max", found, sure), 2)))
    brain = _mean_nearby(graph, smooth, around, BRAIN_HU, 0.01)
    contrast = graph.add("Max", graph.add("Sub", lesion, brain), graph.number(LEAST_CONTRAST_HU))

    values = graph.add("Clip", hu, graph.number(-200), graph.number(500))
    is_bony = graph.add("Cast", bony, to=TensorProto.BOOL)
    value = graph.add("Where", is_bony, values, graph.smoothed(values, FINE_SIGMA))
    part = graph.add("Div", graph.add("Sub", value, brain), contrast)
    part = graph.add("Clip", part, graph.number(-1), graph.number(2))
    lost = graph.add("Sub", part, graph.smoothed(part, SIGMA))
    part = graph.add("Add", part, graph.both(lost, graph.number(SHARPENING)))
    part = graph.add("Min", part, _part_beside_bone(graph, hu, lesion))
    slope = graph.both(graph.add("Sub", part, graph.number(EDGE)), graph.number(STEEPNESS))
    part = graph.add("Clip", graph.add("Add", slope, graph.number(0.5)), graph.number(0), graph.number(1))

    more = graph.at_least(part, 0.5)
    in_brain = graph.both(more, graph.without(bony))
    grown = found
    for _ in range(EDGE_STEPS):
        grown = graph.both(graph.faced(grown), in_brain)
    # On the bone its side is not seen, because bone blurs over all of it: it reaches as far as the layer beside.
    held = graph.add("Max", graph.mean_around(layer, 2), graph.number(1e-6))
    beside = graph.add("Div", graph.mean_around(graph.both(grown, layer), 2), held)
    on_bone = graph.both(graph.both(more, bony), graph.at_least(beside, 0.5))
    for _ in range(BONE_STEPS):
        grown = graph.add("Max", grown, graph.both(graph.faced(grown), on_bone))
    # A ring below one half lets the edge lie between voxels when this is brought to the images.
    ring = graph.both(graph.add("Min", part, graph.number(0.49)), graph.faced(grown))
    return graph.add("Max", graph.both(part, grown), ring, graph.at_least(share, 0.99))


def _part_beside_bone(graph: Graph, hu: str, lesion: str) -> str:
    """Share of a voxel that is no bone, by the largest value next to it; 1 where there is no bone."""
    bone = graph.dilated(hu, 1)
    span = graph.add("Max", graph.add("Sub", bone, lesion), graph.number(1))
    share = graph.add("Div", graph.add("Sub", bone, hu), span)
    return graph.add("Where", graph.add("Greater", bone, graph.number(BONE_HU)), share, graph.number(1))


def _mean_nearby(graph: Graph, value: str, weight: str, otherwise: float, its_weight: float) -> str:
    """Weighted mean within about 10 mm, on voxels of 4 mm."""
    total = graph.mean_around(graph.mean_of_eight(graph.both(value, weight)), 2)
    weights = graph.mean_around(graph.mean_of_eight(weight), 2)
    if its_weight:
        total = graph.add("Add", total, graph.number(otherwise * its_weight))
        weights = graph.add("Add", weights, graph.number(its_weight))
    return graph.doubled(graph.add("Div", total, graph.add("Max", weights, graph.number(1e-9))))


def _eighth_power(graph: Graph, value: str) -> str:
    """Counts the middle of what was found, and little of its rim."""
    for _ in range(3):
        value = graph.both(value, value)
    return value


def _inside(graph: Graph, dense: str) -> str:
    """Space within the skull, without what is dense."""
    coarse = graph.any_of_eight(dense)
    skull = graph.grown(graph.first_from_sides(coarse), coarse, STEPS)
    far = graph.without(graph.dilated(skull, SEAL_VOXELS))
    outside = graph.grown(graph.sides(skull), far, STEPS * 2)
    enclosed = graph.both(far, graph.without(outside))
    seed = graph.both(enclosed, graph.without(graph.dilated(skull, SEED_VOXELS)))
    core = graph.grown(seed, enclosed, STEPS)
    reach = graph.both(graph.dilated(core, SEAL_VOXELS), graph.without(skull))
    room = graph.grown(core, reach, 2 * SEAL_VOXELS)
    free = graph.without(dense)
    fine = graph.both(graph.doubled(room), free)
    for _ in range(3):
        fine = graph.both(graph.faced(fine), free)
    return fine


def main() -> None:
    """Write the graph to the file that the command line names."""
    Path(sys.argv[1]).write_bytes(build().SerializeToString(deterministic=True))


if __name__ == "__main__":
    main()
