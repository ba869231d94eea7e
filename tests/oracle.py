"""What the operators compute, in float64; int8 activations are rounded as the references round."""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from smalti.export.translate import load_ops
from smalti.runtime import native
from smalti.runtime.ops.case import Case
from smalti.runtime.ops.dequantize import dequantize, quantize_activations
from smalti.runtime.ops.hadamard_transform.op import hadamard
from smalti.runtime.ops.torch_op import OPS
from smalti.runtime.ops.vq_conv.op import _patches
from smalti.runtime.packing import Header
from smalti.runtime.rotation import signs

FOLDERS = {name: op.reference.__module__.split(".")[-2] for name, op in load_ops().items()}


def all_cases() -> Iterator[tuple[str, Case]]:
    for op, folder in FOLDERS.items():
        for case in import_module(f"smalti.runtime.ops.{folder}.cases").cases():
            yield op, case


def tensors(op: str, case: Case) -> dict[str, Any]:
    arrays = {name: case.inputs.get(name) for name in OPS[op].inputs}
    return {k: None if a is None else torch.from_numpy(np.array(a)) for k, a in arrays.items()}


def reference(op: str, case: Case) -> np.ndarray:
    return OPS[op].reference(**tensors(op, case), **case.attributes).numpy()


def everywhere(op: str, case: Case) -> Iterator[tuple[str, int, np.ndarray]]:
    """Level, threads and result, portable on one thread first."""
    for isa in native.isas():
        with native.forced_isa(isa):
            for threads in (1, 3):
                yield isa, threads, native.run_op(op, case.inputs, case.attributes, threads)


def _weights(case: Case) -> Tensor:
    codes, scales, grid = (torch.from_numpy(case.inputs[k]) for k in ("codes", "scales", "grid"))
    header = Header.read(case.inputs["codes"].tobytes())
    rows = dequantize(codes, scales, grid, header.rows, header.columns)
    return rows.double() * float(np.float32(case.attributes["step"]))


def _rotate(x: Tensor, block: int, seed: int) -> Tensor:
    return hadamard(x * torch.from_numpy(signs(seed, x.shape[-1])), block)


def _times_weights(x: Tensor, case: Case) -> Tensor:
    if case.attributes["int8"]:
        x = quantize_activations(x.float(), case.inputs["scales"].shape[1]).double()
    y = x @ _weights(case).T
    return y + torch.from_numpy(case.inputs["bias"]) if "bias" in case.inputs else y


def _wide(t: Tensor | None) -> Tensor | None:
    return t.double() if t is not None and t.is_floating_point() else t


def exact(op: str, case: Case) -> np.ndarray:
    given, a = tensors(op, case), case.attributes
    if not op.startswith(("VQ", "Hadamard")):
        return OPS[op].reference(**{k: _wide(t) for k, t in given.items()}, **a).numpy()
    if op == "VQGather":
        h = hadamard(_weights(case)[given["indices"]], a["block"])
        return (h * torch.from_numpy(signs(a["seed"], a["columns"]))).numpy()
    x = given["x"].double()
    if op == "HadamardTransform":
        return _rotate(x, a["block"], a["seed"]).numpy()
    if op == "VQMatMul":
        return _times_weights(x, case).numpy()
    geometry = (a[k] for k in ("kernel_shape", "strides", "pads", "dilations"))
    rotated = _rotate(_patches(x, *geometry), a["block"], a["seed"])
    return _times_weights(rotated, case).permute(0, 3, 1, 2).numpy()


def nmse(found: np.ndarray, wanted: np.ndarray) -> float:
    norm = np.square(wanted, dtype=np.float64).sum()
    return float(np.square(found - wanted.astype(np.float64)).sum() / norm) if norm > 0 else 0.0
