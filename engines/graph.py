"""Declared input and outputs + ``config.pbtxt`` → how arrays are laid out for the graph, and read from it.

Guarantee: what the metadata declares fits the graph's tensors before the first study comes, and an answer of
another shape, or of values that are no numbers, is refused and never interpreted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.base import Tensors
from engines.config_pbtxt import ModelConfig, TensorSpec
from engines.metadata import ModelMetadata
from engines.output_policy import ClassificationOutput, DetectionOutput, SegmentationOutput
from schemas.errors import ConfigurationError, InvalidInput

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Graph:
    """The graph's input as the metadata sees it.

    Attributes
    ----------
    input
        Name, dtype and dims.
    layout
        Its axes, a letter each.
    spatial
        Letters of the spatial axes in the order of the model's axes.
    window
        Size along them; -1 where it takes any.
    batch
        Most rows in one request.
    """

    input: TensorSpec
    layout: str
    spatial: str
    window: tuple[int, ...]
    batch: int

    def tensor(self, rows: Sequence[Floats]) -> NDArray[Any]:
        """Input of the graph.

        Parameters
        ----------
        rows
            float32 each, spatial axes in the order x, y (and z), then channels.
        """
        stacked = np.stack(rows)
        order = [("N" + self.spatial + "C").index(letter) for letter in self.layout]
        left = [axis for axis in range(stacked.ndim) if axis not in order]
        laid = stacked.transpose(left + order).reshape([stacked.shape[axis] for axis in order])
        dtype = np.dtype(self.input.dtype)
        if dtype.kind in "iu":
            info = np.iinfo(dtype)
            laid = np.clip(np.rint(laid), info.min, info.max)
        return np.ascontiguousarray(laid, dtype)

    def rows(self, answer: Tensors | None, names: Sequence[str], count: int) -> list[dict[str, NDArray[Any]]]:
        """Outputs of each row, without the axis of rows where the graph has one.

        Raises
        ------
        InvalidInput
            An output is missing, has another number of rows, or holds values that are no finite numbers.
        """
        found: list[dict[str, NDArray[Any]]] = [{} for _ in range(count)]
        for name in names:
            output = (answer or {}).get(name)
            if output is None:
                raise InvalidInput(f"the model gave no output {name}: correct metadata.json or the model")
            if self.layout[0] == "N":
                if output.ndim == 0 or output.shape[0] != count:
                    raise InvalidInput(
                        f"the output {name} has the shape {list(output.shape)} for {count} rows: correct the model"
                    )
                parts = list(output)
            else:
                parts = [output]
            if output.dtype.kind == "f" and not np.isfinite(output).all():
                raise InvalidInput(
                    f"the output {name} holds values that are no finite numbers for this series: it is not tried "
                    "again, since the same images give the same values; check the images and the model"
                )
            for row, part in zip(found, parts, strict=True):
                row[name] = part
        return found

    def spatial_first(self, output: NDArray[Any], layout: str | None, name: str) -> Floats:
        """One row of an output with axes x, y (and z), then channels, as float32.

        Raises
        ------
        InvalidInput
            It has other axes than the layout says.
        """
        letters = (layout or self.layout).replace("N", "")
        if output.ndim != len(letters):
            raise InvalidInput(
                f"the output {name} has the shape {list(output.shape)} and the axes {letters} were declared: "
                "correct metadata.json or the model"
            )
        order = [letters.index(letter) for letter in (*self.spatial, "C") if letter in letters]
        turned = output.transpose(order)
        return np.asarray(turned if "C" in letters else turned[..., np.newaxis], np.float32)


def graph_of(metadata: ModelMetadata, config: ModelConfig) -> Graph:
    """How arrays are laid out for a graph.

    Raises
    ------
    ConfigurationError
        Metadata and ``config.pbtxt`` contradict each other; the message names the field.
    """
    policy, where = metadata.input, f"model {config.name}, metadata.json"
    if len(config.inputs) != 1:
        raise ConfigurationError(f"{where}: the graph has {len(config.inputs)} inputs: one image input can be fed")
    spec, layout = config.inputs[0], policy.layout
    if len(spec.dims) != len(layout):
        raise ConfigurationError(
            f"{where}: input.layout {layout} does not fit {spec.name} with dims {list(spec.dims)} (N is the axis "
            "that max_batch_size adds): correct one of them"
        )
    size = dict(zip(layout, spec.dims, strict=True))
    if config.max_batch_size > 0 and layout[0] != "N":
        raise ConfigurationError(f"{where}: input.layout must begin with N since max_batch_size is above 0")
    if size.get("C", 1) not in (policy.channel_count, -1):
        raise ConfigurationError(f"{where}: input.channels is {policy.channels} and {spec.name} has {size['C']}")
    if config.max_batch_size == 0 and size.get("N", 1) not in (1, -1):
        raise ConfigurationError(
            f"{where}: {spec.name} takes {size['N']} rows: set max_batch_size or export for one"
        )
    window = tuple(size[letter] for letter in policy.spatial)
    if -1 in window and (policy.resampling in ("field-of-view", "letterbox") or policy.tiles is not None):
        raise ConfigurationError(
            f"{where}: input.resampling {policy.resampling} and tiles need a grid of fixed size, and {spec.name} "
            f"has dims {list(spec.dims)}: use spacing or none without tiles, or fix the dims"
        )
    _check_outputs(metadata, config, where)
    return Graph(spec, layout, policy.spatial, window, max(1, config.max_batch_size))


def output_names(metadata: ModelMetadata, config: ModelConfig) -> tuple[str, ...]:
    """Outputs that are read."""
    output, names = metadata.output, []
    if isinstance(output, DetectionOutput):
        names = [output.tensors.boxes, output.tensors.scores]
        if output.tensors.classes is not None:
            names.append(output.tensors.classes)
    else:
        names = [output.tensor or config.outputs[0].name]
    if metadata.heatmap is not None and metadata.heatmap.tensor is not None:
        names.append(metadata.heatmap.tensor)
    return tuple(dict.fromkeys(names))


def _check_outputs(metadata: ModelMetadata, config: ModelConfig, where: str) -> None:
    specs = {spec.name: spec for spec in config.outputs}
    missing = [name for name in output_names(metadata, config) if name not in specs]
    if missing:
        raise ConfigurationError(f"{where}: output {missing[0]} is none of the graph's: {', '.join(specs)}")
    output = metadata.output
    if isinstance(output, SegmentationOutput):
        layout = output.layout or metadata.input.layout
        spec = specs[output.tensor or config.outputs[0].name]
        if len(spec.dims) != len(layout):
            raise ConfigurationError(
                f"{where}: output.layout {layout} does not fit {spec.name} with dims {list(spec.dims)}: correct it"
            )
        channels = spec.dims[layout.index("C")] if "C" in layout else 1
        highest = max(segment.channel for segment in output.segments)
        if output.activation != "labels" and 0 < channels <= highest:
            raise ConfigurationError(
                f"{where}: output.segments name channel {highest} and {spec.name} has {channels} (from 0)"
            )
    if isinstance(output, ClassificationOutput):
        spec = specs[output.tensor or config.outputs[0].name]
        highest = max(label.index for label in output.labels)
        if spec.dims and 0 < spec.dims[-1] <= highest and len(spec.dims) > 1:
            raise ConfigurationError(
                f"{where}: output.labels name index {highest} and {spec.name} has {spec.dims[-1]} (from 0)"
            )
        weights = metadata.heatmap.weights if metadata.heatmap is not None else ()
        if weights and len(weights) <= highest:
            raise ConfigurationError(
                f"{where}: heatmap.weights has {len(weights)} rows: one for each class is needed"
            )
