"""An engine whose graph has other shapes than ``config.pbtxt`` → one that speaks those of the file (``reshape``).

Guarantee: nothing is copied, and the numbers keep their order (row-major, as Triton does it).
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from engines.base import Engine, Runtime, Tensors
from engines.config_pbtxt import ModelConfig
from engines.tensors import fitting


class Reshaped(Runtime):
    """The engine behind the shapes of its configuration.

    Parameters
    ----------
    engine
        Runs the graph.
    config
        Its configuration, which agrees with the graph.
    """

    def __init__(self, engine: Engine, config: ModelConfig) -> None:
        self._engine = engine
        self._identity = engine.identity()
        self._inputs, self._outputs = config.inputs, config.outputs

    @classmethod
    def unavailable(cls) -> str | None:
        """Nothing is needed but the engine."""
        return None

    def infer(self, tensors: Tensors) -> dict[str, NDArray[Any]]:
        """Run the graph on reshaped inputs and reshape what it answers."""
        arrays = fitting(self._inputs, tensors)
        given = {spec.name: _as(arrays[spec.name], spec.reshape, spec.dims) for spec in self._inputs}
        found = self._engine.infer(given)
        return {
            spec.name: _as(found[spec.name], spec.reshape and spec.dims, spec.graph_dims) for spec in self._outputs
        }

    def close(self) -> None:
        """Close the engine."""
        self._engine.close()


def _as(array: NDArray[Any], dims: tuple[int, ...] | None, before: tuple[int, ...]) -> NDArray[Any]:
    """The array with other dims; free axes keep, in their order, the sizes that they have."""
    if dims is None:
        return array
    free = [size for size, dim in zip(array.shape, before, strict=True) if dim < 0]
    return array.reshape([dim if dim >= 0 else free.pop(0) for dim in dims])
