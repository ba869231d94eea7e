"""Files with operators of the engine's own are sound, and run."""

import numpy as np
import pytest
import tflite_files as files
from tflite_files import OPS, TYPES


def one(builtin, shapes, out, *constants, kind=TYPES.FLOAT32, **options):
    """A model of one operator; constants are its last inputs."""
    tensors = [files.tensor(f"x{i}", *shape, kind=kind) for i, shape in enumerate(shapes)]
    for i, array in enumerate(constants):
        kinds = {"float32": TYPES.FLOAT32, "int32": TYPES.INT32}
        fields = {"kind": kinds[array.dtype.name], "buffer": i + 1}
        tensors.append(files.tensor(f"c{i}", *array.shape, **fields))
    last = len(tensors)
    tensors.append(files.tensor("y", *out, kind=kind))
    node = files.operator(0, list(range(last)), [last], **options)
    subgraph = files.graph(tensors, [node], list(range(len(shapes))), [last])
    return files.model([files.code(builtin)], subgraph, *constants)


def int32(*values):
    return np.array(values, np.int32)


REAL = {
    "reshape": lambda: one(
        OPS.RESHAPE,
        [(2, 6)],
        (3, 4),
        int32(3, 4),
        **files.options("ReshapeOptions", newShape=[3, 4]),
    ),
    "squeeze": lambda: one(
        OPS.SQUEEZE, [(1, 4, 1)], (4,), **files.options("SqueezeOptions", squeezeDims=[0, 2])
    ),
    "concatenation": lambda: one(
        OPS.CONCATENATION,
        [(2, 3), (2, 5)],
        (2, 8),
        **files.options("ConcatenationOptions", axis=-1),
    ),
    "softmax": lambda: one(
        OPS.SOFTMAX, [(2, 3)], (2, 3), **files.options("SoftmaxOptions", beta=1.0)
    ),
    "strided slice": lambda: one(
        OPS.STRIDED_SLICE,
        [(4, 6)],
        (2, 3),
        int32(0, 0),
        int32(4, 6),
        int32(2, 2),
        **files.options("StridedSliceOptions", beginMask=1, endMask=2),
    ),
    "conv": lambda: one(
        OPS.CONV_2D,
        [(1, 5, 5, 2)],
        (1, 3, 3, 4),
        np.ones((4, 3, 3, 2), np.float32),
        np.ones(4, np.float32),
        **files.options("Conv2DOptions", padding=1, strideH=1, strideW=1),
    ),
    "gelu": lambda: one(OPS.GELU, [(7,)], (7,), **files.options("GeluOptions", approximate=True)),
    "bucketize": lambda: one(
        OPS.BUCKETIZE,
        [(3,)],
        (3,),
        kind=TYPES.INT32,
        **files.options("BucketizeOptions", boundaries=[0.0, 1.0]),
    ),
    "mean": lambda: one(
        OPS.MEAN, [(2, 3)], (2, 1), int32(1), **files.options("ReducerOptions", keepDims=True)
    ),
    "resize": lambda: one(
        OPS.RESIZE_BILINEAR,
        [(1, 2, 2, 1)],
        (1, 4, 4, 1),
        int32(4, 4),
        **files.options("ResizeBilinearOptions", halfPixelCenters=True),
    ),
    "matmul": lambda: one(
        OPS.BATCH_MATMUL, [(2, 3), (3, 4)], (2, 4), **files.options("BatchMatMulOptions")
    ),
    "exp without options": lambda: one(OPS.EXP, [(2,)], (2,)),
    "pad of stablehlo": lambda: one(
        OPS.STABLEHLO_PAD,
        [(3,)],
        (5,),
        np.array(0, np.float32),
        **files.options(
            "StablehloPadOptions", edgePaddingLow=[1], edgePaddingHigh=[1], interiorPadding=[0]
        ),
    ),
}


@pytest.mark.parametrize("name", REAL)
def test_the_engine_s_own_operators(opened, name):
    data = files.packed(REAL[name]())
    assert opened(data).native_nodes == 0
    files.loaded(data).allocate_tensors()
