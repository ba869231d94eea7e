"""What a plan's choices take on a device: read off the graph of the model in float."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from smalti.devices.graph import Graph, open_graph
from smalti.devices.latency import Clock
from smalti.devices.memory import memory
from smalti.devices.profile import Device
from smalti.devices.speeds import speeds
from smalti.devices.work import Work, vq_conv_parts, vq_linear_parts, works
from smalti.export.onnx import export_onnx
from smalti.export.quiet import quiet
from smalti.export.recipe import Recipe
from smalti.quant.planner import Rest
from smalti.quant.sensitivity import Cost
from smalti.quant.targets import matrix_of
from smalti.runtime.format import AnyFormat, BranchFormat, Format, parse_format
from smalti.runtime.rotation import block_for


@dataclass(frozen=True)
class Timed:
    """Costs with their milliseconds, and what everything else takes."""

    costs: dict[str, list[Cost]]
    rest: Rest


def time_costs(
    module: torch.nn.Module,
    recipe: Recipe,
    device: Device,
    costs: Mapping[str, Sequence[Cost]],
    max_bytes: int | None,
) -> Timed:
    """Predict every choice with the recipe's example inputs.

    max_bytes: the weights that the plan may have; they decide whether a cache holds them.

    Raises:
        DeviceError: the profile lacks figures.
    """
    graph = _float_graph(module, recipe)
    todo = list(works(graph))
    weights = sum(work.weights for work in todo)
    clock = Clock(speeds(device), device, min(weights, max_bytes or weights))
    planned = {name: list(_matrix_works(name, todo)) for name in costs}
    found = {
        name: [_timed(module.get_submodule(name), cost, planned[name], clock) for cost in ways]
        for name, ways in costs.items()
    }
    theirs = {id(work) for nodes in planned.values() for work in nodes}
    ms = sum(clock.line(work).ms for work in todo if id(work) not in theirs)
    used = memory(graph, todo)
    return Timed(found, Rest(ms + clock.fast.run_us / 1e3, used.activations + used.scratch))


def _float_graph(module: torch.nn.Module, recipe: Recipe) -> Graph:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "float.onnx")
        shapes = recipe.dynamic_shapes() if recipe.dynamic_shapes else None
        with quiet():
            export_onnx(module, recipe.example_inputs(), path, dynamic_shapes=shapes)
        return open_graph(path)


def _matrix_works(layer: str, todo: Sequence[Work]) -> Iterator[Work]:
    """Yield the nodes that stand for a layer's weights; its bias stays outside."""
    for work in todo:
        if work.node.layer == layer and (work.macs or work.node.op == "Gather"):
            yield work


def _timed(layer: torch.nn.Module, cost: Cost, nodes: Sequence[Work], clock: Clock) -> Cost:
    """The same cost with the time of all the layer's nodes."""
    name = cost.choice.format
    if name != "float":
        weight = matrix_of(layer)
        form = parse_format(name)
        nodes = [_stored(work, form, weight.shape[1], cost.choice.bytes) for work in nodes]
    ms = sum(clock.line(work).ms for work in nodes)
    return replace(cost, choice=replace(cost.choice, ms=ms))


def _stored(work: Work, form: AnyFormat, columns: int, size: int) -> Work:
    """A node's work with its weights in another format; a look-up's hardly changes."""
    if not work.macs:
        return work
    base = form.base if isinstance(form, BranchFormat) else form
    product = work.parts[0]
    is_conv = product.kind != "float"
    if isinstance(base, Format):
        outputs = work.macs // max(product.rows * columns, 1)
        sizes = (base.grid_name, product.rows, columns, outputs, block_for(columns))
        parts, _ = vq_conv_parts(*sizes) if is_conv else vq_linear_parts(*sizes)
        return replace(work, parts=parts, weights=size)
    if is_conv:  # the engine decodes it at load
        return work
    return replace(work, parts=(product._replace(kind=base.kind),), weights=size)
