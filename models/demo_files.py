"""The files that the demo compares: fp32, ONNX Runtime's own quantizers, smalti."""

from __future__ import annotations

import hashlib
import json
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from sys import stderr

Progress = Callable[[str], None]
OUTPUT = "sentence_embedding"
OPSET = 21


@dataclass(frozen=True)
class Variant:
    """One row of the demo: its name, the stem of its file, and smalti's plan if it has one."""

    name: str
    stem: str
    plan: Mapping[str, str] = field(default_factory=dict)


# Attention's values and output are a sixth of the encoder, and its most sensitive layers.
SENSITIVE = {"*.value": "vq-1x16-g128", "*.attention.output.dense": "vq-1x16-g128"}
VARIANTS = (
    Variant("fp32", "fp32"),
    Variant("ORT int8", "int8"),
    Variant("ORT 4-bit", "nbits4"),
    Variant("smalti 4-bit", "smalti4", {"*": "vq-2x256-g128"}),
    Variant("smalti 3-bit", "smalti3", {"*": "vq-2x64-g128", **SENSITIVE}),
    Variant("smalti 2-bit", "smalti2", {"*": "vq-2x16-g128", **SENSITIVE}),
)


def built(variant: Variant, folder: Path, progress: Progress) -> Path:
    """Return the file of a variant; build it where it is missing or stale."""
    path = folder / f"{variant.stem}.onnx"
    key = cache_key(variant)
    stamp = path.with_suffix(".key")
    if not (path.is_file() and stamp.is_file() and stamp.read_text() == key):
        stamp.unlink(missing_ok=True)
        with quiet():
            _build(variant, path, progress)
        stamp.write_text(key)
    return path


def cache_key(variant: Variant) -> str:
    """Digest of all that decides a file's bytes: the plan, our sources, the packages' versions."""
    packages = ("torch", "transformers", "onnxruntime", "onnx", "onnxscript")
    facts = {
        "stem": variant.stem,
        "plan": list(variant.plan.items()),
        "versions": {name: version(name) for name in packages},
        "sources": _sources(),
    }
    return hashlib.sha256(json.dumps(facts).encode()).hexdigest()


def _sources() -> list[str]:
    import smalti.export
    import smalti.quant
    import smalti.runtime

    parts = (smalti.quant, smalti.export, smalti.runtime)
    files = [f for part in parts for folder in part.__path__ for f in Path(folder).rglob("*")]
    files += [Path(__file__), Path(__file__).with_name("minilm.py")]
    contents = {f.read_bytes() for f in files if f.suffix in (".py", ".txt")}
    return sorted(hashlib.sha256(c).hexdigest() for c in contents)


def _build(variant: Variant, path: Path, progress: Progress) -> None:
    if variant.plan:
        _build_smalti(path, variant.plan, progress)
        return
    progress("exporting" if variant.stem == "fp32" else "quantizing")
    build = {"fp32": _build_fp32, "int8": _build_int8, "nbits4": _build_nbits4}
    build[variant.stem](path)


def _build_fp32(path: Path) -> None:
    import torch

    from smalti.models import minilm

    torch.onnx.export(
        minilm.model(),
        minilm.example_inputs(),
        path,
        dynamo=True,
        opset_version=OPSET,
        output_names=[OUTPUT],
        dynamic_shapes=minilm.dynamic_shapes(),
        external_data=False,
        verbose=False,
    )


def _build_int8(path: Path) -> None:
    """Weights and word vectors in int8, activations in int8 at run time."""
    from onnxruntime.quantization import QuantType, quantize_dynamic

    source = path.with_name("fp32.onnx")
    quantize_dynamic(source, path, weight_type=QuantType.QInt8, per_channel=True)


def _build_nbits4(path: Path) -> None:
    """Weights and word vectors in 4 bits; accuracy level 4 lets the kernels compute in int8."""
    import onnx
    from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer

    quantizer = MatMulNBitsQuantizer(
        onnx.load(path.with_name("fp32.onnx")),
        block_size=128,
        is_symmetric=False,
        accuracy_level=4,
        op_types_to_quantize=("MatMul", "Gather"),
    )
    quantizer.process()
    quantizer.model.save_model_to_file(str(path))


def _build_smalti(path: Path, plan: Mapping[str, str], progress: Progress) -> None:
    from smalti.export.onnx import export_onnx
    from smalti.models import minilm
    from smalti.quant.apply import quantize_

    module = minilm.model()
    layers = quantize_(module, plan, progress=lambda layer, i, n: progress(f"quantizing {layer}"))
    export_onnx(
        module,
        minilm.example_inputs(),
        path,
        layers=layers,
        dynamic_shapes=minilm.dynamic_shapes(),
        output_names=[OUTPUT],
        progress=progress,
    )


@contextmanager
def quiet() -> Iterator[None]:
    """Keep the exporters' notes away from our own output."""
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), redirect_stdout(stderr):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(logging.NOTSET)
