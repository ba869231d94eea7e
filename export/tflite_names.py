"""Names in a converted model: of inputs and outputs, and of tensors by their layers."""

from __future__ import annotations

import re
from typing import Any

from torch import fx, nn

from smalti.export.tflite_model import TFLiteModel, text_of


def layer_of(node: fx.Node) -> str:
    """Return the name of the innermost module that a node is from."""
    stack = list(node.meta.get("nn_module_stack", {}).values())
    return str(stack[-1][0]) if stack else ""


def put_in_order(model: TFLiteModel) -> None:
    """Put the graph's inputs and outputs in the module's order, which numbered names tell.

    Outputs with names of their own, those of a dictionary, are in order already.
    """
    signature, graph = model.root.signatureDefs[0], model.graph
    graph.inputs = _ordered(signature.inputs) or list(graph.inputs)
    graph.outputs = _ordered(signature.outputs) or list(graph.outputs)


def _ordered(ports: list[Any]) -> list[int]:
    numbers = [re.fullmatch(r"(?:args|output)_(\d+)", text_of(port.name)) for port in ports]
    found = {
        int(match[1]): port.tensorIndex for match, port in zip(numbers, ports, strict=True) if match
    }
    return [found[i] for i in sorted(found)] if len(found) == len(ports) else []


def _scopes(module: nn.Module) -> dict[str, str]:
    """Layers by the names that the converter makes of the classes on the way to them."""
    scopes: dict[str, str] = {}
    called: dict[str, list[str]] = {}
    for path, layer in module.named_modules():
        above, _, name = path.rpartition(".")
        kind = f"{type(layer).__module__}.{type(layer).__qualname__}"
        scopes[path] = f"{scopes[above]}/{kind}_{name}" if path else kind
        # Containers are not called, so that they leave no trace.
        if isinstance(layer, nn.ModuleList | nn.ModuleDict):
            scopes[path] = scopes[above]
        else:
            called.setdefault(scopes[path], []).append(path)
    return {scope: paths[0] for scope, paths in called.items() if len(paths) == 1}


def name_tensors(model: TFLiteModel, module: nn.Module) -> None:
    """Name what layers hold and compute by the layers; an output's layer is known by its weight."""
    scopes, layers = _scopes(module), dict[int, str]()
    for index, tensor in enumerate(model.graph.tensors):
        scope = text_of(tensor.name).partition(";")[0]
        if scope in scopes:
            layers[index] = scopes[scope] or "model"
    for operator in model.graph.operators:
        held = [layers[i] for i in map(int, operator.inputs[1:]) if i in layers]
        if held and int(operator.outputs[0]) in model.graph.outputs:
            layers.setdefault(int(operator.outputs[0]), held[0])
    for index, layer in layers.items():
        model.graph.tensors[index].name = f"{layer}.{index}"
