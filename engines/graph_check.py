"""``config.pbtxt`` + the graph as the runtime loaded it → agreement, or the field that lies with both values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from engines.config_pbtxt import ModelConfig, TensorSpec
from schemas.errors import ConfigurationError

Kind = Literal["input", "output"]


def check_graph(
    config: ModelConfig,
    inputs: Sequence[TensorSpec],
    outputs: Sequence[TensorSpec],
    where: str,
    *,
    served: bool = False,
) -> None:
    """Compare names, types and shapes.

    A size that the graph leaves open may be any in the file; one that the graph fixes must be the same there.

    Parameters
    ----------
    config
        What the file says.
    inputs, outputs
        What the graph has.
    where
        The file, for messages.
    served
        The graph is behind a server, which reshapes by itself.

    Raises
    ------
    ConfigurationError
        They differ; the message names the field and both values.
    """
    _check("input", config.inputs, inputs, config.max_batch_size, where, served)
    _check("output", config.outputs, outputs, config.max_batch_size, where, served)


def _check(
    kind: Kind,
    told: Sequence[TensorSpec],
    actual: Sequence[TensorSpec],
    max_batch_size: int,
    where: str,
    served: bool,
) -> None:
    graph = {spec.name: spec for spec in actual}
    names = sorted(spec.name for spec in told)
    if set(names) - set(graph):
        raise ConfigurationError(
            f"{where} does not describe the {kind} of the graph: name is {names} and the graph has "
            f"{sorted(graph)}: correct it"
        )
    lacking = sorted(set(graph) - set(names))
    if kind == "input" and lacking:
        raise ConfigurationError(f"{where} does not describe the input {lacking}, which the graph needs: add it")
    for spec in told:
        _check_tensor(
            kind, replace(spec, reshape=None) if served else spec, graph[spec.name], max_batch_size, where
        )


def _check_tensor(kind: Kind, told: TensorSpec, actual: TensorSpec, max_batch_size: int, where: str) -> None:
    field = f"{where} does not describe the {kind} {told.name} of the graph:"
    if told.dtype != actual.dtype:
        raise ConfigurationError(f"{field} data_type is {told.dtype} and the graph has {actual.dtype}: correct it")
    dims = told.graph_dims
    name = "dims" if told.reshape is None else "reshape"
    if max_batch_size > 0 and (not actual.dims or actual.dims[0] != -1):
        raise ConfigurationError(
            f"{field} max_batch_size is {max_batch_size} and the graph has {list(actual.dims)}, whose first axis "
            "takes no batch: set max_batch_size: 0 and give dims every axis, or export the graph with a free one"
        )
    if len(dims) != len(actual.dims) or any(
        size not in (-1, mine) for mine, size in zip(dims, actual.dims, strict=True)
    ):
        said = dims[1:] if max_batch_size > 0 else dims
        has = actual.dims[1:] if max_batch_size > 0 else actual.dims
        raise ConfigurationError(f"{field} {name} is {list(said)} and the graph has {list(has)}: correct it")
