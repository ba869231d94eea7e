"""Quantizes Torch modules: grids, rotation, rounding, plans, layers."""

from smalti.quant.apply import LayerReport, quantize_
from smalti.quant.observe import estimate
from smalti.quant.plan import Plan
from smalti.quant.refine import refine_
from smalti.quant.training import fake_quantize_

__all__ = ["LayerReport", "Plan", "estimate", "fake_quantize_", "quantize_", "refine_"]
