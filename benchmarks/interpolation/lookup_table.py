"""A function of int8 values: LookupTable beside ONNX Runtime's int8 sigmoid and its Gather."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import onnx.parser
import torch

from benchmarks.subject import OURS, Goal, Run, Subject, node, session

_COUNT = 1 << 20
_STEP = 8 / 128  # of the input; the sigmoid's own is 1 / 256
_QLINEAR = f"""<ir_version: 10, opset_import: ["" : 21, "com.microsoft" : 1]>
    sigmoid (int8[N] x) => (int8[N] y)
    <float from = {{{_STEP}}}, int8 zero = {{0}}, float to = {{{1 / 256}}}, int8 low = {{-128}}> {{
        y = com.microsoft.QLinearSigmoid(x, from, zero, to, low)
    }}"""
_GATHER = """<ir_version: 10, opset_import: ["" : 21]>
    look (int8[N] x, int8[256] table) => (int8[N] y) <int32 half = {128}> {
        wide = Cast<to = 6>(x)
        index = Add(wide, half)
        y = Gather(table, index)
    }"""


def _runs(threads: int) -> Mapping[str, Run]:
    x = np.random.default_rng(0).integers(-128, 128, _COUNT).astype(np.int8)
    exact = 256 / (1 + np.exp(-_STEP * np.arange(-128, 128))) - 128
    table = np.rint(exact).clip(-128, 127).astype(np.int8)
    values, entries = torch.from_numpy(x), torch.from_numpy(table)
    return {
        OURS: node("LookupTable", [x, table], {}, threads),
        "onnxruntime QLinearSigmoid": session(onnx.parser.parse_model(_QLINEAR), {"x": x}, threads),
        "onnxruntime Gather": session(
            onnx.parser.parse_model(_GATHER), {"x": x, "table": table}, threads
        ),
        "torch": lambda: entries[values.int() + 128],
    }


SUBJECTS = (Subject("int8 function", _runs, (Goal(1.0, ("onnxruntime",)), Goal(10.0, ("torch",)))),)
