"""Quantizes Torch modules: grids, rotation, rounding, plans, layers."""

from smalti.quant.apply import LayerReport, quantize_
from smalti.quant.plan import Plan

__all__ = ["LayerReport", "Plan", "quantize_"]
