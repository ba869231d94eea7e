"""Exports modules to files that run, and the command line."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from smalti.export.fold import fold_
    from smalti.export.onnx import export_onnx
    from smalti.export.tflite import export_tflite

__all__ = ["export_onnx", "export_tflite", "fold_"]


def __getattr__(name: str) -> object:
    # Torch comes with it, and `smalti --help` should not wait for Torch.
    if name == "export_onnx":
        from smalti.export.onnx import export_onnx

        return export_onnx
    if name == "export_tflite":
        from smalti.export.tflite import export_tflite

        return export_tflite
    if name == "fold_":
        from smalti.export.fold import fold_

        return fold_
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
